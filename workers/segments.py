"""The nightly judgement of every member's stage."""

from datetime import datetime, timedelta

from app import orders, segments
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, job
from workers.schedule import planned

log = logger(__name__)


@job(queue=NIGHTLY, time_limit=timedelta(hours=1))
@planned
async def run_segments(work: Work, *, due_at: datetime) -> None:
    """Put the stages as of the due instant in force; a second run of it changes nothing."""
    async with work.database.read() as read:
        begun = await orders.newest_payment(read)
    if begun is None:
        # A run over nobody would make every later replay of an imported history look outdated.
        log.info("no orders yet: no segments")
        return
    async with work.database.begin() as tx:
        run = await segments.run(tx, as_of=due_at)
    log.info("segments ran", members=run.members, changed=run.changed, alarms=run.alarms)
