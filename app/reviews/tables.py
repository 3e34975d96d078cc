"""What buyers say of products."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table


class ReviewState(StrEnum):
    """Whether others see a review."""

    PENDING = "PENDING"
    PUBLISHED = "PUBLISHED"
    HIDDEN = "HIDDEN"


class Review(Table):
    """A buyer's review of a product: one a member and product."""

    __tablename__ = "review"
    __table_args__ = (
        Index(None, "member_id", "sku", unique=True),
        Index(None, "id", unique=True),
        # The queue of moderation, and a product's published reviews.
        Index(None, "state", "submitted_at"),
        Index(None, "sku", "state", "id"),
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
        CheckConstraint("(state = 'PENDING') = (moderated_at IS NULL)", name="moderated"),
        CheckConstraint("(moderated_at IS NULL) = (moderated_by IS NULL)", name="moderator"),
        CheckConstraint("state <> 'PUBLISHED' OR published_at IS NOT NULL", name="published"),
        CheckConstraint("state <> 'HIDDEN' OR hidden_reason IS NOT NULL", name="hidden"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    sku: Mapped[str]
    rating: Mapped[int] = mapped_column(SmallInteger)
    text: Mapped[str]
    state: Mapped[ReviewState]
    submitted_at: Mapped[datetime]
    moderated_at: Mapped[datetime | None]
    moderated_by: Mapped[UUID | None]
    hidden_reason: Mapped[str | None]
    # First time; kept when it is hidden later, so that it is rewarded once.
    published_at: Mapped[datetime | None]
