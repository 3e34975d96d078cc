"""Merges looked at once more, accounts closed in time, copies of members' data."""

from datetime import datetime
from uuid import UUID

from app import leaving, merging
from app.kernel.crypto import Vault
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

log = logger(__name__)


@job(queue=NIGHTLY)
async def make_export(work: Work, *, member_id: str, export_id: str) -> None:
    """Make the copy that a member asked for; done twice it is there once."""
    key, export = UUID(member_id), UUID(export_id)
    vault = Vault.from_settings(work.settings)
    async with work.database.begin() as tx, work.database.read() as read:
        await leaving.make_export(tx, read, vault=vault, member_id=key, export_id=export)


@job(queue=NIGHTLY)
@planned
async def close_members(work: Work, *, due_at: datetime) -> None:
    """Erase accounts that were closed long enough ago, end old copies, and settle merges."""
    erased = await drain(work.database, leaving.erase_due)
    ended = await drain(work.database, leaving.end_exports)
    await drain(work.database, leaving.give_up_exports)
    settled = await drain(work.database, merging.settle)
    if erased or ended or settled:
        log.info("members left", erased=erased, exports_ended=ended, merges_settled=settled)
