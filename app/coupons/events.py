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


@dataclass(frozen=True, slots=True)
class CouponReserved(Event):
    """A coupon is held for an order that is being placed."""

    kind: ClassVar[str] = "coupon.reserved"
    member_id: UUID
    coupon_id: UUID
    order_ref: str
    until: datetime

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class CouponReleased(Event):
    """A coupon is no longer held for an order and can be used again."""

    kind: ClassVar[str] = "coupon.released"
    member_id: UUID
    coupon_id: UUID
    order_ref: str

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class CouponReturned(Event):
    """The order that a coupon was used on was refunded in full; `outcome` says if it came back."""

    kind: ClassVar[str] = "coupon.returned"
    member_id: UUID
    coupon_id: UUID
    batch_id: UUID
    order_ref: str
    outcome: str

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class DiscountReduced(Event):
    """Goods went back and a coupon's discount with them; `lost_fen` is what was lost so far."""

    kind: ClassVar[str] = "coupon.discount-reduced"
    member_id: UUID
    coupon_id: UUID
    order_ref: str
    discount_fen: int
    lost_fen: int
    give_back_fen: int

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]
