"""Rows of one block as they are stored, and the columns they have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]
Rows = Sequence[Row]

MEMBERS = (
    *("id", "community_id", "nickname", "status", "locale", "registered_at"),
    *("phone_verified_at", "birthday"),
)
IDENTITIES: Mapping[str, str] = {
    "kind": "text",
    "app": "text",
    "blind": "text",
    "sealed": "text",
    "member_id": "uuid",
    "linked_at": "timestamptz",
}
LEADERS = ("member_id", "community_id", "since")
ORDERS = (
    *("member_id", "id", "source", "order_no", "channel", "leader_id", "placed_at", "paid_at"),
    *("cancelled_at", "promised_at", "delivered_at", "settled_at", "late", "spoiled"),
    *("complaint", "complained_at", "discount_fen", "total_fen"),
)
# What may become known of an order later on.
UPDATES: Mapping[str, str] = {
    "member_id": "uuid",
    "id": "uuid",
    "paid_at": "timestamptz",
    "cancelled_at": "timestamptz",
    "delivered_at": "timestamptz",
    "settled_at": "timestamptz",
    "late": "boolean",
    "spoiled": "boolean",
    "complaint": "boolean",
    "complained_at": "timestamptz",
}
LINES = (*("member_id", "order_id", "line_no", "sku", "name", "category", "quantity", "paid_fen"),)
REFUNDS: Mapping[str, str] = {
    "member_id": "uuid",
    "id": "uuid",
    "source": "text",
    "refund_no": "text",
    "order_id": "uuid",
    "at": "timestamptz",
    "sku": "text",
    "quantity": "integer",
    "amount_fen": "bigint",
    "reason": "text",
}
COUPON_USES: Mapping[str, str] = {
    "member_id": "uuid",
    "id": "uuid",
    "order_ref": "text",
    "at": "timestamptz",
    "template_id": "uuid",
    "batch_id": "uuid",
    "name": "text",
    "threshold_fen": "bigint",
    "discount_fen": "bigint",
}
ACTIVITIES = (
    *("member_id", "event_id", "at", "kind", "seconds", "sku", "category", "channel"),
    "app_version",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The rows of a block; each has the columns of the tuple or mapping of its name above."""

    members: Rows = ()
    identities: Rows = ()
    leaders: Rows = ()
    orders: Rows = ()
    order_updates: Rows = ()
    lines: Rows = ()
    refunds: Rows = ()
    coupon_uses: Rows = ()
    activities: Rows = ()
