"""Signals: what members do less of than before."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, Double, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table


class SignalKind(StrEnum):
    """What a member does less of than before."""

    LOGINS = "LOGINS"
    USAGE = "USAGE"


class SignalOutcome(StrEnum):
    """How a signal ended: use came back, or too little of it was left to compare with."""

    RECOVERED = "RECOVERED"
    FADED = "FADED"


class ChurnSignal(Table):
    """That a member uses the platform much less than before; one open of each kind a member.

    LOGINS counts sessions, USAGE seconds. `recent` is of the 28 business days before `as_of`,
    `baseline` of the 28 before those; both are of the last look that the signal was open at.
    """

    __tablename__ = "churn_signal"
    __table_args__ = (
        Index(
            "uq_churn_signal_open",
            "member_id",
            "kind",
            unique=True,
            postgresql_where=text("closed_at IS NULL"),
        ),
        CheckConstraint("baseline > 0 AND recent >= 0", name="figures"),
        CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="ended_when_closed"),
        CheckConstraint("opened_at <= as_of AND opened_at < closed_at", name="in_time"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    kind: Mapped[SignalKind] = mapped_column(primary_key=True)
    opened_at: Mapped[datetime] = mapped_column(primary_key=True)
    as_of: Mapped[datetime]
    baseline: Mapped[int]
    recent: Mapped[int]
    # As a share of the baseline; -0.3 is 30% less.
    change: Mapped[float] = mapped_column(
        Double,
        Computed("recent::double precision / baseline::double precision - 1", persisted=True),
    )
    closed_at: Mapped[datetime | None]
    outcome: Mapped[SignalOutcome | None]
