"""Where a file's good rows wait until all have been read.

Each run has an unlogged table of its own, outside the schema that migrations describe. Rows carry
a bucket by the hash of their order number, so that all lines of an order are merged in the same
step, wherever in the file they stand.
"""

import io
from typing import Final
from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Tx
from app.orders.bulk import connection_of
from app.orders.tables import ImportKind, ImportRun

SCHEMA: Final = "linli_import"
BUCKETS: Final = 256

LINE_COLUMNS: Final = {
    "bucket": "smallint",
    "row_no": "bigint",
    "member_id": "uuid",
    "order_no": "text",
    "at": "timestamptz",
    # True for a return: then quantity and fen say what came and went back.
    "returned": "boolean",
    "quantity": "integer",
    "fen": "bigint",
    "sku": "text",
    "name": "text",
    "category": "text",
    "channel": "text",
}
EVENT_COLUMNS: Final = {
    "bucket": "smallint",
    "row_no": "bigint",
    "member_id": "uuid",
    "event_id": "text",
    "at": "timestamptz",
    "kind": "text",
    "seconds": "integer",
    "channel": "text",
    "sku": "text",
    "category": "text",
    "app_version": "text",
    "touchpoint": "text",
}
_COLUMNS: Final = {ImportKind.ORDERS: LINE_COLUMNS, ImportKind.EVENTS: EVENT_COLUMNS}


def stage_name(run_id: UUID) -> str:
    """The name of a run's table, without its schema."""
    return f"stage_{run_id.hex}"


def stage_of(run: ImportRun) -> str:
    """The full name of a run's table, safe to put into SQL."""
    return f"{SCHEMA}.{stage_name(run.id)}"


async def fresh_stage(tx: Tx, run: ImportRun) -> None:
    """An empty staging table for the run, whatever there was before."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS[run.kind].items())
    for statement in (
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f"DROP TABLE IF EXISTS {stage_of(run)}",
        f"CREATE UNLOGGED TABLE {stage_of(run)} ({columns}) WITH (autovacuum_enabled = false)",
    ):
        await tx.session.execute(text(statement))


async def drop_stage(tx: Tx, run: ImportRun) -> None:
    """Give the space back."""
    await tx.session.execute(text(f"DROP TABLE IF EXISTS {stage_of(run)}"))


async def staged_count(tx: Tx, run: ImportRun) -> int | None:
    """How many rows wait, or None without a table; a crash of the server empties it."""
    if await tx.session.scalar(text("SELECT to_regclass(:name)"), {"name": stage_of(run)}) is None:
        return None
    return await tx.session.scalar(text(f"SELECT count(*) FROM {stage_of(run)}"))


async def stage_rows(tx: Tx, run: ImportRun, csv: bytes) -> int:
    """COPY rows into the run's table; answers how many.

    `csv` holds them without a header, in the order of LINE_COLUMNS or EVENT_COLUMNS, with instants
    in ISO form and empty unquoted fields for what is missing.
    """
    if not csv:
        return 0
    connection = await connection_of(tx)
    done = await connection.copy_to_table(
        stage_name(run.id),
        schema_name=SCHEMA,
        source=io.BytesIO(csv),
        columns=list(_COLUMNS[run.kind]),
        format="csv",
    )
    return int(done.rpartition(" ")[2])
