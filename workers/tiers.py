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


@job()
async def give_up_bookings(work: Work, *, member_id: str) -> None:
    """Free the places that a closed account has booked; doing it again changes nothing."""
    async with work.database.begin() as tx:
        await tiers.give_up_bookings(tx, member_id=UUID(member_id))


@job(queue=NIGHTLY, time_limit=timedelta(hours=2))
@planned
async def run_tiers(work: Work, *, due_at: datetime) -> None:
    """Preview and publish each zone's run of the month once it has begun there.

    Killed half-way it goes on where it was; it looks often, for a month begins at another hour in
    each time zone, and has nothing to do but some minutes a month.
    """
    async with work.database.read() as read:
        due = [zone for zone in await tiers.zones(read) if tiers.is_run_due(due_at, zone)]
        months = {zone: tiers.run_month(due_at, zone) for zone in due}
        runs = {zone: await tiers.run_of(read, month, zone) for zone, month in months.items()}
    for zone, month in months.items():
        run = runs[zone]
        if run is None or run.state is not tiers.RunState.PUBLISHED:
            await _to_the_end(work, month, zone, preview_only=False)


@job(queue=NIGHTLY, time_limit=timedelta(hours=2))
async def take_run_on(work: Work, *, month: str, publish: bool, zone: str | None = None) -> None:
    """Preview a run that staff asked for, or publish it; delivered again it has nothing to do."""
    home = zone or work.settings.time_zone
    await _to_the_end(work, date.fromisoformat(month), home, preview_only=not publish)


@job(queue=NIGHTLY)
@planned
async def notify_tiers(work: Work, *, due_at: datetime) -> None:
    """Tell who will lose ground in a coming run, where it is half past nine.

    Whoever was told of it is not told again.
    """
    async with work.database.read() as read:
        zones = [zone for zone in await tiers.zones(read) if tiers.is_notice_hour(due_at, zone)]
    for zone in zones:
        await _notify(work, zone)


async def _notify(work: Work, zone: str) -> None:
    after: UUID | None = None
    while True:
        async with work.database.begin() as tx:
            after = await tiers.notify_unsafe(tx, after=after, zone=zone)
        if after is None:
            return


async def _to_the_end(work: Work, month: date, zone: str, *, preview_only: bool) -> None:
    while True:
        async with work.database.begin() as tx:
            progress = await tiers.advance(tx, month=month, preview_only=preview_only, zone=zone)
        if progress.finished:
            break
    log.info(
        "tiers previewed" if preview_only else "tiers ran",
        month=f"{month:%Y-%m}",
        zone=zone,
        members=progress.members,
    )
