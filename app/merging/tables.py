"""Which members turned out to be one person."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table


class Merge(Table):
    """That one member was merged into another: who did it, why, and what moved.

    Until it is settled, what was written for the merged member at the same time is looked for and
    moved too.
    """

    __tablename__ = "member_merge"
    __table_args__ = (
        Index(None, "merged_id", unique=True),
        Index(
            "ix_member_merge_unsettled", "merged_at", postgresql_where=text("settled_at IS NULL")
        ),
        CheckConstraint("member_id <> merged_id", name="two"),
        CheckConstraint("reason <> ''", name="reason"),
    )

    # Who went on.
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    merged_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    merged_at: Mapped[datetime]
    # `staff`, or `member` for someone who proved both identities.
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID]
    reason: Mapped[str]
    # Rows moved, by table or by what they are.
    figures: Mapped[Json]
    settled_at: Mapped[datetime | None]
