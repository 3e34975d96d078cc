"""Parts of packs unlock, holds end, and birthdays and festivals bring their gifts."""

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from app import gifts, points
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job()
async def unlock_packs(work: Work, *, member_id: str) -> None:
    """Give a member the parts of their packs that waited for the coupon they have just used."""
    async with work.database.begin() as tx:
        await gifts.unlock_due(tx, member_id=UUID(member_id))


@job()
async def return_gifts(work: Work, *, member_id: str, order_id: str) -> None:
    """Put the gifts of an order that came to nothing back into stock; again it changes nothing."""
    async with work.database.begin() as tx:
        # A member who was merged meanwhile has given their orders to the other.
        heir = await points.heir_of(tx, UUID(member_id))
        await gifts.return_gifts(tx, member_id=heir, order_id=UUID(order_id))


@job(queue=NIGHTLY)
@planned
async def move_gifts(work: Work, *, due_at: datetime) -> None:
    """Give parts of packs whose day has come, end hopeless ones, and free gifts held too long."""
    async with work.database.begin() as tx:
        given = await gifts.unlock_due(tx)
    given += await drain(work.database, partial(gifts.unlock_due, look_for_used=False))
    lapsed = await drain(work.database, gifts.lapse_hopeless)
    freed = await drain(work.database, gifts.free_due)
    if given or lapsed or freed:
        log.info("gifts moved", parts=given, lapsed=lapsed, freed=freed)


@job(queue=NIGHTLY, time_limit=timedelta(hours=2))
@planned
async def give_occasions(work: Work, *, due_at: datetime) -> None:
    """Give the gifts of birthdays and festivals; killed half-way it goes on where it was.

    It looks each hour, for a day begins at another hour in each time zone.
    """
    await drain(work.database, gifts.give_occasions)
