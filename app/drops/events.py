"""Facts about drops. Each carries the whole changing picture, so watchers need not ask again."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


def drop_topic(drop_id: UUID) -> str:
    """The live topic of one drop."""
    return f"drop:{drop_id}"


@dataclass(frozen=True, slots=True)
class DropChanged(Event):
    """What every fact about a drop tells; of two pictures the higher `version` is the newer."""

    kind: ClassVar[str] = "drop.changed"
    drop_id: UUID
    version: int
    state: str
    remaining: int
    opens_at: datetime
    closes_at: datetime

    def topics(self) -> list[str]:
        """The drop's own."""
        return [drop_topic(self.drop_id)]


class DropOpened(DropChanged):
    """Claims are accepted."""

    kind: ClassVar[str] = "drop.opened"


class DropClaimed(DropChanged):
    """Some coupons were claimed and others remain."""

    kind: ClassVar[str] = "drop.claimed"


class DropSoldOut(DropChanged):
    """The last coupon was claimed."""

    kind: ClassVar[str] = "drop.sold_out"


class DropReturned(DropChanged):
    """A claimed coupon came back into the stock: two accounts of one person had one each."""

    kind: ClassVar[str] = "drop.returned"


class DropClosed(DropChanged):
    """The drop ended with coupons left, by its hour or by staff."""

    kind: ClassVar[str] = "drop.closed"


class DropCancelled(DropChanged):
    """Staff cancelled the drop; what becomes of claimed coupons is told to each who has one."""

    kind: ClassVar[str] = "drop.cancelled"


@dataclass(frozen=True, slots=True)
class DropCompensated(Event):
    """A member's coupon of a cancelled drop was taken back, and this is what they got for it."""

    kind: ClassVar[str] = "drop.compensated"
    member_id: UUID
    drop_id: UUID
    coupon_id: UUID
    reason: str
    points: int | None
    # The coupon that was given in its place.
    given_id: UUID | None

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]
