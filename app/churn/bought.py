"""Orders and lines as columns, and how a night reads only those that changed since the last one.

What was read can be kept in a file beside the horizon of its snapshot: the lowest transaction that
had not ended then. A row whose version is older was in it already; every other row is read anew and
takes the place of the one with its key. A row that has vanished leaves one too many behind, which
the table's own count shows: then everything is read. So the file may be lost, old, or of another
server, and what comes out is the same.
"""

import asyncio
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import numpy as np
from sqlalchemy import ColumnElement, Integer, Select, func, literal_column, select, text, true
from sqlalchemy import cast as sql_cast

from app.churn.copying import Column, Columns, Places, copy_columns
from app.kernel.table import Table
from app.orders import Order, OrderLine

FORMAT: Final = 1
_LEFT_SECONDS: Final = 86_400
_ORDERS: Final = {"member": 16, "id": 16, "at": 8, "gone_at": 8, "fen": 8, "discount_fen": 8}
_LINES: Final = {"order": 16, "line_no": 4, "quantity": 4, "product": 4, "category": 4}
_ENDLESS: Final = literal_column("'infinity'::timestamptz")

# Another cluster, database or timeline (a restored backup) has other transactions of these numbers.
_MARK = """
    SELECT s.system_identifier || '/' || c.timeline_id || '/' || d.oid AS whose,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
    FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
    WHERE d.datname = current_database()
"""
_MAY_MARK = """
    SELECT has_function_privilege('pg_control_system()', 'EXECUTE')
       AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')
"""


@dataclass(frozen=True, eq=False)
class Bought:
    """All orders and lines of one snapshot: `member` and `order` are positions, instants are
    PostgreSQL's microseconds, infinity where there is none. An order's `items` are its pieces and
    `products` its different articles. `read` says how many rows were read."""

    orders: Columns
    lines: Columns
    read: int


async def read_bought(
    driver: "asyncpg.Connection", members: Column, kept: Path | None = None
) -> Bought:
    """Orders and lines in the connection's snapshot; `members` are the ids of all members.

    With `kept`, what is in that file is not read again, and the file is written anew.
    """
    places = Places(members)
    if kept is None or not await driver.fetchval(_MAY_MARK):
        return await _whole(driver, places)
    mark = await driver.fetchrow(_MARK)
    assert mark is not None
    # Other work of this process goes on beside the large arrays.
    old = await asyncio.to_thread(_opened, kept, mark["whose"], places)
    bought = None if old is None else await _renewed(driver, places, *old)
    if bought is None:
        bought = await _whole(driver, places)
    note = {"whose": mark["whose"], "horizon": mark["horizon"]}
    await asyncio.to_thread(_save, kept, bought, members, note)
    return bought


async def _whole(driver: "asyncpg.Connection", members: Places) -> Bought:
    orders = await _read_orders(driver, members, true())
    own = Places(orders["id"])

    def refine(block: Columns) -> Columns:
        block["order"] = own.of(block["order"])
        return block

    lines = await copy_columns(driver, _lines(true()), _LINES, refine)
    known = lines["order"] >= 0
    if not known.all():
        lines = {name: column[known] for name, column in lines.items()}
    orders["items"], orders["products"] = _counted(lines, len(orders["at"]))
    return Bought(orders, lines, len(known) + len(orders["at"]))


async def _renewed(
    driver: "asyncpg.Connection", members: Places, old: Bought, horizon: int
) -> Bought | None:
    """What was kept, with what changed since; None where rows have vanished."""
    orders = await _read_orders(driver, members, _since(Order, horizon))
    lines = await copy_columns(driver, _lines(_since(OrderLine, horizon)), _LINES)
    counted = [await driver.fetchval(f"SELECT count(*) FROM {t}") for t in _TABLES]
    replaced = Places(orders["id"]).of(old.orders["id"])
    stays = replaced < 0
    left = int(stays.sum())
    if left + len(orders["at"]) != counted[0]:
        return None
    moved = np.where(stays, np.cumsum(stays) - 1, left + replaced).astype(np.int32)
    for name in ("items", "products"):
        orders[name] = np.zeros(len(orders["at"]), dtype=np.int32)
    merged = {
        name: np.concatenate([column[stays], orders[name]]) for name, column in old.orders.items()
    }
    lines["order"] = found(merged["id"], lines["order"])
    before = {**old.lines, "order": moved[old.lines["order"]]}
    keep = ~_renumbered(before, lines, len(merged["at"]))
    if int(keep.sum()) + len(lines["order"]) != counted[1]:
        return None
    together = {
        name: np.concatenate([column[keep], lines[name]]) for name, column in before.items()
    }
    touched = np.arange(len(merged["at"])) >= left  # orders that were read, or lines of theirs
    touched[lines["order"]] = True
    few = np.flatnonzero(touched[together["order"]])
    again = _counted({name: column[few] for name, column in together.items()}, len(touched))
    for name, counts in zip(("items", "products"), again, strict=True):
        merged[name] = np.where(touched, counts, merged[name])
    return Bought(merged, together, len(orders["at"]) + len(lines["order"]))


