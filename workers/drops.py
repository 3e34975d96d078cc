"""Claimants of cancelled drops are made good, and identities of ended drops forgotten."""

from datetime import datetime
from uuid import UUID

from app import drops
from app.kernel.db import Tx
from app.kernel.errors import Refusal
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job(queue=NIGHTLY)
async def compensate_claimants(work: Work, *, drop_id: str) -> None:
    """See to everyone who had claimed from a cancelled drop; taken up where it was left."""
    await _compensate(work, UUID(drop_id))


@job(queue=NIGHTLY)
@planned
async def tidy_drops(work: Work, *, due_at: datetime) -> None:
    """Take up compensations that were left (a paused batch, a killed worker), forget identities."""
    async with work.database.read() as read:
        left = await drops.uncompensated(read)
    for drop_id in left:
        await _compensate(work, drop_id)
    await drain(work.database, drops.forget_identities)


async def _compensate(work: Work, drop_id: UUID) -> None:
    async def step(tx: Tx) -> int:
        return await drops.compensate(tx, drop_id=drop_id)

    try:
        seen = await drain(work.database, step)
    except Refusal as refusal:
        # The batch is paused, say: the plan comes round again.
        log.warning("compensation waits", drop=str(drop_id), reason=refusal.code)
        return
    if seen:
        log.info("claimants compensated", drop=str(drop_id), claims=seen)
