"""Tiers rise at once when growth settles, and fall only in the monthly run."""

from datetime import datetime, timedelta
from uuid import UUID

from app import tiers
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, job
from workers.schedule import planned

log = logger(__name__)


@job()
async def upgrade_tier(work: Work, *, member_id: str) -> None:
    """Move a member up if their growth allows it."""
    async with work.database.begin() as tx:
        await tiers.upgrade_if_due(tx, member_id=UUID(member_id))


@job(queue=NIGHTLY, time_limit=timedelta(hours=2))
@planned
async def run_tiers(work: Work, *, due_at: datetime) -> None:
    """Preview and publish the month's run; killed half-way it goes on where it was."""
    month = tiers.run_month(due_at)
    while True:
        async with work.database.begin() as tx:
            progress = await tiers.advance(tx, month=month)
        if progress.finished:
            break
    log.info("tiers ran", month=f"{month:%Y-%m}", members=progress.members)
