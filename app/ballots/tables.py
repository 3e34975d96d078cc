"""Ballots, their options, the frozen roll of who may vote, and the votes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.ballots.states import BallotMethod, BallotState, ResultsVisibility, TieRule
from app.kernel.table import Table


class Ballot(Table):
    """A question to a neighbourhood. What voters were told before stays as it was once open."""

    __tablename__ = "ballot"
    __table_args__ = (
        Index(None, "opens_at", "id"),
        Index(None, "closes_at", postgresql_where=text("state = 'OPEN'")),
        CheckConstraint("opens_at < closes_at", name="opens_before_it_closes"),
        CheckConstraint("quorum_percent BETWEEN 0 AND 100", name="quorum"),
        CheckConstraint("(state = 'DRAFT') = (opened_at IS NULL)", name="opened"),
        CheckConstraint("(state IN ('DRAFT', 'OPEN')) = (closed_at IS NULL)", name="closed"),
        CheckConstraint(
            "(state IN ('ADOPTED', 'REJECTED', 'NO_QUORUM')) = (decided_at IS NOT NULL)",
            name="decided",
        ),
        CheckConstraint("(decided_at IS NULL) = (decision_reason IS NULL)", name="reason"),
        CheckConstraint("state <> 'ADOPTED' OR winner_id IS NOT NULL", name="adopted"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    question: Mapped[str]
    method: Mapped[BallotMethod]
    # None asks every community.
    community_id: Mapped[UUID | None] = mapped_column(ForeignKey("community.id"))
    # Stages and tier codes that may vote; empty means all.
    stages: Mapped[list[str]]
    tiers: Mapped[list[str]]
    opens_at: Mapped[datetime]
    closes_at: Mapped[datetime]
    visibility: Mapped[ResultsVisibility]
    # Votes needed, as a share of the roll.
    quorum_percent: Mapped[int]
    tie_rule: Mapped[TieRule]
    change_until_close: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[BallotState]
    created_by: Mapped[UUID]
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    # Members on the roll, and votes counted: known from opening and from the tally on.
    roll_size: Mapped[int | None]
    turnout: Mapped[int | None]
    winner_id: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    decision_reason: Mapped[str | None]


class BallotOption(Table):
    """One answer to choose; `votes` is its final count, None until the tally."""

    __tablename__ = "ballot_option"
    __table_args__ = (
        UniqueConstraint("ballot_id", "position"),
        UniqueConstraint("ballot_id", "label"),
    )

    ballot_id: Mapped[UUID] = mapped_column(ForeignKey("ballot.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int]
    label: Mapped[str]
    votes: Mapped[int | None]


class RollEntry(Table):
    """A member who may vote, written once when the ballot opens."""

    __tablename__ = "ballot_roll"
    __table_args__ = (Index(None, "ballot_id"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    ballot_id: Mapped[UUID] = mapped_column(ForeignKey("ballot.id"), primary_key=True)


class Vote(Table):
    """A member's one vote in a ballot: only who is on the roll, only for an option of it."""

    __tablename__ = "vote"
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "ballot_id"], ["ballot_roll.member_id", "ballot_roll.ballot_id"]
        ),
        ForeignKeyConstraint(
            ["ballot_id", "option_id"], ["ballot_option.ballot_id", "ballot_option.id"]
        ),
        Index(None, "ballot_id", "option_id"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    ballot_id: Mapped[UUID] = mapped_column(primary_key=True)
    option_id: Mapped[UUID]
    cast_at: Mapped[datetime]
    # How often the voter changed their mind.
    changes: Mapped[int]
