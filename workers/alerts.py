"""Signals and the alerts that they raise, by night; alerts whose hold has ended, by day."""

from datetime import datetime, timedelta

from app import churn
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job(queue=NIGHTLY, time_limit=timedelta(hours=1), retries=3)
@planned
async def look_at_signals(work: Work, *, due_at: datetime) -> None:
    """Hold every member's use against their own, then raise the alerts that this calls for.

    One time zone a transaction; a run that was killed is simply repeated.
    """
    async with work.database.read() as read:
        zones = await churn.time_zones(read)
    looked = churn.Looked()
    for zone in zones:
        async with work.database.begin() as tx:
            looked += await churn.look_at_signals(tx, zone=zone, at=due_at)
    raised, after = 0, None
    while True:
        async with work.database.begin() as tx:
            more, after = await churn.raise_signalled(tx, after=after)
        raised += more
        if after is None:
            break
    log.info(
        "signals looked at",
        opened=looked.opened,
        ongoing=looked.ongoing,
        recovered=looked.recovered,
        faded=looked.faded,
        alerts=raised,
    )


@job()
@planned
async def release_alerts(work: Work, *, due_at: datetime) -> None:
    """Give alerts back to the queue that somebody has held for their 72 hours."""
    released = await drain(work.database, churn.release_due)
    if released:
        log.info("alerts given back", alerts=released)
