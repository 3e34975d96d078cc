"""Batched reads of scores and alerts."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select, tuple_

from app.churn.tables import (
    OPEN_STATES,
    AlertState,
    ChurnAlert,
    ChurnAlertStep,
    ChurnScore,
)
from app.kernel.db import Read


async def score_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, ChurnScore]:
    """The newest score of each member; members who were never scored are absent."""
    rows = await read.session.scalars(
        select(ChurnScore).where(ChurnScore.member_id.in_(list(keys)))
    )
    return {row.member_id: row for row in rows}


async def alert_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, ChurnAlert]:
    """Alerts by id, open or closed; unknown ids are absent."""
    rows = await read.session.scalars(select(ChurnAlert).where(ChurnAlert.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def open_alert_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, ChurnAlert]:
    """The alert that is open for each member; the others are absent."""
    rows = await read.session.scalars(
        select(ChurnAlert).where(
            ChurnAlert.member_id.in_(list(keys)), ChurnAlert.state.in_(OPEN_STATES)
        )
    )
    return {row.member_id: row for row in rows}


async def steps_by_alert(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[ChurnAlertStep]]:
    """The history of each alert, oldest first."""
    rows = await read.session.scalars(
        select(ChurnAlertStep)
        .where(ChurnAlertStep.alert_id.in_(list(keys)))
        .order_by(ChurnAlertStep.at, ChurnAlertStep.state)
    )
    found: dict[UUID, list[ChurnAlertStep]] = {}
    for row in rows:
        found.setdefault(row.alert_id, []).append(row)
    return found


async def alerts_page(
    read: Read,
    *,
    state: AlertState | None,
    after: tuple[float, UUID] | None,
    first: int,
) -> list[ChurnAlert]:
    """Alerts, the likeliest to leave first, after a keyset position (probability, id).

    Without a state, all that are open. One more than `first` if there are more.
    """
    query = select(ChurnAlert).order_by(ChurnAlert.probability.desc(), ChurnAlert.id.desc())
    states = OPEN_STATES if state is None else (state,)
    query = query.where(ChurnAlert.state.in_(states)).limit(first + 1)
    if after is not None:
        query = query.where(tuple_(ChurnAlert.probability, ChurnAlert.id) < tuple_(*after))
    return list(await read.session.scalars(query))
