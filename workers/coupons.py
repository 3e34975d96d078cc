"""Coupons whose day has come, and those whose time is over."""

from datetime import datetime

from app import coupons
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job(queue=NIGHTLY)
@planned
async def move_coupons(work: Work, *, due_at: datetime) -> None:
    """Free what was held too long, show what wakes, end what is over and release its budget."""
    freed = await drain(work.database, coupons.free_due)
    active = await drain(work.database, coupons.activate_due)
    ended = await drain(work.database, coupons.expire_due)
    if freed or active or ended:
        log.info("coupons moved", freed=freed, active=active, ended=ended)
