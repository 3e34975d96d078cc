"""What is known of members, as columns for the models: read by COPY in blocks, without a row loop.

One repeatable-read transaction gives all columns of one instant; it is over before a model runs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import text

from app.churn import sources
from app.churn.copying import Column, copy_columns
from app.churn.kept import Mark, mark_of, opened, read_known, renewed, save
from app.churn.known import Known, seen
from app.churn.ranges import MemberRange
from app.kernel.db import Database


@dataclass(frozen=True, eq=False)
class ChurnFacts:
    """Orders with lines and events of all members but the test ones, one array a column.

    `order_member` and `event_member` are positions in `member_ids` (16-byte values; `ids` gives
    UUIDs), `line_order` in the orders. Orders and events lie by member and instant, lines by order.
    Instants are UTC epoch seconds, money is fen; an instant that has not come is NEVER. An order
    with several refunds takes a row for each, the amounts standing in the first. `utc_offset`
    (seconds) is the platform's zone at the instant read.
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
    order_gone_at: Column
    line_order: Column
    line_product: Column
    line_category: Column
    event_member: Column
    event_at: Column
    event_kind: Column
    event_seconds: Column
    utc_offset: int

    def ids(self, positions: Sequence[int] | Column) -> list[UUID]:
        """The members at these positions."""
        return [UUID(bytes=bytes(value)) for value in self.member_ids[positions].tolist()]


async def read_facts(
    database: Database,
    *,
    as_of: datetime,
    zone: str,
    events_since: datetime | None = None,
    kept: Path | None = None,
    within: MemberRange | None = None,
) -> ChurnFacts:
    """Everything that happened before `as_of`, and nothing of what happened since.

    An order that was cancelled by then carries the instant, so that it counts for cutoffs before
    it. Of events only those from `events_since` on are given, if it is. With `kept`, a file, only
    members of whom anything changed since it was written are read (see `kept.py`); the answer is
    the same. `within` reads some members alone, by their ids; raises MembersMoved where they are
    others by now.
    """
    async with database.read() as read:
        connection = await read.session.connection(
            execution_options={"isolation_level": "REPEATABLE READ"}
        )
        # The adapter begins its transaction with the first statement that goes through it; without
        # one each COPY of the driver's would see another instant.
        await connection.execute(text("SELECT 1"))
        raw = (await connection.get_raw_connection()).driver_connection
        driver = cast("asyncpg.Connection", raw)
        whose = sources.everybody if within is None else within.whose
        everyone = await copy_columns(driver, sources.members(whose), {"id": 16, "is_test": 2})
        if within is not None:
            within.check(len(everyone["id"]))
        mark = None if kept is None or within is not None else await mark_of(driver)
        known = await _known(driver, everyone["id"], kept, mark, whose)
    if kept is not None and mark is not None:
        # Other work of this process goes on beside the large arrays.
        await asyncio.to_thread(save, kept, known, everyone["id"], mark)
    counted = everyone["is_test"] == 0
    now = int(as_of.timestamp())
    since = None if events_since is None else int(events_since.timestamp())
    columns = await asyncio.to_thread(seen, known, counted, now, since)
    offset = as_of.astimezone(ZoneInfo(zone)).utcoffset()
    return ChurnFacts(
        member_ids=everyone["id"][counted],
        **columns,
        utc_offset=0 if offset is None else int(offset.total_seconds()),
    )


async def _known(
    driver: "asyncpg.Connection",
    members: Column,
    kept: Path | None,
    mark: Mark | None,
    whose: sources.Whose,
) -> Known:
    if kept is not None and mark is not None:
        old = await asyncio.to_thread(opened, kept, mark.whose)
        known = None if old is None else await renewed(driver, members, old)
        del old
        if known is not None:
            return known
    return await read_known(driver, members, whose)
