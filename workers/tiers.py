"""Tiers rise at once when growth settles, and fall only in the monthly run."""

from datetime import date, datetime, timedelta
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


@job()
async def upgrade_inviter(work: Work, *, inviter_id: str) -> None:
    """Move a member up whose invitation has brought them growth."""
    async with work.database.begin() as tx:
        await tiers.upgrade_if_due(tx, member_id=UUID(inviter_id))


@job(queue=NIGHTLY, time_limit=timedelta(hours=2))
@planned
async def run_tiers(work: Work, *, due_at: datetime) -> None:
    """Preview and publish the month's run; killed half-way it goes on where it was."""
    await _to_the_end(work, tiers.run_month(due_at, work.settings.time_zone), preview_only=False)


@job(queue=NIGHTLY, time_limit=timedelta(hours=2))
async def take_run_on(work: Work, *, month: str, publish: bool) -> None:
    """Preview a run that staff asked for, or publish it; delivered again it has nothing to do."""
    await _to_the_end(work, date.fromisoformat(month), preview_only=not publish)


@job(queue=NIGHTLY)
@planned
async def notify_tiers(work: Work, *, due_at: datetime) -> None:
    """Tell who will lose ground in a coming run; whoever was told of it is not told again."""
    after: UUID | None = None
    while True:
        async with work.database.begin() as tx:
            after = await tiers.notify_unsafe(tx, after=after, zone=work.settings.time_zone)
        if after is None:
            return


async def _to_the_end(work: Work, month: date, *, preview_only: bool) -> None:
    while True:
        async with work.database.begin() as tx:
            progress = await tiers.advance(
                tx, month=month, preview_only=preview_only, zone=work.settings.time_zone
            )
        if progress.finished:
            break
    log.info(
        "tiers previewed" if preview_only else "tiers ran",
        month=f"{month:%Y-%m}",
        members=progress.members,
    )
