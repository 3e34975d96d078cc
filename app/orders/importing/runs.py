"""The bookkeeping of imports: which file, how far, and only one at a time of each source."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from app.kernel.db import Database, Tx
from app.orders.errors import ImportUnderWay
from app.orders.importing.staging import drop_stage, fresh_stage, staged_count
from app.orders.tables import ImportKind, ImportPhase, ImportRun

LOCK_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reading has come: rows of the file, of them rejected, bytes of the rejects file."""

    rows_read: int
    rows_rejected: int
    rejects_bytes: int


@asynccontextmanager
async def only_import_of(database: Database, source: str) -> AsyncGenerator[None]:
    """Hold the right to import this source.

    A killed import may still hold it for a moment until the server notices: wait a minute at most.
    Raises ImportUnderWay.
    """
    async with database.begin() as tx:
        # A transaction without a snapshot: it may stay open long without holding vacuum back.
        await tx.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        patience = int(LOCK_PATIENCE_SECONDS * 1000)
        await tx.session.execute(text(f"SET LOCAL lock_timeout = {patience}"))
        name = {"name": f"import {source}"}
        try:
            await tx.session.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), name
            )
        except DBAPIError as error:
            if "lock timeout" not in str(error):
                raise
            raise ImportUnderWay(source=source) from None
        yield


async def open_run(
    tx: Tx,
    *,
    kind: ImportKind,
    source: str,
    fingerprint: str,
    file_name: str,
    rejects_path: str,
    rejects_there: int | None,
) -> ImportRun:
    """The file's run: a new one, or the one that was interrupted, ready to go on.

    It starts over when the file was imported before, when the server lost the staged rows in a
    crash, or when the rejects file of the interrupted run is not there any more (`rejects_there`
    is its present size, None for no such file).
    """
    values = {
        "kind": kind,
        "file_name": file_name,
        "rejects_path": rejects_path,
        "phase": ImportPhase.STAGING,
        "started_at": tx.now,
        "rows_read": 0,
    }
    await tx.session.execute(
        insert(ImportRun)
        .values(id=tx.new_id(), source=source, fingerprint=fingerprint, **values)
        .on_conflict_do_nothing()
    )
    row = (ImportRun.source == source) & (ImportRun.fingerprint == fingerprint)
    run = (await tx.session.scalars(select(ImportRun).where(row).with_for_update())).one()
    if not await _can_go_on(tx, run, rejects_path, rejects_there):
        await fresh_stage(tx, run)
        counters = {"rows_staged": 0, "rows_rejected": 0, "rejects_bytes": 0, "next_bucket": 0}
        await tx.session.execute(
            update(ImportRun)
            .where(ImportRun.id == run.id)
            .values(**values, **counters, finished_at=None)
        )
        await tx.session.refresh(run)
    return run


async def advance_run(tx: Tx, run: ImportRun, **values: object) -> None:
    """Store how far the run has come, with the rows of this transaction."""
    await tx.session.execute(update(ImportRun).where(ImportRun.id == run.id).values(**values))
    for name, value in values.items():
        setattr(run, name, value)


async def note_staged(tx: Tx, run: ImportRun, *, staged: int, progress: Progress) -> None:
    """Store the progress of reading with the rows that were staged."""
    await advance_run(
        tx,
        run,
        rows_staged=run.rows_staged + staged,
        rows_read=progress.rows_read,
        rows_rejected=progress.rows_rejected,
        rejects_bytes=progress.rejects_bytes,
    )


async def finish_run(tx: Tx, run: ImportRun) -> None:
    """Drop the staged rows, refresh the planner's statistics and close the run.

    Those of lines are fresh from the matching of refunds.
    """
    await drop_stage(tx, run)
    tables = ["member", "identity"]
    tables += ["activity"] if run.kind is ImportKind.EVENTS else []
    tables += ["member_order", "refund"] if run.kind is ImportKind.ORDERS else []
    await tx.session.execute(text(f"ANALYZE {', '.join(tables)}"))
    await advance_run(tx, run, phase=ImportPhase.FINISHED, finished_at=tx.now)


async def _can_go_on(tx: Tx, run: ImportRun, path: str, there: int | None) -> bool:
    if run.phase is ImportPhase.FINISHED:
        return False
    if run.rejects_bytes and (run.rejects_path != path or (there or 0) < run.rejects_bytes):
        return False
    return await staged_count(tx, run) == run.rows_staged
