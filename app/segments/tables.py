"""Where each member stands in the life cycle, how they came there, and the runs that found out."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table
from app.segments.stages import Stage, StageReason


class MemberStage(Table):
    """A member's stage now, with the facts it was judged by; rewritten only where it changes.

    Facts are those of `as_of`, the run that last changed the row: a later run that found the same
    facts left it alone. Members who closed their account, and test members, have no row.
    """

    __tablename__ = "member_stage"
    __table_args__ = (Index(None, "stage", "member_id"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    stage: Mapped[Stage]
    reason: Mapped[StageReason]
    # The run that first found the member in this stage.
    since: Mapped[datetime]
    as_of: Mapped[datetime]
    orders: Mapped[int]
    last_order_at: Mapped[datetime | None]
    # Whole fen, rounded down; None without orders that count.
    average_order_fen: Mapped[int | None]
    orders30: Mapped[int]
    net90: Mapped[int]
    # 1 (lowest) to 5; None for members without orders that count.
    rfm_r: Mapped[int | None] = mapped_column(SmallInteger)
    rfm_f: Mapped[int | None] = mapped_column(SmallInteger)
    rfm_m: Mapped[int | None] = mapped_column(SmallInteger)
    # Of the orders that the silences were derived from; None where no run has said so.
    orders_digest: Mapped[int | None]


class StageTransition(Table):
    """A change of stage, seen by the run of instant `at`. The first has no `from_stage`.

    `to_stage` is None when the member left (account closed, or marked as a test).
    """

    __tablename__ = "stage_transition"
    __table_args__ = (
        Index(None, "at", "to_stage"),
        CheckConstraint("from_stage IS DISTINCT FROM to_stage", name="changes"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    from_stage: Mapped[Stage | None]
    to_stage: Mapped[Stage | None]
    at: Mapped[datetime]
    reason: Mapped[StageReason]


class SegmentRun(Table):
    """One computation of every member's stage, with the cut points it drew.

    `applied` is False for a replay of an instant older than the stages in force.
    """

    __tablename__ = "segment_run"
    __table_args__ = (Index(None, "version", unique=True),)

    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    # Of the cut points; grows with each new instant.
    version: Mapped[int]
    ran_at: Mapped[datetime]
    applied: Mapped[bool] = mapped_column(Boolean)
    members: Mapped[int]
    changed: Mapped[int]
    # Stage -> members.
    counts: Mapped[Json]
    # vip_net90, high_average (fen or null); recency (seconds), frequency, monetary: four limits.
    cut_points: Mapped[Json]
    vip_net90: Mapped[int]
    total_net90: Mapped[int]
    alarms: Mapped[list[str]]


class SilenceEpisode(Table):
    """A time of 30 days or more without an order that counts, until the order that ended it.

    Derived anew from the orders by each run that finds others than before, so that a refund
    restates it; `id` stays while `silent_from` does. No foreign key leads to the member: it would
    be looked up for every row, and every row comes from an order, which has one.
    """

    __tablename__ = "silence_episode"
    __table_args__ = (
        Index(None, "member_id", "silent_from", unique=True),
        Index(
            "uq_silence_episode_open",
            "member_id",
            unique=True,
            postgresql_where=text("woken_at IS NULL"),
        ),
        CheckConstraint("(woken_at IS NULL) = (order_id IS NULL)", name="woken_by_an_order"),
        CheckConstraint("woken_at >= silent_from", name="wakes_after_falling_silent"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    silent_from: Mapped[datetime]
    woken_at: Mapped[datetime | None]
    order_id: Mapped[UUID | None]
