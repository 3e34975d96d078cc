"""Orders, refunds and what members do besides buying: the face of the slice."""

from app.orders import importing
from app.orders.errors import BatchTooLarge, ImportUnderWay
from app.orders.events import BrowseSeen, OrderCancelled, OrderPaid, OrderRefunded, OrderSettled
from app.orders.queries import (
    by_id,
    by_order_id,
    counted_orders,
    counts,
    has_bought,
    last_activity,
    lines_by_order,
    loose_refunds,
    net_fen,
    net_spend,
    page_of_member,
    settled_count,
)
from app.orders.tables import (
    Activity,
    ActivityKind,
    Channel,
    ImportKind,
    ImportPhase,
    ImportRun,
    Order,
    OrderLine,
    OrderStatus,
    Refund,
)

__all__ = [
    "Activity",
    "ActivityKind",
    "BatchTooLarge",
    "BrowseSeen",
    "Channel",
    "ImportKind",
    "ImportPhase",
    "ImportRun",
    "ImportUnderWay",
    "Order",
    "OrderCancelled",
    "OrderLine",
    "OrderPaid",
    "OrderRefunded",
    "OrderSettled",
    "OrderStatus",
    "Refund",
    "by_id",
    "by_order_id",
    "counted_orders",
    "counts",
    "has_bought",
    "importing",
    "last_activity",
    "lines_by_order",
    "loose_refunds",
    "net_fen",
    "net_spend",
    "page_of_member",
    "settled_count",
]
