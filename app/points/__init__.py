"""The points ledger: the face of the slice."""

from app.points.errors import (
    AlreadyCheckedIn,
    NotEnoughPoints,
    PointsInDebt,
    RefundExceedsSpend,
    SpendNotFound,
)
from app.points.events import MemberCheckedIn, PointsChanged
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
    "Account",
    "Allocation",
    "AlreadyCheckedIn",
    "CheckIn",
    "Currency",
    "Entry",
    "EntryKind",
    "Lot",
    "LotStatus",
    "MemberCheckedIn",
    "NotEnoughPoints",
    "PointsChanged",
    "PointsInDebt",
    "RefundExceedsSpend",
    "Source",
    "SpendNotFound",
]
