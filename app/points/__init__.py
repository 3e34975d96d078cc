"""The points ledger: the face of the slice."""

from app.points.audit import Breach, audit
from app.points.clawback import claw_back_order, follow_order, reverse
from app.points.earning import check_in, earn, earn_for_order, earn_for_orders
from app.points.errors import (
    AlreadyCheckedIn,
    NotEnoughPoints,
    PointsInDebt,
    RefundExceedsSpend,
    SpendNotFound,
)
from app.points.events import MemberCheckedIn, PointsChanged
from app.points.giving import earn_alike
from app.points.merging import merge
from app.points.queries import (
    Balance,
    Balances,
    EntriesKey,
    EntryLine,
    balances_by_member,
    entries_by_member,
    last_check_in,
    lots_by_order,
)
from app.points.rules import (
    EXPIRING_SOON,
    REFUND_WINDOW,
    OrderFacts,
    best_multiplier,
    purchase_points,
)
from app.points.spending import adjust, refund_spend, spend
from app.points.sweeping import expire_due, release_due
from app.points.tables import (
    Account,
    Allocation,
    CheckIn,
    Currency,
    Entry,
    EntryKind,
    Lot,
    LotStatus,
    Source,
)

__all__ = [
    "EXPIRING_SOON",
    "REFUND_WINDOW",
    "Account",
    "Allocation",
    "AlreadyCheckedIn",
    "Balance",
    "Balances",
    "Breach",
    "CheckIn",
    "Currency",
    "EntriesKey",
    "Entry",
    "EntryKind",
    "EntryLine",
    "Lot",
    "LotStatus",
    "MemberCheckedIn",
    "NotEnoughPoints",
    "OrderFacts",
    "PointsChanged",
    "PointsInDebt",
    "RefundExceedsSpend",
    "Source",
    "SpendNotFound",
    "adjust",
    "audit",
    "balances_by_member",
    "best_multiplier",
    "check_in",
    "claw_back_order",
    "earn",
    "earn_alike",
    "earn_for_order",
    "earn_for_orders",
    "entries_by_member",
    "expire_due",
    "follow_order",
    "last_check_in",
    "lots_by_order",
    "merge",
    "purchase_points",
    "refund_spend",
    "release_due",
    "reverse",
    "spend",
]
