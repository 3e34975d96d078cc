"""Set SQL: planning it, and ids and facts by the thousand made inside one statement."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CursorResult,
    Select,
    Text,
    Uuid,
    cast,
    func,
    insert,
    literal,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement

from app.kernel.db import Tx
from app.kernel.outbox import OutboxRow


def uuid7_each(at: datetime) -> ColumnElement[UUID]:
    """A fresh UUIDv7 of the instant `at` for every row of a select (RFC 9562, section 5.7).

    Servers before 18 have no function for it, and asking the system for random bits a million times
    is slow: the 72 bits that differ are a digest of one secret a statement and the row's number.
    """
    head = f"{int(at.timestamp() * 1000) & ((1 << 48) - 1):012x}7"
    row = cast(func.row_number().over(), Text)
    noise = func.md5(literal(secrets.token_hex(16), Text).op("||")(row))
    # The variant's two fixed bits are in the leading digit of the fourth group.
    digits = literal(head, Text).op("||")(func.substr(noise, 1, 3)).op("||")("a")
    return cast(digits.op("||")(func.substr(noise, 4, 15)), Uuid)


async def emit_each(tx: Tx, *, kind: str, source: "Select[Any, Any]") -> int:
    """Announce one fact of this kind for each row of `source` (topics text[], payload jsonb).

    They are stored with the transaction like facts given to `tx.emit`. Answers how many.
    """
    rows = source.subquery()
    topics = type_coerce(rows.c[0], ARRAY(Text()))
    payload = type_coerce(rows.c[1], OutboxRow.payload.type)
    chosen = select(uuid7_each(tx.now), literal(kind), topics, payload, literal(tx.now))
    columns = ["id", "kind", "topics", "payload", "at"]
    result = await tx.session.execute(insert(OutboxRow).from_select(columns, chosen))
    return result.rowcount if isinstance(result, CursorResult) else 0


@asynccontextmanager
async def planned_for_sets(tx: Tx, *, whole_tables: bool = False) -> AsyncGenerator[None]:
    """Let the statements within hash and sort in memory, and never loop within a loop.

    A table that was empty or unknown when a statement was planned looks free to scan once a row;
    joining thousands of rows with it then takes quadratic time. Where `whole_tables` are read, a
    walk along an index, which saves a sort, costs a visit of some page of the table a row.
    """
    settings = {"enable_nestloop": "off", "work_mem": "'256MB'"}
    if whole_tables:
        settings["random_page_cost"] = "4"
    for name, value in settings.items():
        await tx.session.execute(text(f"SET LOCAL {name} = {value}"))
    yield
    # After an exception the transaction ends, and with it what was set.
    for name in settings:
        await tx.session.execute(text(f"SET LOCAL {name} = DEFAULT"))


async def lock_name(tx: Tx, name: str, *, shared: bool = False) -> None:
    """Hold the lock of this name until the transaction ends, alone or with others who share it.

    Such locks are granted in turn, so that a stream of sharers never starves the one who wants it
    alone, as it would with row locks.
    """
    take = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    await tx.session.execute(select(take(func.hashtextextended(name, 0))))
