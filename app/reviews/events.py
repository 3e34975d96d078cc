"""Facts about reviews."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class ReviewSubmitted(Event):
    """A review waits for moderation."""

    kind: ClassVar[str] = "review.submitted"
    review_id: UUID
    member_id: UUID
    sku: str


@dataclass(frozen=True, slots=True)
class ReviewPublished(Event):
    """A review was published for the first time: this is what a reward hangs on."""

    kind: ClassVar[str] = "review.published"
    review_id: UUID
    member_id: UUID
    sku: str
    rating: int

    def topics(self) -> list[str]:
        """Its author's own."""
        return [member_topic(self.member_id)]
