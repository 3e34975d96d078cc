"""When alerts begin and calm down, by scores and signals, in set SQL.

Whoever raises a member's alert, or forbids it, holds the row of their score: so a mute and a
score that arrive together come one after the other.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ColumnElement

from app.churn.closing import after_hours, among, close_alerts
from app.churn.events import ALERTS_TOPIC, RiskRaised
from app.churn.rules import HYSTERESIS, SignalEffect, first_state
from app.churn.settings import signal_effect, signal_share, trigger
from app.churn.tables import (
    OPEN_STATES,
    AlertCause,
    AlertState,
    ChurnAlert,
    ChurnAlertStep,
    ChurnScore,
    ChurnSignal,
    SignalOutcome,
)
from app.kernel.db import Tx
from app.kernel.sets import emit_each, uuid7_each
from app.members import Community, Member
from app.orders import Order, counts
from app.segments import MemberStage, Stage

SPEND_DAYS = 90
SIGNALLED = 5_000
"""How many members with signals one call looks at."""


def value_fen(member: Any, horizon_days: Any) -> "ColumnElement[int]":
    """What a member would spend within a horizon, by their net spend of 90 days.

    At least an average order of theirs: whoever spent nothing lately is not worth nothing.
    """
    days = cast(horizon_days, BigInteger)
    net = (
        select(
            func.greatest(
                MemberStage.net90 * days // literal(SPEND_DAYS, Integer),
                MemberStage.average_order_fen,
                0,
            )
        )
        .where(MemberStage.member_id == member)
        .correlate_except(MemberStage)
        .scalar_subquery()
    )
    return func.coalesce(net, 0)


async def close_calmed(tx: Tx, members: Sequence[UUID]) -> int:
    """Close the open alerts of members whose risk has fallen to 0.7 of their trigger.

    One that a signal raised stays while that lasts, and when it faded: then nothing is better.
    """
    going_on = exists().where(
        ChurnSignal.member_id == ChurnAlert.member_id,
        or_(
            ChurnSignal.closed_at.is_(None),
            and_(
                ChurnSignal.outcome == SignalOutcome.FADED,
                ChurnSignal.closed_at >= ChurnAlert.as_of,
            ),
        ),
    )
    return await close_alerts(
        tx,
        state=AlertState.RECOVERED,
        chosen=and_(
            among(ChurnAlert.member_id, list(members)),
            ChurnAlert.probability <= HYSTERESIS * ChurnAlert.trigger,
            not_(and_(ChurnAlert.cause == AlertCause.SIGNAL, going_on)),
        ),
    )


async def unlatch(tx: Tx, members: Sequence[UUID]) -> None:
    """Let the members who have calmed down be alerted anew.

    Calm is a score of 0.7 of the trigger or less; after an alert from which the member recovered
    by an order, a score below the trigger is enough: that rise is over.
    """
    latest = (
        select(ChurnAlert.state)
        .where(ChurnAlert.member_id == ChurnScore.member_id)
        .order_by(ChurnAlert.raised_at.desc(), ChurnAlert.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    limit = _trigger()
    raises = and_(signal_effect() == SignalEffect.RAISE.value, _signalled(ChurnScore.member_id))
    await tx.session.execute(
        update(ChurnScore)
        .where(
            among(ChurnScore.member_id, list(members)),
            ChurnScore.raised,
            Member.id == ChurnScore.member_id,
            Community.id == Member.community_id,
            not_(raises),
            or_(
                ChurnScore.probability <= HYSTERESIS * limit,
                and_(ChurnScore.probability < limit, latest == AlertState.RECOVERED),
            ),
        )
        .values(raised=False)
    )


async def raise_alerts(tx: Tx, members: Sequence[UUID]) -> int:
    """Raise and announce the alerts that members' scores and signals call for; answers how many.

    None for members who have churned already, who have ordered since the score's instant, who are
    muted, or who have an open alert. The caller holds the rows of the scores.
    """
    rows = _risen(list(members), tx.now)
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
    worst = (ChurnAlert.probability.desc(), ChurnAlert.id)
    facts = select(topics, payload).where(*fresh).order_by(*worst)
    return await emit_each(tx, kind=RiskRaised.kind, source=facts)


async def raise_signalled(tx: Tx, *, after: UUID | None) -> tuple[int, UUID | None]:
    """Raise the alerts of members with open signals, up to 5,000 of them from a place on.

    Answers how many it raised and where to go on, None at the end. Whoever was alerted already is
    not alerted again, so a run that was killed can be repeated.
    """
    signalled = (
        select(ChurnSignal.member_id)
        .where(ChurnSignal.closed_at.is_(None))
        .distinct()
        .order_by(ChurnSignal.member_id)
        .limit(SIGNALLED)
    )
    if after is not None:
        signalled = signalled.where(ChurnSignal.member_id > after)
    found = list(await tx.session.scalars(signalled))
    if not found:
        return 0, None
    held = (
        select(ChurnScore.member_id)
        .where(among(ChurnScore.member_id, found), ~ChurnScore.raised)
        .order_by(ChurnScore.member_id)
        .with_for_update()
    )
    members = list(await tx.session.scalars(held))
    raised = await raise_alerts(tx, members) if members else 0
    return raised, found[-1] if len(found) == SIGNALLED else None


def _signalled(member: Any) -> "ColumnElement[bool]":
    return exists().where(ChurnSignal.member_id == member, ChurnSignal.closed_at.is_(None))


def _trigger() -> "ColumnElement[float]":
    """The trigger of a joined community and score, lowered by an open signal."""
    lowers = and_(signal_effect() != SignalEffect.NONE.value, _signalled(ChurnScore.member_id))
    return case((lowers, trigger() * signal_share()), else_=trigger())


def _risen(members: list[UUID], now: datetime) -> "Select[*tuple[Any, ...]]":
    vip = MemberStage.stage == Stage.VIP
    limit = _trigger()
    by_score = ChurnScore.probability >= limit
    by_signal = and_(signal_effect() == SignalEffect.RAISE.value, _signalled(ChurnScore.member_id))
    first, vips = first_state(False), first_state(True)
    return (
        select(
            ChurnScore.member_id.label("member_id"),
            uuid7_each(now).label("id"),
            case((vip, vips.value), else_=first.value).label("state"),
            ChurnScore.probability.label("probability"),
            limit.label("trigger"),
            ChurnScore.horizon_days.label("horizon_days"),
            ChurnScore.reasons.label("reasons"),
            literal(now).label("raised_at"),
            ChurnScore.as_of.label("as_of"),
            # The playbook looks at what is open at once; VIPs begin at a level that takes its time.
            case((vip, after_hours(now)), else_=literal(now)).label("escalates_at"),
            case((by_score, AlertCause.SCORE.value), else_=AlertCause.SIGNAL.value).label("cause"),
            value_fen(ChurnScore.member_id, ChurnScore.horizon_days).label("value_fen"),
        )
        .join(Member, Member.id == ChurnScore.member_id)
        .join(Community, Community.id == Member.community_id)
        .outerjoin(MemberStage, MemberStage.member_id == ChurnScore.member_id)
        .where(
            among(ChurnScore.member_id, members),
            ~ChurnScore.raised,
            or_(by_score, by_signal),
            MemberStage.stage.is_distinct_from(Stage.CHURNED),
            not_(_muted(now)),
            not_(_ordered_since()),
        )
    )


def _muted(now: datetime) -> "ColumnElement[bool]":
    return exists().where(
        ChurnAlert.member_id == ChurnScore.member_id, ChurnAlert.muted_until > now
    )


def _ordered_since() -> "ColumnElement[bool]":
    return exists().where(
        Order.member_id == ChurnScore.member_id, Order.paid_at >= ChurnScore.as_of, counts()
    )
