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
    Float,
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
from sqlalchemy.sql.elements import ColumnElement

from app.churn.closing import among, close_alerts
from app.churn.events import ALERTS_TOPIC, RiskRaised
from app.churn.rules import HYSTERESIS, TRIGGER, first_state, pause_before
from app.churn.tables import (
    OPEN_STATES,
    AlertState,
    ChurnAlert,
    ChurnAlertStep,
    ChurnScore,
    ChurnScoreHistory,
)
from app.kernel.db import Read, Tx
from app.kernel.sets import emit_each, uuid7_each
from app.kernel.table import Json
from app.members import Community, Member, MemberStatus
from app.segments import MemberStage, Stage

BATCH = 5_000
"""How many scores one transaction takes."""


@dataclass(frozen=True, slots=True)
class NewScores:
    """Scores of one model and instant: a member, a probability and reasons `{zh, en, …}` a row."""

    model_id: UUID
    as_of: datetime
    horizon_days: int
    member_ids: Sequence[UUID]
    probability: Sequence[float]
    reasons: Sequence[list[Json]]


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
    announced, only when a score rises through its community's trigger, and not for members who
    have churned already.
    """
    members = await _upsert(tx, scores)
    await _remember(tx, members)
    await _follow(tx, members)
    recovered = await close_alerts(
        tx,
        state=AlertState.RECOVERED,
        chosen=and_(
            among(ChurnAlert.member_id, members),
            ChurnAlert.probability <= HYSTERESIS * ChurnAlert.trigger,
        ),
    )
    await _unlatch(tx, members)
    raised = await _raise(tx, members)
    return Stored(len(members), len(scores.member_ids) - len(members), raised, recovered)


async def _upsert(tx: Tx, scores: NewScores) -> list[UUID]:
    names = ["member_id", "as_of", "probability", "horizon_days", "model_id", "reasons"]
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
    given = (
        func.unnest(
            literal(list(scores.member_ids), ARRAY(Uuid())),
            literal([float(value) for value in scores.probability], ARRAY(Double())),
            literal(reasons, ARRAY(Text())),
        )
        .table_valued(
            column("member_id", Uuid()), column("probability", Double()), column("reasons", Text())
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
    """Let open alerts show the newest probability, and its reasons if it came with any."""
    told = func.jsonb_array_length(ChurnScore.reasons) > 0
    await tx.session.execute(
        update(ChurnAlert)
        .where(
            among(ChurnAlert.member_id, members),
            ChurnAlert.state.in_(OPEN_STATES),
            ChurnScore.member_id == ChurnAlert.member_id,
        )
        .values(
            probability=ChurnScore.probability,
            reasons=case((told, ChurnScore.reasons), else_=ChurnAlert.reasons),
        )
    )


def _trigger() -> ColumnElement[float]:
    """The community's own trigger; one that is no number between 0 and 1 is left aside."""
    own = Community.settings["churn_trigger"]
    number = cast(own.astext, Float(53))
    is_number = func.jsonb_typeof(own) == "number"
    return case((is_number, case((number.between(0, 1), number), else_=TRIGGER)), else_=TRIGGER)


async def lowest_trigger(read: Read) -> float:
    """The lowest trigger of any community: scores from here up may raise an alert."""
    lowest = await read.session.scalar(select(func.min(_trigger())))
    return TRIGGER if lowest is None else min(lowest, TRIGGER)


async def _unlatch(tx: Tx, members: list[UUID]) -> None:
    await tx.session.execute(
        update(ChurnScore)
        .where(
            among(ChurnScore.member_id, members),
            ChurnScore.raised,
            Member.id == ChurnScore.member_id,
            Community.id == Member.community_id,
            ChurnScore.probability <= HYSTERESIS * _trigger(),
        )
        .values(raised=False)
    )


def _risen(members: list[UUID], now: datetime) -> "Select[*tuple[Any, ...]]":
    vip = MemberStage.stage == Stage.VIP
    trigger = _trigger()
    return (
        select(
            ChurnScore.member_id.label("member_id"),
            uuid7_each(now).label("id"),
            case((vip, first_state(True).value), else_=first_state(False).value).label("state"),
            ChurnScore.probability.label("probability"),
            trigger.label("trigger"),
            ChurnScore.horizon_days.label("horizon_days"),
            ChurnScore.reasons.label("reasons"),
            literal(now).label("raised_at"),
            ChurnScore.as_of.label("as_of"),
            case((vip, _due(True, now)), else_=_due(False, now)).label("escalates_at"),
        )
        .join(Member, Member.id == ChurnScore.member_id)
        .join(Community, Community.id == Member.community_id)
        .outerjoin(MemberStage, MemberStage.member_id == ChurnScore.member_id)
        .where(
            among(ChurnScore.member_id, members),
            ~ChurnScore.raised,
            ChurnScore.probability >= trigger,
            MemberStage.stage.is_distinct_from(Stage.CHURNED),
        )
    )


def _due(vip: bool, now: datetime) -> ColumnElement[datetime]:
    pause = pause_before(first_state(vip))
    return literal(now if pause is None else now + pause)


async def _raise(tx: Tx, members: list[UUID]) -> int:
    rows = _risen(members, tx.now)
    names = [item.name for item in rows.selected_columns]
    statement = insert(ChurnAlert).from_select(names, rows).on_conflict_do_nothing()
    raised = list(await tx.session.scalars(statement.returning(ChurnAlert.member_id)))
    if not raised:
        return 0
    await tx.session.execute(
        update(ChurnScore).where(among(ChurnScore.member_id, raised)).values(raised=True)
    )
    fresh = (among(ChurnAlert.member_id, raised), ChurnAlert.state.in_(OPEN_STATES))
    steps = select(
        ChurnAlert.member_id, ChurnAlert.id, ChurnAlert.state, ChurnAlert.raised_at
    ).where(*fresh)
    await tx.session.execute(
        insert(ChurnAlertStep).from_select(["member_id", "alert_id", "state", "at"], steps)
    )
    payload = func.jsonb_build_object(
        "alert_id", ChurnAlert.id, "member_id", ChurnAlert.member_id,
        "state", ChurnAlert.state, "probability", ChurnAlert.probability,
        "as_of", ChurnAlert.as_of,
    )  # fmt: skip
    topics = literal([ALERTS_TOPIC], ARRAY(Text()))
    facts = select(topics, payload).where(*fresh).order_by(ChurnAlert.probability.desc())
    return await emit_each(tx, kind=RiskRaised.kind, source=facts)
