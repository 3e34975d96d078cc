"""The triggers of a night, found from what came of the scores of the nights before."""

import asyncio
from datetime import datetime

from app import churn
from app.kernel.db import Database
from app.kernel.log import logger

log = logger(__name__)


async def follow_triggers(database: Database, *, as_of: datetime, horizon_days: int) -> None:
    """Find and keep, for each precision that a community asks for, the trigger of a night.

    Doing it again finds the same. Where too little has happened, or the search itself breaks, the
    settings stay in force: a night is not to fail by what it could do without.
    """
    async with database.read() as read:
        asked = await churn.precisions_asked(read)
        if not asked:
            return
        rises = await churn.read_rises(read, as_of=as_of, horizon_days=horizon_days)
    try:
        found = await asyncio.to_thread(_find, rises, asked, int(as_of.timestamp()), horizon_days)
    except Exception as error:  # whatever numbers may do
        log.warning("no triggers found", why=f"{type(error).__name__}: {error}")
        found = [churn.NewTrigger(precision) for precision in asked]
    async with database.begin() as tx:
        await churn.record_triggers(tx, as_of=as_of, nights=rises.nights, found=found)


def _find(
    seen: churn.ScoreRises, asked: list[float], now: int, horizon_days: int
) -> list[churn.NewTrigger]:
    from ml.following import Rises, find

    rises = Rises(seen.before, seen.score, seen.at, seen.woken)
    answers: list[churn.NewTrigger] = []
    for precision in asked:
        found = find(rises, now=now, horizon_days=horizon_days, precision=precision)
        answers.append(
            churn.NewTrigger(precision)
            if found is None
            else churn.NewTrigger(
                precision, found.trigger, found.share, found.error, found.rises, found.days
            )
        )
    return answers
