"""How a night reads the rows of members who changed since the last one, and of nobody else.

What a night knew is kept in a file beside the horizon of its snapshot: the lowest transaction that
had not ended then. A row whose version is older was in it already; whoever has another row is read
anew. A member who merely lost a row is told by the number of rows in the tables, which then is too
low: everything is read. So the file may be lost, old, or of another server, and what comes out is
the same.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import numpy as np

from app.churn import sources
from app.churn.copying import Column, Columns, Places, copy_columns, last_halves, seconds
from app.churn.known import (
    EVENT_COLUMNS,
    LINE_COLUMNS,
    ORDER_COLUMNS,
    Known,
    Raw,
    joined,
    spliced,
)

FORMAT: Final = 3
FEW: Final = 5_000
"""So many members are read by themselves, however many there are in all."""

MANY: Final = 500_000
"""More are never named to PostgreSQL one by one."""

_PART: Final = 5
"""If more than a fifth of the members changed, reading everything costs less."""

_LEFT_SECONDS: Final = 86_400
_LONGEST: Final = 1 << 30

# Another cluster, database or timeline (a restored backup) has other transactions of these numbers.
_MARK = """
    SELECT s.system_identifier || '/' || c.timeline_id || '/' || d.oid AS whose,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
    FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
    WHERE d.datname = current_database()
"""
_SINCE = """
    SELECT age('{}'::xid) AS age, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next
"""
# A part of the members is read by the keys of the tables: PostgreSQL takes the list of them for
# longer than it is, and would look through whole tables with it.
_BY_KEYS = """
    SET LOCAL enable_seqscan = off;
    SET LOCAL max_parallel_workers_per_gather = 0
"""
# The tables have just been looked through, and are half as much work as the keys in their indexes.
_BY_HEAP = """
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_indexonlyscan = off
"""
_MAY_MARK = """
    SELECT has_function_privilege('pg_control_system()', 'EXECUTE')
       AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which database it was, and the lowest transaction that had not ended in its snapshot."""

    whose: str
    horizon: int


@dataclass(frozen=True, eq=False)
class Old:
    """What a file held: the members then, what was known of them, and since when."""

    mark: Mark
    members: Column
    known: Known


async def mark_of(driver: "asyncpg.Connection") -> Mark | None:
    """The mark of the connection's snapshot; None where the server does not tell."""
    if not await driver.fetchval(_MAY_MARK):
        return None
    row = await driver.fetchrow(_MARK)
    assert row is not None
    return Mark(row["whose"], row["horizon"])


async def read_known(
    driver: "asyncpg.Connection",
    members: Column,
    whose: Column | sources.Whose | None = None,
) -> Known:
    """Everything in the connection's snapshot, or the rows of a few members (positions).

    `members` are the ids of all, or of those who meet the condition `whose`. Memory is that of the
    arrays (62 bytes an order, 12 a line, 18 an event) and half as much again while they are put in
    order.
    """
    if callable(whose):
        of = whose
    else:
        of = sources.everybody if whose is None else sources.only(members[whose])
    reading = _Reading(driver, Places(members), len(members))
    bought = await _bought(reading, of)
    told = await reading.some(sources.activities(of), sources.EVENTS)
    ours = await reading.some(sources.befallen(of), sources.EVENTS, rows=sources.ONE_A_ROW)
    return joined(Raw(*bought, told, ours), reading.rows, reading.strays)


async def _bought(reading: "_Reading", of: sources.Whose) -> tuple[Columns, Columns, Columns]:
    """Orders, lines and refunds, with positions of orders for their ids."""
    orders = await reading.some(sources.orders(of), sources.ORDERS)
    ids = orders.pop("id")
    own = Places(ids)
    orders["tie"] = last_halves(ids)

    def place(block: Columns) -> Columns:
        block["order"] = own.of_runs(block["order"])
        return reading.owned(block, "order")

    def refer(block: Columns) -> Columns:
        halves = np.ascontiguousarray(block["order"]).view(np.uint64).reshape(-1, 2)
        block["loose"] = np.all(halves == 0, axis=1)
        block["order"] = own.of(block["order"])
        return block

    lines = await copy_columns(reading.driver, sources.lines(of), sources.LINES, place)
    reading.count(orders["member"], np.bincount(lines["order"], minlength=len(orders["member"])))
    return orders, lines, await reading.some(sources.refunds(of), sources.REFUNDS, refer)


