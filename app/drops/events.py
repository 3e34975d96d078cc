"""Facts about drops. Each carries the whole changing picture, so watchers need not ask again."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event


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


class DropClosed(DropChanged):
    """The drop ended with coupons left, by its hour or by staff."""

    kind: ClassVar[str] = "drop.closed"
