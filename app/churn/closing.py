"""What ends alerts and what moves them up, in set SQL."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
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
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from app.churn.errors import AlertClosed, AlertNotFound, ReasonRequired
from app.churn.events import ALERTS_TOPIC, AlertClosedBy, AlertEscalated
from app.churn.rules import next_state, pause_before
from app.churn.tables import OPEN_STATES, AlertState, ChurnAlert, ChurnAlertStep
from app.kernel.db import Tx
from app.kernel.sets import emit_each
from app.orders import Order, counts

ESCALATIONS = 1_000
"""How many alerts one call moves up."""


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
    """End the open alerts that a predicate chooses, with history and facts; answers how many."""
    closed = list(
        await tx.session.scalars(
            update(ChurnAlert)
            .where(ChurnAlert.state.in_(OPEN_STATES), chosen)
            .values(state=state, closed_at=tx.now, escalates_at=None)
            .returning(ChurnAlert.id)
        )
    )
    if closed:
        await _put_down(tx, closed, kind=AlertClosedBy.kind, actor_id=actor_id, reason=reason)
    return len(closed)


async def recover_by_order(tx: Tx, *, member_id: UUID) -> bool:
    """Close a member's alert if an order that counts was paid since the score that raised it."""
    chosen = and_(ChurnAlert.member_id == member_id, _ordered_since())
    return await close_alerts(tx, state=AlertState.RECOVERED, chosen=chosen) > 0


async def settle_alerts(tx: Tx) -> tuple[int, int]:
    """Close alerts whose outcome is known: (recovered by an order, churned).

    Imported orders announce nothing, so this looks at all open alerts; it runs nightly.
    """
    recovered = await close_alerts(tx, state=AlertState.RECOVERED, chosen=_ordered_since())
    over = ChurnAlert.as_of + cast(func.make_interval(0, 0, 0, ChurnAlert.horizon_days), Interval)
    churned = await close_alerts(
        tx,
        state=AlertState.CHURNED,
        chosen=and_(over <= literal(tx.now), not_(_ordered_since())),
    )
    return recovered, churned


async def escalate_due(tx: Tx) -> int:
    """Move up to 1,000 alerts to their next level; answers how many were due."""
    due = (
        select(ChurnAlert.id)
        .where(ChurnAlert.state.in_(OPEN_STATES), ChurnAlert.escalates_at <= tx.now)
        .order_by(ChurnAlert.member_id)
        .limit(ESCALATIONS)
        .with_for_update(skip_locked=True)
    )
    moved = list(
        await tx.session.scalars(
            update(ChurnAlert)
            .where(ChurnAlert.id.in_(due.scalar_subquery()))
            .values(state=_level(), escalates_at=literal(tx.now) + _pause())
            .returning(ChurnAlert.id)
        )
    )
    if moved:
        await _put_down(tx, moved, kind=AlertEscalated.kind)
    return len(moved)


async def close_by_staff(
    tx: Tx, *, alert_id: UUID, actor_id: UUID, state: AlertState, reason: str
) -> None:
    """Mute an alert or call it a false alarm; the member is not alerted again before calming down.

    Raises AlertNotFound, AlertClosed, ReasonRequired.
    """
    if not reason.strip():
        raise ReasonRequired()
    if state not in (AlertState.MUTED, AlertState.FALSE_ALARM):
        raise ValueError(f"{state} is not for staff to give")
    chosen = ChurnAlert.id == alert_id
    closed = await close_alerts(tx, state=state, chosen=chosen, actor_id=actor_id, reason=reason)
    if not closed:
        known = await tx.session.scalar(select(ChurnAlert.id).where(chosen))
        raise AlertClosed() if known else AlertNotFound()


def _ordered_since() -> "ColumnElement[bool]":
    return exists().where(
        Order.member_id == ChurnAlert.member_id, Order.paid_at >= ChurnAlert.as_of, counts()
    )


def _level() -> "ColumnElement[Any]":
    moves = {state: next_state(state) for state in OPEN_STATES}
    whens = {state: upper for state, upper in moves.items() if upper is not None}
    return case(*((ChurnAlert.state == state, literal(up)) for state, up in whens.items()))


def _pause() -> "ColumnElement[timedelta | None]":
    pauses = {
        state: pause_before(upper)
        for state in OPEN_STATES
        if (upper := next_state(state)) is not None
    }
    return case(
        *((ChurnAlert.state == state, literal(pause, Interval)) for state, pause in pauses.items())
    )


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
