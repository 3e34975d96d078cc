"""Storing scores, and the alerts that a batch of scores raises or closes, in set SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    ARRAY,
    Double,
    Select,
    Text,
    Uuid,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from app.churn.closing import among
from app.churn.raising import close_calmed, raise_alerts, unlatch, value_fen
from app.churn.rules import TRIGGER, SignalEffect
from app.churn.settings import signal_effect, signal_share, trigger
from app.churn.tables import OPEN_STATES, ChurnAlert, ChurnScore, ChurnScoreHistory
from app.kernel.db import Read, Tx
from app.kernel.table import Json
from app.members import Member, MemberStatus

BATCH = 5_000
"""How many scores one transaction takes."""


@dataclass(frozen=True, slots=True)
class NewScores:
    """Scores of one model and instant: a member, a probability and reasons `{zh, en, …}` a row.

    `next_order_days` are the median days until the next order, where the model tells them.
    """

    model_id: UUID
    as_of: datetime
    horizon_days: int
    member_ids: Sequence[UUID]
    probability: Sequence[float]
    reasons: Sequence[list[Json]]
    next_order_days: Sequence[float | None] | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch: scores stored or ignored as older, alerts raised or recovered."""

    stored: int = 0
    ignored: int = 0
    raised: int = 0
    recovered: int = 0

    def __add__(self, other: "Stored") -> "Stored":
        """The sums of two batches."""
        return Stored(
            self.stored + other.stored,
            self.ignored + other.ignored,
            self.raised + other.raised,
            self.recovered + other.recovered,
        )


async def store_scores(tx: Tx, scores: NewScores) -> Stored:
    """Put a batch in force (at most 5,000), and raise and close the alerts that follow from it.

    A score older than the member's newest is ignored, and so is the same one coming again, so a
    run that was killed can simply be repeated. Members who left get none. An alert is raised, and
    announced, only when a score rises through its community's trigger, which an open signal
    lowers; `raise_alerts` tells for whom not.
    """
    members = await _upsert(tx, scores)
    await _remember(tx, members)
    await _follow(tx, members)
    recovered = await close_calmed(tx, members)
    await unlatch(tx, members)
    raised = await raise_alerts(tx, members)
    return Stored(len(members), len(scores.member_ids) - len(members), raised, recovered)


async def _upsert(tx: Tx, scores: NewScores) -> list[UUID]:
    names = ["member_id", "as_of", "probability", "horizon_days", "model_id"]
    names += ["reasons", "next_order_days"]
    statement = insert(ChurnScore).from_select(names, _given(scores))
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[ChurnScore.member_id],
        set_={name: new[name] for name in names[1:]},
        where=or_(
            new.as_of > ChurnScore.as_of,
            and_(new.as_of == ChurnScore.as_of, new.model_id != ChurnScore.model_id),
        ),
    )
    return list(await tx.session.scalars(statement.returning(ChurnScore.member_id)))


def _given(scores: NewScores) -> "Select[*tuple[Any, ...]]":
    """The batch as rows, of members who are ours and have not left.

    In the order of the key, so that two runs take their locks alike and cannot block each other.
    """
    reasons = [orjson.dumps(item).decode() for item in scores.reasons]
    days = scores.next_order_days or [None] * len(scores.member_ids)
    given = (
        func.unnest(
            literal(list(scores.member_ids), ARRAY(Uuid())),
            literal([float(value) for value in scores.probability], ARRAY(Double())),
            literal(reasons, ARRAY(Text())),
            literal(days, ARRAY(Double())),
        )
        .table_valued(
            column("member_id", Uuid()),
            column("probability", Double()),
            column("reasons", Text()),
            column("next_order_days", Double()),
        )
        .render_derived()
    )
    return (
        select(
            given.c.member_id,
            literal(scores.as_of),
            given.c.probability,
            literal(scores.horizon_days),
            literal(scores.model_id),
            cast(given.c.reasons, JSONB),
            given.c.next_order_days,
        )
        .join(Member, Member.id == given.c.member_id)
        .where(Member.status != MemberStatus.CLOSED)
        .order_by(given.c.member_id)
    )


async def _remember(tx: Tx, members: list[UUID]) -> None:
    names = ["member_id", "as_of", "probability", "model_id"]
    rows = select(*(getattr(ChurnScore, name) for name in names)).where(
        among(ChurnScore.member_id, members)
    )
    statement = insert(ChurnScoreHistory).from_select(names, rows)
    new = statement.excluded
    await tx.session.execute(
        statement.on_conflict_do_update(
            index_elements=[ChurnScoreHistory.member_id, ChurnScoreHistory.as_of],
            set_={"probability": new.probability, "model_id": new.model_id},
        )
    )


async def _follow(tx: Tx, members: list[UUID]) -> None:
    """Let open alerts show the newest probability, and its reasons if it came with any.

    They are locked in the order of members first, as by all who change many.
    """
    held = (
        select(ChurnAlert.id)
        .where(among(ChurnAlert.member_id, members), ChurnAlert.state.in_(OPEN_STATES))
        .order_by(ChurnAlert.member_id)
        .with_for_update()
    )
    alerts = list(await tx.session.scalars(held))
    if not alerts:
        return
    told = func.jsonb_array_length(ChurnScore.reasons) > 0
    await tx.session.execute(
        update(ChurnAlert)
        .where(among(ChurnAlert.id, alerts), ChurnScore.member_id == ChurnAlert.member_id)
        .values(
            probability=ChurnScore.probability,
            value_fen=value_fen(ChurnAlert.member_id, ChurnAlert.horizon_days),
            reasons=case((told, ChurnScore.reasons), else_=ChurnAlert.reasons),
        )
        .execution_options(synchronize_session=False)
    )


async def lowest_trigger(read: Read) -> float:
    """The lowest probability that may raise an alert anywhere, be it by a trigger that is lowered.

    Scores from here up come with their reasons.
    """
    share = case((signal_effect() == SignalEffect.NONE.value, 1.0), else_=signal_share())
    lowest = await read.session.scalar(select(func.min(trigger() * share)))
    return TRIGGER if lowest is None else min(lowest, TRIGGER)
