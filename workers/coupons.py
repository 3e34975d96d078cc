"""Coupons whose day has come, those whose time is over, and those of refunded orders."""

from datetime import datetime
from uuid import UUID

from app import coupons, points
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job()
async def return_coupons(work: Work, *, member_id: str, order_id: str) -> None:
    """Bring an order's coupons up to what went back of it; doing it again changes nothing."""
    async with work.database.begin() as tx:
        # A member who was merged meanwhile has given their orders to the other.
        heir = await points.heir_of(tx, UUID(member_id))
        await coupons.follow_refund(tx, member_id=heir, order_id=UUID(order_id))


@job(queue=NIGHTLY)
@planned
async def move_coupons(work: Work, *, due_at: datetime) -> None:
    """Free what was held too long, show what wakes, end what is over and release its budget."""
    freed = await drain(work.database, coupons.free_due)
    active = await drain(work.database, coupons.activate_due)
    ended = await drain(work.database, coupons.expire_due)
    if freed or active or ended:
        log.info("coupons moved", freed=freed, active=active, ended=ended)