def _counted(lines: Columns, orders: int) -> tuple[Column, Column]:
    """How many pieces and how many different articles each order has."""
    order = lines["order"]
    pieces = np.bincount(order, weights=lines["quantity"], minlength=orders)
    keys = (order.astype(np.int64) << 32) | (lines["product"].astype(np.int64) & 0xFFFF_FFFF)
    keys.sort()
    new = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    products = np.bincount(keys[new] >> 32, minlength=orders)
    return np.clip(pieces, 0, 2**31 - 1).astype(np.int32), products.astype(np.int32)


def found(ids: Column, wanted: Column) -> Column:
    """The positions in `ids` of a few wanted ones: the many are looked up among the few."""
    few = np.unique(wanted)
    place = Places(few)
    hits = place.of(ids)
    there = np.flatnonzero(hits >= 0)
    answer = np.full(len(few), -1, dtype=np.int32)
    answer[hits[there]] = there
    return answer[place.of(wanted)]


def _renumbered(before: Columns, now: Columns, orders: int) -> Column:
    """Which lines of before were read again: the same number of the same order."""
    touched = np.zeros(orders, dtype=np.bool_)
    touched[now["order"]] = True
    candidates = np.flatnonzero(touched[before["order"]])

    def keys(lines: Columns, rows: Column | slice) -> Column:
        return (lines["order"][rows].astype(np.int64) << 32) | lines["line_no"][rows]

    answer = np.zeros(len(before["order"]), dtype=np.bool_)
    answer[candidates] = np.isin(keys(before, candidates), keys(now, slice(None)))
    return answer


_TABLES: Final = (Order.__tablename__, OrderLine.__tablename__)


def _since(table: type[Table], horizon: int) -> ColumnElement[bool]:
    """Rows whose version is not older than a transaction; ages count back from one that is new.

    A version from before two thousand million transactions looks new: it is read once more.
    """
    name = table.__tablename__
    lowest = f"'{horizon & 0xFFFF_FFFF}'::xid"
    return text(f"age({name}.xmin) <= age({lowest})")  # pyright: ignore[reportReturnType]


async def _read_orders(
    driver: "asyncpg.Connection", members: Places, chosen: ColumnElement[bool]
) -> Columns:
    query = select(
        Order.member_id,
        Order.id,
        func.coalesce(Order.paid_at, _ENDLESS),
        func.coalesce(Order.cancelled_at, _ENDLESS),
        Order.total_fen,
        Order.discount_fen,
    ).where(chosen)

    def refine(block: Columns) -> Columns:
        block["member"] = members.of(block["member"])
        return block

    return await copy_columns(driver, query, _ORDERS, refine)


def _lines(chosen: ColumnElement[bool]) -> "Select[*tuple[Any, ...]]":
    """Lines; articles and categories by a hash, which hardly two of one member share."""
    category = func.hashtext(OrderLine.category).op("&")(literal_column("2147483647"))
    return select(
        OrderLine.order_id,
        sql_cast(OrderLine.line_no, Integer),
        OrderLine.quantity,
        func.hashtext(OrderLine.sku),
        func.coalesce(category, literal_column("-1")),
    ).where(chosen)


def _save(kept: Path, bought: Bought, members: Column, about: dict[str, Any]) -> None:
    """Write the file whole or not at all: the one before stays good, if further behind."""
    columns: Columns = {"members": members}
    columns |= {f"order_{name}": column for name, column in bought.orders.items()}
    columns |= {f"line_{name}": column for name, column in bought.lines.items()}
    note = json.dumps({"format": FORMAT, **about}).encode()
    savez: Any = np.savez
    beside = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        _sweep(kept)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            savez(file, about=np.frombuffer(note, np.uint8), **columns)
        beside.replace(kept)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _sweep(kept: Path) -> None:
    """Delete what processes that were killed while writing have left."""
    for left in kept.parent.glob(f"{kept.name}.*"):
        if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
            left.unlink(missing_ok=True)


def _opened(kept: Path, whose: str, members: Places) -> tuple[Bought, int] | None:
    """What was kept of this very database, and its horizon; None where that cannot be used."""
    try:
        with kept.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(bytes(file["about"]))
            if (about["format"], about["whose"]) != (FORMAT, whose):
                return None
            place = members.of(file["members"])
            orders = {name: file[f"order_{name}"] for name in (*_ORDERS, "items", "products")}
            lines = {name: file[f"line_{name}"] for name in _LINES}
            orders["member"] = np.where(orders["member"] >= 0, place[orders["member"]], -1)
            return Bought(orders, lines, 0), int(about["horizon"])
    except Exception:  # whatever lies there, it is only a help
        return None
