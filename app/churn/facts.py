"""What is known of members, as columns for the models: read by COPY in blocks, without a row loop.

One repeatable-read transaction gives all columns of one instant; it is over before a model runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Integer, Select, SmallInteger, func, literal_column, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from app.kernel.db import Database
from app.members import Member
from app.orders import Activity, ActivityKind, Order, OrderLine

Column = NDArray[Any]

KIND_CODES: Final = {kind: number for number, kind in enumerate(ActivityKind, start=1)}
"""The models' numbers of what members do: SESSION is 1, MESSAGE_CLICK 10."""

NEVER: Final = int(np.iinfo(np.int64).max)

_POSTGRES_EPOCH = 946_684_800
_HEADER = 19
_BLOCK = 8 * 1024 * 1024

_FORMATS: Final = {2: ">i2", 4: ">i4", 8: ">i8", 16: "V16"}


@dataclass(frozen=True, eq=False)
class ChurnFacts:
    """Orders and activities of all members but the test ones, one array a column.

    `order_member` and `event_member` are positions in `member_ids` (16-byte values; `ids` gives
    UUIDs). Instants are UTC epoch seconds, money is fen; `order_refund_at` is NEVER without a
    refund. `utc_offset` (seconds) is the platform's zone at the instant read.
    """

    member_ids: Column
    order_member: Column
    order_at: Column
    order_fen: Column
    order_items: Column
    order_discount_fen: Column
    order_refund_fen: Column
    order_refund_at: Column
    order_products: Column
    event_member: Column
    event_at: Column
    event_kind: Column
    event_seconds: Column
    utc_offset: int

    def ids(self, positions: Sequence[int] | Column) -> list[UUID]:
        """The members at these positions."""
        return [UUID(bytes=bytes(value)) for value in self.member_ids[positions].tolist()]


async def read_facts(database: Database, *, as_of: datetime, zone: str) -> ChurnFacts:
    """Everything that happened before `as_of`. Cancelled orders are left out.

    Memory is that of the arrays (52 bytes an order, 18 an activity) and one block of 8 MB.
    """
    async with database.read() as read:
        connection = await read.session.connection(
            execution_options={"isolation_level": "REPEATABLE READ"}
        )
        raw = (await connection.get_raw_connection()).driver_connection
        driver = cast("asyncpg.Connection", raw)
        members = await _copy(driver, _members(), id=16)
        orders = await _copy(
            driver, _orders(as_of),
            member=4, at=8, fen=8, items=4, discount=8, refund=8, refund_at=8, products=4,
        )  # fmt: skip
        events = await _copy(driver, _events(as_of), member=4, at=8, kind=2, seconds=4)
    offset = as_of.astimezone(ZoneInfo(zone)).utcoffset()
    return ChurnFacts(
        member_ids=members["id"],
        order_member=orders["member"],
        order_at=_seconds(orders["at"]),
        order_fen=orders["fen"],
        order_items=orders["items"],
        order_discount_fen=orders["discount"],
        order_refund_fen=orders["refund"],
        order_refund_at=_seconds(orders["refund_at"]),
        order_products=orders["products"],
        event_member=events["member"],
        event_at=_seconds(events["at"]),
        event_kind=events["kind"],
        event_seconds=events["seconds"],
        utc_offset=0 if offset is None else int(offset.total_seconds()),
    )


def _coded() -> "Select[UUID, int]":
    """Members with their positions; the same in every statement of one snapshot."""
    place = func.row_number().over(order_by=Member.id) - 1
    return select(Member.id, sql_cast(place, Integer).label("code")).where(~Member.is_test)


def _members() -> "Select[UUID]":
    return select(Member.id).where(~Member.is_test).order_by(Member.id)


def _orders(as_of: datetime) -> "Select[*tuple[Any, ...]]":
    coded = _coded().cte("coded")
    lines = (
        select(
            OrderLine.member_id,
            OrderLine.order_id,
            func.sum(OrderLine.quantity).label("pieces"),
            func.count(OrderLine.sku.distinct()).label("products"),
        )
        .group_by(OrderLine.member_id, OrderLine.order_id)
        .subquery()
    )
    endless = literal_column("'infinity'::timestamptz")
    return (
        select(
            coded.c.code,
            Order.paid_at,
            Order.total_fen,
            sql_cast(func.coalesce(lines.c.pieces, 0), Integer),
            Order.discount_fen,
            Order.refunded_fen,
            func.coalesce(Order.refunded_at, endless),
            sql_cast(func.coalesce(lines.c.products, 0), Integer),
        )
        .join(coded, coded.c.id == Order.member_id)
        .outerjoin(lines, (lines.c.member_id == Order.member_id) & (lines.c.order_id == Order.id))
        .where(Order.paid_at < as_of, Order.cancelled_at.is_(None))
    )


def _events(as_of: datetime) -> "Select[*tuple[Any, ...]]":
    coded = _coded().cte("coded")
    names = literal_column("ARRAY[" + ",".join(f"'{kind.value}'" for kind in KIND_CODES) + "]")
    return (
        select(
            coded.c.code,
            Activity.at,
            sql_cast(func.array_position(names, Activity.kind), SmallInteger),
            sql_cast(Activity.seconds, Integer),
        )
        .join(coded, coded.c.id == Activity.member_id)
        .where(Activity.at < as_of)
    )


async def _copy(
    driver: "asyncpg.Connection", query: "Select[*tuple[Any, ...]]", **widths: int
) -> dict[str, Column]:
    """The columns of a query without nulls whose values have these widths in bytes."""
    statement = query.compile(dialect=asyncpg_dialect(), compile_kwargs={"literal_binds": True})
    blocks = _Blocks(widths)
    await driver.copy_from_query(str(statement), output=blocks.take, format="binary")
    return blocks.columns()


class _Blocks:
    """PostgreSQL's binary COPY format (one int16 count, then length and value of each field) cut
    into columns; every row has the same size because no value is null or of varying length."""

    def __init__(self, widths: dict[str, int]) -> None:
        fields: list[tuple[str, str]] = [("_count", ">i2")]
        for name, width in widths.items():
            fields += [(f"_{name}", ">i4"), (name, _FORMATS[width])]
        self._row = np.dtype(fields)
        self._names = list(widths)
        self._rest = bytearray()
        self._begun = False
        self._parts: dict[str, list[Column]] = {name: [] for name in widths}

    async def take(self, data: bytes) -> None:
        self._rest += data
        if not self._begun and len(self._rest) >= _HEADER:
            del self._rest[:_HEADER]
            self._begun = True
        if len(self._rest) >= _BLOCK:
            self._cut()

    def _cut(self) -> None:
        rows = len(self._rest) // self._row.itemsize
        block = np.frombuffer(bytes(self._rest[: rows * self._row.itemsize]), self._row)
        for name in self._names:
            column = block[name]
            self._parts[name].append(column.astype(column.dtype.newbyteorder("=")))
        del self._rest[: rows * self._row.itemsize]

    def columns(self) -> dict[str, Column]:
        self._cut()
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


def _seconds(microseconds: Column) -> Column:
    """Epoch seconds of PostgreSQL's instants, which count microseconds from 2000 on."""
    answer = microseconds // 1_000_000 + _POSTGRES_EPOCH
    return np.where(microseconds == NEVER, NEVER, answer)
