"""Drops (秒杀): a stock of coupons that members claim first come, first served."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table
from app.members import IdentityKind


class DropState(StrEnum):
    """Where a drop stands. Claims go by the instants, so a late scheduler changes nothing."""

    SCHEDULED = "SCHEDULED"
    OPEN = "OPEN"
    SOLD_OUT = "SOLD_OUT"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


class ClaimsFate(StrEnum):
    """What becomes of the coupons that were claimed before a drop was cancelled."""

    KEEP = "KEEP"
    REVOKE = "REVOKE"


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
        # A drop may be cancelled when everything has been claimed already.
        CheckConstraint(
            "state = 'CANCELLED' OR (state = 'SOLD_OUT') = (claimed = stock)", name="sold_out"
        ),
        CheckConstraint("early_stock >= 0 AND early_stock <= stock", name="early_stock"),
        CheckConstraint("(early_opens_at IS NULL) = (early_stock = 0)", name="early"),
        CheckConstraint("min_rank > 0", name="min_rank"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_batch.id"))
    title: Mapped[str]
    opens_at: Mapped[datetime]
    closes_at: Mapped[datetime]
    stock: Mapped[int]
    claimed: Mapped[int] = mapped_column(server_default=text("0"))
    state: Mapped[DropState]
    # The audience: members of this community, of this tier's rank or higher, on the list of guests;
    # each of them asks nothing where it is not set.
    community_id: Mapped[UUID | None] = mapped_column(ForeignKey("community.id"))
    min_rank: Mapped[int | None]
    guests_only: Mapped[bool] = mapped_column(Boolean, server_default=false())
    # When the first window of early access begins, and what all of them are given of the stock.
    early_opens_at: Mapped[datetime | None]
    early_stock: Mapped[int] = mapped_column(server_default=text("0"))
    # Grows with every change, so that a watcher can tell the newer of two pictures.
    version: Mapped[int] = mapped_column(server_default=text("1"))
    # Grows with every change of who may claim and when, so that processes which remember that
    # can tell that it is no longer so.
    terms: Mapped[int] = mapped_column(server_default=text("1"))
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


class EarlyWindow(Table):
    """Early access for higher tiers: from `opens_at` on, `stock` more for those of `rank` or above.

    They change until the first begins, never afterwards. Of a drop's windows the later ones are for
    lower ranks, so that whoever could claim in an earlier one still can, and what one leaves over
    flows into the next.
    """

    __tablename__ = "drop_window"
    __table_args__ = (
        Index(None, "drop_id", "rank", unique=True),
        CheckConstraint("stock > 0", name="stock"),
        CheckConstraint("rank > 0", name="rank"),
    )

    drop_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_drop.id"), primary_key=True)
    opens_at: Mapped[datetime] = mapped_column(primary_key=True)
    rank: Mapped[int]
    stock: Mapped[int]


class Guest(Table):
    """A member whom a drop for guests is for."""

    __tablename__ = "drop_guest"
    __table_args__ = (Index(None, "drop_id"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    drop_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_drop.id"), primary_key=True)


class ClaimedIdentity(Table):
    """That somebody who has this identity has claimed, be it under another account by now.

    Kept while the drop takes claims. A foreign key would cost each claim a look at the drop's row.
    """

    __tablename__ = "drop_identity"

    drop_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[IdentityKind] = mapped_column(primary_key=True)
    app: Mapped[str] = mapped_column(primary_key=True)
    blind: Mapped[str] = mapped_column(primary_key=True)


class Cancellation(Table):
    """Why staff cancelled a drop, and how far those who had claimed have been made good.

    `position_at` and `position` are the instant and the coupon of the last claim looked at, in
    their order. `points` and `batch_id` are what each member gets for a coupon that is taken
    back; the batch has set aside what that can take.
    """

    __tablename__ = "drop_cancellation"
    __table_args__ = (
        Index("ix_drop_cancellation_open", "at", postgresql_where=text("done_at IS NULL")),
        CheckConstraint("points > 0", name="points"),
        CheckConstraint(
            "fate = 'REVOKE' OR (points IS NULL AND batch_id IS NULL)", name="compensation"
        ),
        CheckConstraint("revoked >= 0 AND given >= 0 AND given <= revoked", name="revoked"),
        CheckConstraint("promised >= given", name="promised"),
    )

    drop_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_drop.id"), primary_key=True)
    reason: Mapped[str]
    fate: Mapped[ClaimsFate]
    points: Mapped[int | None]
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("coupon_batch.id"))
    # Coupons of `batch_id` that were set aside, and those of them that were given.
    promised: Mapped[int] = mapped_column(server_default=text("0"))
    given: Mapped[int] = mapped_column(server_default=text("0"))
    revoked: Mapped[int] = mapped_column(server_default=text("0"))
    position_at: Mapped[datetime | None]
    position: Mapped[UUID | None]
    cancelled_by: Mapped[UUID | None]
    at: Mapped[datetime]
    done_at: Mapped[datetime | None]
