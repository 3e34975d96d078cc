"""Drops (秒杀): a stock of coupons that members claim first come, first served."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table


class DropState(StrEnum):
    """Where a drop stands. Claims go by the instants, so a late scheduler changes nothing."""

    SCHEDULED = "SCHEDULED"
    OPEN = "OPEN"
    SOLD_OUT = "SOLD_OUT"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


class Drop(Table):
    """A stock of one batch's coupons, claimable in `[opens_at, closes_at)`."""

    __tablename__ = "coupon_drop"
    __table_args__ = (
        Index(None, "batch_id"),
        Index("ix_coupon_drop_to_open", "opens_at", postgresql_where=text("state = 'SCHEDULED'")),
        Index(
            "ix_coupon_drop_to_settle",
            "closes_at",
            postgresql_where=text("settled_at IS NULL"),
        ),
        CheckConstraint("stock > 0", name="stock"),
        CheckConstraint("claimed >= 0 AND claimed <= stock", name="claimed"),
        CheckConstraint("opens_at < closes_at", name="times"),
        CheckConstraint("(state = 'SOLD_OUT') = (claimed = stock)", name="sold_out"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_batch.id"))
    title: Mapped[str]
    opens_at: Mapped[datetime]
    closes_at: Mapped[datetime]
    stock: Mapped[int]
    claimed: Mapped[int] = mapped_column(server_default=text("0"))
    state: Mapped[DropState]
    # The audience: members of this community, or everyone.
    community_id: Mapped[UUID | None] = mapped_column(ForeignKey("community.id"))
    # Grows with every change, so that a watcher can tell the newer of two pictures.
    version: Mapped[int] = mapped_column(server_default=text("1"))
    # When the batch got back what was not claimed; only then is the drop done with its batch.
    settled_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]

    @property
    def remaining(self) -> int:
        """How many can still be claimed."""
        return self.stock - self.claimed


class Claim(Table):
    """A member's one claim in a drop and the coupon it gave."""

    __tablename__ = "drop_claim"
    __table_args__ = (Index(None, "drop_id", "claimed_at"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    drop_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_drop.id"), primary_key=True)
    coupon_id: Mapped[UUID]
    claimed_at: Mapped[datetime]
