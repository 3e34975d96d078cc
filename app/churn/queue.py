"""The staff's queue of alerts, and what is told of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal, or_, select, tuple_
from sqlalchemy.orm import aliased

from app.churn.tables import (
    OPEN_STATES,
    AlertState,
    ChurnAlert,
    ChurnAlertAction,
    ChurnAlertStep,
    ChurnSignal,
)
from app.kernel.db import Read

MOST_ACTIONS = 100

# Of one instant, the state that comes first in an alert's life.
_PLACES = {state: place for place, state in enumerate(AlertState)}


class AlertOrder(StrEnum):
    """What a queue begins with."""

    PROBABILITY = "PROBABILITY"
    EXPECTED_LOSS = "EXPECTED_LOSS"


@dataclass(frozen=True, slots=True)
class AlertsAsked:
    """Which alerts; without a state all that are open. A hold that is over is nobody's any more."""

    state: AlertState | None = None
    taken_by: UUID | None = None
    unacknowledged: bool = False
    # Held by nobody.
    free: bool = False


ALL_OPEN = AlertsAsked()


def order_key(order: AlertOrder) -> Any:
    """The column that an order goes by, the greatest first; the id decides among equals."""
    if order is AlertOrder.EXPECTED_LOSS:
        return ChurnAlert.expected_loss_fen
    return ChurnAlert.probability


async def alerts_page(
    read: Read,
    *,
    state: AlertState | None = None,
    after: tuple[float, UUID] | None = None,
    first: int,
    asked: AlertsAsked = ALL_OPEN,
    order: AlertOrder = AlertOrder.PROBABILITY,
) -> list[ChurnAlert]:
    """Alerts after a keyset position (the order's value, id), the greatest value first.

    Without a state, all that are open. One more than `first` if there are more.
    """
    query = page_query(read, asked=asked, state=state, order=order, after=after, first=first)
    return list(await read.session.scalars(query))


def page_query(
    read: Read,
    *,
    asked: AlertsAsked,
    state: AlertState | None = None,
    order: AlertOrder,
    after: tuple[float, UUID] | None,
    first: int,
) -> "Select[ChurnAlert]":
    """The statement of `alerts_page`."""
    key, wanted = order_key(order), state or asked.state
    query = select(ChurnAlert).order_by(key.desc(), ChurnAlert.id.desc())
    query = query.where(ChurnAlert.state.in_(OPEN_STATES if wanted is None else (wanted,)))
    if asked.taken_by is not None:
        query = query.where(ChurnAlert.taken_by == asked.taken_by, ChurnAlert.held_until > read.now)
    if asked.free:
        query = query.where(or_(ChurnAlert.taken_by.is_(None), ChurnAlert.held_until <= read.now))
    if asked.unacknowledged:
        query = query.where(ChurnAlert.acknowledged_at.is_(None))
    if after is not None:
        place = tuple_(literal(after[0], key.type), literal(after[1], ChurnAlert.id.type))
        query = query.where(tuple_(key, ChurnAlert.id) < place)
    return query.limit(first + 1)


async def steps_by_alert(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[ChurnAlertStep]]:
    """The states that each alert went through, oldest first."""
    rows = await read.session.scalars(
        select(ChurnAlertStep)
        .join(ChurnAlert, ChurnAlert.member_id == ChurnAlertStep.member_id)
        .where(ChurnAlert.id.in_(list(keys)), ChurnAlertStep.alert_id == ChurnAlert.id)
    )
    found: dict[UUID, list[ChurnAlertStep]] = {}
    for row in sorted(rows, key=lambda row: (row.at, _PLACES[row.state])):
        found.setdefault(row.alert_id, []).append(row)
    return found


async def actions_by_alert(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[ChurnAlertAction]]:
    """What was done with each alert, oldest first; the newest hundred of each."""
    newest = func.row_number().over(
        partition_by=ChurnAlertAction.alert_id,
        order_by=(ChurnAlertAction.at.desc(), ChurnAlertAction.id.desc()),
    )
    ranked = (
        select(ChurnAlertAction, newest.label("place"))
        .join(ChurnAlert, ChurnAlert.member_id == ChurnAlertAction.member_id)
        .where(ChurnAlert.id.in_(list(keys)), ChurnAlertAction.alert_id == ChurnAlert.id)
        .subquery()
    )
    action = aliased(ChurnAlertAction, ranked)
    rows = await read.session.scalars(
        select(action).where(ranked.c.place <= MOST_ACTIONS).order_by(action.at, action.id)
    )
    found: dict[UUID, list[ChurnAlertAction]] = {}
    for row in rows:
        found.setdefault(row.alert_id, []).append(row)
    return found


async def signals_by_alert(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[ChurnSignal]]:
    """The signals that were open at some time of each alert, oldest first."""
    rows = await read.session.execute(
        select(ChurnAlert.id, ChurnSignal)
        .join(ChurnSignal, ChurnSignal.member_id == ChurnAlert.member_id)
        .where(
            ChurnAlert.id.in_(list(keys)),
            or_(ChurnAlert.closed_at.is_(None), ChurnSignal.opened_at <= ChurnAlert.closed_at),
            or_(ChurnSignal.closed_at.is_(None), ChurnSignal.closed_at >= ChurnAlert.raised_at),
        )
        .order_by(ChurnSignal.opened_at, ChurnSignal.kind)
    )
    found: dict[UUID, list[ChurnSignal]] = {}
    for alert, signal in rows:
        found.setdefault(alert, []).append(signal)
    return found
