"""Making a copy of everything of a member: one JSON in a ZIP, sealed piece by piece."""

import io
import zipfile
from collections.abc import AsyncGenerator, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Table as SchemaTable
from sqlalchemy import delete, func, insert, select, update

from app import members
from app.kernel.crypto import Vault
from app.kernel.db import Read, Tx
from app.kernel.table import Table
from app.leaving.errors import ExportedRecently, ExportUnderWay
from app.leaving.events import DataExportReady, DataExportRequested
from app.leaving.queries import SEALED_AS
from app.leaving.rules import EXPORT_LASTS, EXPORT_PATIENCE, PART_BYTES, seconds_to_wait
from app.leaving.tables import DataExport, DataExportPart, ExportState
from app.merging import PARTS, Part

ROWS_TOGETHER = 1_000
INSIDE = "linli.json"


async def request_export(tx: Tx, *, member_id: UUID) -> DataExport:
    """Ask for a copy: one under way a member, and one a day.

    Raises MemberNotFound, MemberClosed, ExportUnderWay, ExportedRecently.
    """
    member = (await members.lock_members(tx, [member_id])).get(member_id)
    if member is None:
        raise members.MemberNotFound()
    if member.status is members.MemberStatus.CLOSED:
        raise members.MemberClosed()
    mine = DataExport.member_id == member_id
    if await tx.session.scalar(
        select(DataExport.id).where(mine, DataExport.state == ExportState.WAITING)
    ):
        raise ExportUnderWay()
    last = await tx.session.scalar(
        select(func.max(DataExport.requested_at)).where(
            mine, DataExport.state != ExportState.FAILED
        )
    )
    seconds = seconds_to_wait(last, tx.now)
    if seconds:
        raise ExportedRecently(seconds=seconds)
    made = DataExport(
        member_id=member_id, id=tx.new_id(), state=ExportState.WAITING, requested_at=tx.now, bytes=0
    )
    tx.session.add(made)
    await tx.session.flush()
    tx.emit(DataExportRequested(member_id=member_id, export_id=made.id))
    return made


async def make_export(
    tx: Tx, read: Read, *, vault: Vault, member_id: UUID, export_id: UUID
) -> bool:
    """Write the file of a copy that waits for it; False if it waits no longer.

    Rows come by a thousand from `read` and go out sealed, so that a copy of any size takes a few
    megabytes of memory. All of it is there with this transaction, or nothing.
    """
    export = await tx.session.get(DataExport, (member_id, export_id), with_for_update=True)
    if export is None or export.state is not ExportState.WAITING:
        return False
    number = size = 0
    async for piece in _file(read, vault, member_id):
        row = {
            "member_id": member_id,
            "export_id": export_id,
            "part": number,
            "kid": vault.kid,
            "sealed": vault.seal_bytes(SEALED_AS, piece),
        }
        await tx.session.execute(insert(DataExportPart), row)
        number, size = number + 1, size + len(piece)
    export.state, export.bytes = ExportState.READY, size
    export.ready_at, export.ends_at = tx.now, tx.now + EXPORT_LASTS
    tx.emit(DataExportReady(member_id=member_id, export_id=export_id))
    return True


async def give_up_exports(tx: Tx) -> int:
    """Call copies failed that wait for hours, so that others can be asked for; answers how many."""
    failed = await tx.session.scalars(
        update(DataExport)
        .where(
            DataExport.state == ExportState.WAITING,
            DataExport.requested_at <= tx.now - EXPORT_PATIENCE,
        )
        .values(state=ExportState.FAILED)
        .returning(DataExport.id)
        .execution_options(synchronize_session=False)
    )
    return len(failed.all())


async def end_exports(tx: Tx, *, limit: int = 100) -> int:
    """Delete the files of copies whose time is over; answers how many there were."""
    due = (
        select(DataExport.id)
        .where(DataExport.state == ExportState.READY, DataExport.ends_at <= tx.now)
        .order_by(DataExport.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ended = list(
        await tx.session.scalars(
            update(DataExport)
            .where(DataExport.id.in_(due.scalar_subquery()))
            .values(state=ExportState.ENDED)
            .returning(DataExport.id)
            .execution_options(synchronize_session=False)
        )
    )
    if ended:
        await tx.session.execute(delete(DataExportPart).where(DataExportPart.export_id.in_(ended)))
    return len(ended)


async def _file(read: Read, vault: Vault, member_id: UUID) -> AsyncGenerator[bytes]:
    sink = _Sink()
    with (
        zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(INSIDE, "w", force_zip64=True) as entry,
    ):
        async for chunk in _json(read, vault, member_id):
            entry.write(chunk)
            if sink.waiting >= PART_BYTES:
                yield sink.take()
    yield sink.take()


async def _json(read: Read, vault: Vault, member_id: UUID) -> AsyncGenerator[bytes]:
    """The copy's text: `{"member", "made_at", "withheld", "tables": {name: [row, …]}}`."""
    own = await whole_person(read, member_id)
    withheld = {name: part.withheld for name, part in PARTS.items() if part.withheld}
    head = {"member": str(member_id), "made_at": read.now.isoformat(), "withheld": withheld}
    yield orjson.dumps(head)[:-1] + b',"tables":{'
    between = b""
    tables = Table.metadata.tables
    for name, part in PARTS.items():
        if part.withheld or name not in tables:
            continue
        yield between + orjson.dumps(name) + b":["
        between, comma = b",\n", b""
        async for row in _rows(read, tables[name], part, own):
            yield comma + orjson.dumps(_opened(row, vault), default=_plain)
            comma = b",\n"
        yield b"]"
    yield b"}}\n"


async def whole_person(read: Read, member_id: UUID) -> list[UUID]:
    """The member's id and those of members who were merged into them."""
    merged = await read.session.scalars(
        select(members.Member.id).where(members.Member.merged_into == member_id)
    )
    return [member_id, *sorted(merged)]


async def _rows(
    read: Read, table: SchemaTable, part: Part, own: Sequence[UUID]
) -> AsyncGenerator[dict[str, Any]]:
    columns = [column for column in table.columns if column.name not in part.hidden]
    query = select(*columns).where(table.columns[part.by[0]].in_(own))
    query = query.order_by(*table.primary_key.columns)
    found = await read.session.stream(query, execution_options={"yield_per": ROWS_TOGETHER})
    async for row in found.mappings():
        yield dict(row)


def _opened(row: dict[str, Any], vault: Vault) -> dict[str, Any]:
    """Sealed values as the member knows them."""
    if "sealed" in row and "kind" in row:
        row["value"] = vault.open(row["kind"], row.pop("sealed"))
    return row


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID | datetime | date):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value).__name__)


class _Sink(io.RawIOBase):
    """Takes what the ZIP writes and cannot go back, until it is taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        return len(self._held)

    def take(self) -> bytes:
        """What waits."""
        taken = bytes(self._held)
        self._held.clear()
        return taken

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Take some more."""
        self._held += data
        return len(data)
