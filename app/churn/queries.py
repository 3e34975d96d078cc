"""Batched reads of scores and alerts."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select

from app.churn.tables import OPEN_STATES, ChurnAlert, ChurnScore
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
