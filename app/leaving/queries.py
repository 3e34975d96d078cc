"""Reads of copies of members' data."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on

from app.kernel.crypto import Vault
from app.kernel.db import Read
from app.leaving.tables import DataExport, DataExportPart, ExportState

SEALED_AS = "data_export"


async def newest_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, DataExport]:
    """Each member's newest copy."""
    rows = await read.session.scalars(
        select(DataExport)
        .where(DataExport.member_id.in_(list(keys)))
        .order_by(DataExport.member_id, DataExport.requested_at.desc(), DataExport.id.desc())
        .ext(distinct_on(DataExport.member_id))
    )
    return {row.member_id: row for row in rows}


async def ready(read: Read, *, member_id: UUID, export_id: UUID) -> DataExport | None:
    """A copy that the member may download now."""
    return await read.session.scalar(
        select(DataExport).where(
            DataExport.member_id == member_id,
            DataExport.id == export_id,
            DataExport.state == ExportState.READY,
            DataExport.ends_at > read.now,
        )
    )


async def part(read: Read, vault: Vault, *, export: DataExport, number: int) -> bytes | None:
    """A piece of the file, opened; None after the last."""
    row = await read.session.get(DataExportPart, (export.member_id, export.id, number))
    if row is None:
        return None
    return vault.open_bytes(SEALED_AS, row.kid, row.sealed)


async def parts_by_kid(read: Read) -> dict[str, int]:
    """How many pieces each key has sealed."""
    rows = await read.session.execute(
        select(DataExportPart.kid, func.count().label("number")).group_by(DataExportPart.kid)
    )
    return {row.kid: row.number for row in rows}