class _Reading:
    """Reads blocks of rows with positions for ids, and counts the rows of each member."""

    def __init__(self, driver: "asyncpg.Connection", places: Places, size: int) -> None:
        self.driver, self._places = driver, places
        self.rows = np.zeros(size, dtype=np.int32)
        self.strays = 0

    async def some(
        self,
        query: Any,
        widths: dict[str, int],
        refine: Callable[[Columns], Columns] | None = None,
        rows: tuple[int, ...] | None = None,
    ) -> Columns:
        """Rows of members, with seconds for instants; `rows` are the kinds that count as rows."""

        def whole(block: Columns) -> Columns:
            block["member"] = self._places.of(block["member"])
            block["at"] = seconds(block["at"])
            if "gone_at" in block:
                block["gone_at"] = seconds(block["gone_at"])
            known = self.owned(block, "member", rows)
            return known if refine is None else refine(known)

        columns = await copy_columns(self.driver, query, widths, whole)
        counts = None if rows is None else np.isin(columns["kind"], rows)
        self.count(columns["member"], counts)
        return columns

    def owned(self, block: Columns, key: str, kinds: tuple[int, ...] | None = None) -> Columns:
        """The rows that belong to somebody; those that do not are counted, if of these kinds."""
        known = block[key] >= 0
        if known.all():
            return block
        counts = ~known if kinds is None else ~known & np.isin(block["kind"], kinds)
        self.strays += int(counts.sum())
        return {name: column[known] for name, column in block.items()}

    def count(self, members: Column, counts: Column | None = None) -> None:
        """Count a row of each of these members, or so many."""
        self.rows += np.bincount(members, counts, minlength=len(self.rows)).astype(np.int32)


async def renewed(driver: "asyncpg.Connection", members: Column, old: Old) -> Known | None:
    """What was kept, with whoever changed since; None where everything has to be read.

    `members` are the ids of all of them in the connection's snapshot.
    """
    horizon = old.mark.horizon
    row = await driver.fetchrow(_SINCE.format(horizon & 0xFFFF_FFFF))
    assert row is not None
    # Transactions are numbered in a circle: one from the other half of it looks like one to come.
    if not 0 <= row["next"] - horizon < _LONGEST:
        return None
    places = Places(members)
    found = await copy_columns(
        driver,
        sources.touched(row["age"]),
        {"id": 16},
        lambda block: {"at": places.of(block["id"])},
    )
    touched = np.zeros(len(members), dtype=np.bool_)
    touched[found["at"][found["at"] >= 0]] = True
    some = np.flatnonzero(touched)
    if len(some) > min(max(FEW, len(members) // _PART), MANY):
        return None
    await driver.execute(_BY_KEYS)
    fresh = await read_known(driver, members, some)
    known = spliced(old.known, places.of(old.members), fresh, touched)
    there = int(known.rows.sum(dtype=np.int64)) + known.strays
    await driver.execute(_BY_HEAP)
    # Nothing but a whole reading follows, which has no other plan.
    return known if there == await driver.fetchval(sources.rows()) else None


def save(kept: Path, known: Known, members: Column, mark: Mark) -> None:
    """Write the file whole or not at all: the one before stays good, if further behind."""
    columns: Columns = {"members": members, "rows": known.rows}
    for kind, table in (("order", known.orders), ("line", known.lines), ("event", known.events)):
        columns |= {f"{kind}_{name}": column for name, column in table.items()}
    note = {"format": FORMAT, "strays": known.strays, "whose": mark.whose, "horizon": mark.horizon}
    savez: Any = np.savez
    beside = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        _sweep(kept)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            savez(file, about=np.frombuffer(json.dumps(note).encode(), np.uint8), **columns)
        beside.replace(kept)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _sweep(kept: Path) -> None:
    """Delete what processes that were killed while writing have left."""
    for left in kept.parent.glob(f"{kept.name}.*"):
        if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
            left.unlink(missing_ok=True)


def opened(kept: Path, whose: str) -> Old | None:
    """What was kept of this very database; None where that cannot be used."""
    try:
        with kept.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(bytes(file["about"]))
            if (about["format"], about["whose"]) != (FORMAT, whose):
                return None

            def table(kind: str, names: tuple[str, ...]) -> Columns:
                return {name: file[f"{kind}_{name}"] for name in names}

            known = Known(
                file["rows"],
                int(about["strays"]),
                table("order", ORDER_COLUMNS),
                table("line", LINE_COLUMNS),
                table("event", EVENT_COLUMNS),
            )
            return Old(Mark(whose, int(about["horizon"])), file["members"], known)
    except Exception:  # whatever lies there, it is only a help
        return None
