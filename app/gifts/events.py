"""Facts about packs and gifts."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class _Members(Event):
    member_id: UUID

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class PackClaimed(_Members):
    """A member claimed a pack."""

    kind: ClassVar[str] = "pack.claimed"
    claim_id: UUID
    pack_id: UUID
    title: str


@dataclass(frozen=True, slots=True)
class PackPartGiven(_Members):
    """A later part of a member's pack was given."""

    kind: ClassVar[str] = "pack.part_given"
    claim_id: UUID
    position: int


@dataclass(frozen=True, slots=True)
class PackPartLapsed(_Members):
    """A later part of a member's pack can no longer be given."""

    kind: ClassVar[str] = "pack.part_lapsed"
    claim_id: UUID
    position: int


@dataclass(frozen=True, slots=True)
class GiftHeld(_Members):
    """A unit of a gift is kept for a member."""

    kind: ClassVar[str] = "gift.held"
    hold_id: UUID
    offer_id: UUID
    title: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class GiftTaken(_Members):
    """A member took a gift with an order."""

    kind: ClassVar[str] = "gift.taken"
    hold_id: UUID
    offer_id: UUID
    order_ref: str


@dataclass(frozen=True, slots=True)
class GiftFreed(_Members):
    """A gift is no longer kept for a member: released by them, or expired."""

    kind: ClassVar[str] = "gift.freed"
    hold_id: UUID
    offer_id: UUID
    state: str


@dataclass(frozen=True, slots=True)
class OccasionGiven(_Members):
    """A member was given a coupon for their birthday or a festival."""

    kind: ClassVar[str] = "occasion.given"
    occasion: str
    cycle: int
    coupon_id: UUID
