"""Badges by rule: at once for the member who just did something, and nightly for everyone."""

from datetime import datetime
from uuid import UUID

from app import eco
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job()
async def award_member(work: Work, *, member_id: str) -> None:
    """Award the badges that a member has come to deserve."""
    async with work.database.begin() as tx:
        await eco.award_badges(tx, member_ids=[UUID(member_id)])


@job(queue=NIGHTLY)
@planned
async def award_all(work: Work, *, due_at: datetime) -> None:
    """Award every badge that is deserved and not held."""
    awarded = await drain(work.database, eco.award_badges)
    log.info("badges awarded", badges=awarded)
