"""Facts about members' coupons."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class CouponGranted(Event):
    """A member was given a coupon."""

    kind: ClassVar[str] = "coupon.granted"
    member_id: UUID
    coupon_id: UUID
    batch_id: UUID
    name: str
    usable_from: datetime
    expires_at: datetime

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class CouponRedeemed(Event):
    """A member used a coupon on an order."""

    kind: ClassVar[str] = "coupon.redeemed"
    member_id: UUID
    coupon_id: UUID
    batch_id: UUID
    order_ref: str
    discount_fen: int

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]
