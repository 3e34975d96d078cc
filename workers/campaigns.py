"""Campaigns start, end, and reach the next members of their audience."""

from datetime import datetime

from app import campaigns
from app.kernel.log import logger
from workers.jobs import Work, job
from workers.schedule import planned

log = logger(__name__)


@job()
@planned
async def run_campaigns(work: Work, *, due_at: datetime) -> None:
    """Start and complete campaigns by their hours and enrol whoever entered an audience."""
    async with work.database.begin() as tx:
        changed = await campaigns.advance_due(tx)
    enrolled, more = 0, True
    while more:
        async with work.database.begin() as tx:
            progress = await campaigns.enrol_due(tx)
        enrolled, more = enrolled + progress.enrolled, progress.more
    if changed or enrolled:
        log.info("campaigns ran", changed=changed, enrolled=enrolled)


@job()
async def enrol_now(work: Work, *, campaign_id: str) -> None:
    """Begin enrolling at once when a campaign starts, instead of within the minute."""
    more = True
    while more:
        async with work.database.begin() as tx:
            more = (await campaigns.enrol_due(tx)).more
    log.info("campaign enrolled", campaign=campaign_id)
