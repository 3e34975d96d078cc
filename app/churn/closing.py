"""What ends alerts and what moves them up, in set SQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Interval,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from app.churn.errors import ReasonRequired
from app.churn.events import ALERTS_TOPIC, AlertClosedBy, AlertEscalated
from app.churn.rules import next_state, pause_before
from app.churn.settings import escalation_hours
from app.churn.tables import OPEN_STATES, AlertState, ChurnAlert, ChurnAlertStep
from app.kernel.db import Tx
from app.kernel.sets import emit_each
from app.kernel.text import checked_text
from app.members import Community, Member, MemberStatus
from app.orders import Order, counts

ESCALATIONS = 1_000
"""How many alerts one call moves up."""

LONGEST_REASON = 200


def among(
    column: "ColumnElement[UUID] | InstrumentedAttribute[UUID]", keys: list[UUID]
) -> "ColumnElement[bool]":
    """The column holds one of the keys, given as one array however many there are."""
    return column == any_(literal(keys, ARRAY(Uuid())))


async def close_alerts(
    tx: Tx,
    *,
    state: AlertState,
    chosen: "ColumnElement[bool]",
    actor_id: UUID | None = None,
    reason: str | None = None,
) -> int:
    """End the open alerts that a predicate chooses, with history and facts; answers how many.

    Their rows are locked in the order of members, so that two who close many do not block each
    other.
    """
    found = list(
        await tx.session.scalars(
            select(ChurnAlert.id)
            .where(ChurnAlert.state.in_(OPEN_STATES), chosen)
            .order_by(ChurnAlert.member_id)
            .with_for_update()
        )
    )
    if found:
        await tx.session.execute(
            update(ChurnAlert)
            .where(among(ChurnAlert.id, found))
            .values(state=state, closed_at=tx.now, escalates_at=None)
        )
        await _put_down(tx, found, kind=AlertClosedBy.kind, actor_id=actor_id, reason=reason)
    return len(found)


async def recover_by_order(tx: Tx, *, member_id: UUID) -> bool:
    """Close a member's alert if an order that counts was paid since the score that raised it."""
    chosen = and_(ChurnAlert.member_id == member_id, _ordered_since())
    return await close_alerts(tx, state=AlertState.RECOVERED, chosen=chosen) > 0


async def settle_alerts(tx: Tx) -> tuple[int, int]:
    """Close alerts whose outcome is known: (recovered by an order, churned).

    Churned are those whose horizon has passed without an order, and those who closed their
    account. Imported orders announce nothing, so this looks at all open alerts; it runs nightly.
    """
    recovered = await close_alerts(tx, state=AlertState.RECOVERED, chosen=_ordered_since())
    # A day of a horizon is 24 hours, as models have it, and not one of the server's time zone.
    span = func.make_interval(0, 0, 0, 0, 24 * ChurnAlert.horizon_days)
    over = ChurnAlert.as_of + cast(span, Interval)
    churned = await close_alerts(
        tx,
        state=AlertState.CHURNED,
        chosen=and_(or_(over <= literal(tx.now), _has_left()), not_(_ordered_since())),
    )
    return recovered, churned


async def escalate_due(tx: Tx) -> int:
    """Move up to 1,000 alerts to their next level; answers how many moved.

    Those that somebody holds wait until the hold ends, and whoever has ordered since has
    recovered instead.
    """
    is_due = and_(
        ChurnAlert.escalates_at <= tx.now,
        or_(ChurnAlert.held_until.is_(None), ChurnAlert.held_until <= tx.now),
    )
    await close_alerts(tx, state=AlertState.RECOVERED, chosen=and_(is_due, _ordered_since()))
    due = (
        select(ChurnAlert.id)
        .where(ChurnAlert.state.in_(OPEN_STATES), is_due)
        .order_by(ChurnAlert.member_id)
        .limit(ESCALATIONS)
        .with_for_update(skip_locked=True)
    )
    moved = list(
        await tx.session.scalars(
            update(ChurnAlert)
            .where(
                ChurnAlert.id.in_(due.scalar_subquery()),
                Member.id == ChurnAlert.member_id,
                Community.id == Member.community_id,
            )
            .values(state=_level(), escalates_at=_next_due(tx.now))
            .returning(ChurnAlert.id)
        )
    )
    if moved:
        await _put_down(tx, moved, kind=AlertEscalated.kind)
    return len(moved)


def checked_reason(reason: str) -> str:
    """What a person gives as the reason, of at most 200 characters.

    Raises ReasonRequired, InvalidInput.
    """
    if not reason.strip():
        raise ReasonRequired()
    return checked_text(reason, field="reason", longest=LONGEST_REASON)


def after_hours(now: datetime) -> "ColumnElement[datetime]":
    """When a level that begins now has had its time, by the setting of the joined community."""
    span = func.make_interval(0, 0, 0, 0, 0, 0, 3_600 * escalation_hours())
    return literal(now, DateTime(timezone=True)) + cast(span, Interval)


def _has_left() -> "ColumnElement[bool]":
    return exists().where(Member.id == ChurnAlert.member_id, Member.status == MemberStatus.CLOSED)


def _ordered_since() -> "ColumnElement[bool]":
    return exists().where(
        Order.member_id == ChurnAlert.member_id, Order.paid_at >= ChurnAlert.as_of, counts()
    )


def _level() -> "ColumnElement[Any]":
    moves = {state: next_state(state) for state in OPEN_STATES}
    whens = {state: upper for state, upper in moves.items() if upper is not None}
    return case(*((ChurnAlert.state == state, literal(up)) for state, up in whens.items()))


def _next_due(now: datetime) -> "ColumnElement[datetime | None]":
    lasting = [
        state
        for state in OPEN_STATES
        if (upper := next_state(state)) is not None and pause_before(upper) is not None
    ]
    return case((ChurnAlert.state.in_(lasting), after_hours(now)), else_=null())


async def _put_down(
    tx: Tx,
    alerts: list[UUID],
    *,
    kind: str,
    actor_id: UUID | None = None,
    reason: str | None = None,
) -> None:
    """Write the step that the alerts just took, and announce it to staff."""
    names = ["member_id", "alert_id", "state", "at", "actor_id", "reason"]
    steps = select(
        ChurnAlert.member_id,
        ChurnAlert.id,
        ChurnAlert.state,
        literal(tx.now),
        bindparam("actor_id", actor_id, type_=ChurnAlertStep.actor_id.type),
        bindparam("reason", reason, type_=Text()),
    ).where(among(ChurnAlert.id, alerts))
    await tx.session.execute(insert(ChurnAlertStep).from_select(names, steps))
    payload = func.jsonb_build_object(
        "alert_id", ChurnAlert.id, "member_id", ChurnAlert.member_id, "state", ChurnAlert.state
    )
    topics = literal([ALERTS_TOPIC], ARRAY(Text()))
    await emit_each(
        tx, kind=kind, source=select(topics, payload).where(among(ChurnAlert.id, alerts))
    )
