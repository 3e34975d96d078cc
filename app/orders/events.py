"""Facts about orders that other slices and live clients react to.

Imported history announces nothing: what happened long ago must not set off today's rewards.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class OrderPaid(Event):
    """An order was paid: from now on it counts."""

    kind: ClassVar[str] = "order.paid"
    member_id: UUID
    order_id: UUID
    total_fen: int
    placed_at: datetime
    paid_at: datetime

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class OrderSettled(Event):
    """An order was delivered and closed; the refund window runs from here."""

    kind: ClassVar[str] = "order.settled"
    member_id: UUID
    order_id: UUID
    total_fen: int
    settled_at: datetime

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class OrderRefunded(Event):
    """Money of an order went back; `refunded_fen` of `total_fen` is what went back so far."""

    kind: ClassVar[str] = "order.refunded"
    member_id: UUID
    order_id: UUID
    refund_no: str
    amount_fen: int
    refunded_fen: int
    total_fen: int
    at: datetime

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class OrderCancelled(Event):
    """An order was called off; it counts as if it had never been."""

    kind: ClassVar[str] = "order.cancelled"
    member_id: UUID
    order_id: UUID
    total_fen: int
    cancelled_at: datetime

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class BrowseSeen(Event):
    """A member browsed goods; one fact a member and batch of reports, for the latest browse."""

    kind: ClassVar[str] = "browse.seen"
    member_id: UUID
    at: datetime
    sku: str | None
    category: str | None
