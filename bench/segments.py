"""How long a run of the segments takes: `python -m bench.segments --members 100000`.

Makes members with ten orders each over two years (a tenth of them refunded in part or in whole),
one line an order, and a browse a member and week of the last two months, in an own server that is
thrown away; then measures the first run, the same run again and the next night's, when one member
in twenty has ordered again, beside the plain aggregate over the same orders that any such run must
at least do. Where the machine is shared PostgreSQL's processor seconds and their ratio to the
aggregate's say more than the clock, so the aggregate is read, once it is warm, before each run.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic import command
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app import segments
from app.kernel.db import Database, sqlalchemy_url
from app.kernel.embedded import start_postgres
from bench.year import server_seconds
from cli.migrating import alembic_config

AS_OF = datetime(2026, 3, 18, 16, 0, tzinfo=UTC)

# Times lie on fixed fractions of the past that differ by member, so that a run can be repeated.
_FILL = [
    """INSERT INTO community (id, name, time_zone, created_at)
       VALUES (gen_random_uuid(), 'bench', 'Asia/Shanghai', :as_of)""",
    """INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
       SELECT gen_random_uuid(), (SELECT id FROM community), 'm' || n, 'ACTIVE', 'zh-CN',
              CAST(:as_of AS timestamptz) - random() * interval '730 days'
       FROM generate_series(1, :members) AS n""",
    # A third buy often and lately, a third drift off, a third came once upon a time.
    """INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, paid_at,
                                 settled_at, total_fen)
       SELECT m.id, gen_random_uuid(), 'bench', n::text, 'APP', o.at, o.at, o.at,
              (1000 * exp(2 * random() + (hashtext(m.id::text) & 3)))::bigint
       FROM generate_series(1, 10) AS n, member AS m,
            LATERAL (SELECT CAST(:as_of AS timestamptz) - interval '1 day'
                     * (((hashtext(m.id::text) & 255) * 2.0) * (n % 3) / 3 + 60 * random() * n / 5)
                     AS at) AS o""",
    """INSERT INTO order_line
         (member_id, order_id, line_no, quantity, paid_fen, sku, name, category)
       SELECT member_id, id, 1, 1, total_fen, 'S', 'S', 'c' || (hashtext(member_id::text) & 7)
       FROM member_order""",
    """INSERT INTO refund (member_id, id, source, refund_no, order_id, quantity, amount_fen, at)
       SELECT member_id, gen_random_uuid(), 'bench', id::text, id, 0,
              total_fen / (1 + (hashtext(id::text) & 1)), paid_at + interval '2 days'
       FROM member_order WHERE hashtext(id::text) % 10 = 0""",
    """UPDATE member_order AS o SET refunded_fen = r.amount_fen, refunded_at = r.at
       FROM refund AS r WHERE r.member_id = o.member_id AND r.order_id = o.id""",
    """INSERT INTO activity (member_id, event_id, at, kind, category)
       SELECT id, 'e' || w, CAST(:as_of AS timestamptz) - w * interval '7 days'
              - random() * interval '7 days', 'BROWSE', 'c' || (w % 8)
       FROM member, generate_series(0, 8) AS w""",
    "ANALYZE",
]
# What a day brings: it stands in the tables as if it came through the API.
_DAY = """INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, paid_at,
                                   settled_at, total_fen)
    SELECT id, gen_random_uuid(), 'bench', 'day', 'APP', :at, :at, :at, 5000
    FROM member WHERE hashtext(id::text) % 20 = 0"""
_FLOOR = """SELECT count(*), sum(n), sum(s) FROM (
    SELECT member_id, count(*) AS n, sum(total_fen) AS s, max(paid_at)
    FROM member_order GROUP BY member_id) AS t"""


@dataclass(frozen=True, slots=True)
class _Spent:
    """What something took: by the clock, and of PostgreSQL's processor time."""

    clock: float
    processor: float


@contextmanager
def _spending() -> Generator[list[_Spent]]:
    """A list that holds what was spent within, once it is over."""
    spent: list[_Spent] = []
    clock, processor = time.perf_counter(), server_seconds()
    yield spent
    spent.append(_Spent(time.perf_counter() - clock, server_seconds() - processor))


async def _fill(url: str, members: int) -> None:
    # By the migrations: with the triggers that every installation has.
    await asyncio.to_thread(command.upgrade, alembic_config(url), "head")
    engine = create_async_engine(sqlalchemy_url(url))
    async with engine.begin() as connection:
        # What is made here fits together; checking it would take longer than all runs.
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _FILL:
            given = {"as_of": AS_OF, "members": members}
            names = {name for name in given if f":{name}" in statement}
            await connection.execute(text(statement), {name: given[name] for name in names})
    await engine.dispose()


async def _floor(database: Database) -> _Spent:
    async with database.read() as read:
        # A run writes what it finds, so that PostgreSQL gives it one process only.
        await read.session.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
        with _spending() as spent:
            await read.session.execute(text(_FLOOR))
    return spent[0]


async def _timed(database: Database, label: str, as_of: datetime) -> None:
    floor = await _floor(database)
    with _spending() as spent:
        async with database.begin(now=as_of) as tx:
            run = await segments.run(tx, as_of=as_of)
    took = spent[0]
    ratio = took.processor / floor.processor
    print(
        f"{label:<24}{took.clock:>8.1f} s   {took.processor:.1f} of PostgreSQL's processor, "
        f"{ratio:.1f} x the aggregate's {floor.processor:.2f}"
    )
    print(f"  {run.changed:,} of {run.members:,} changed stage: {run.counts} alarms {run.alarms}")


async def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=100_000)
    members: int = parser.parse_args().members
    next_night = AS_OF + timedelta(days=1)
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder), durable=False)
        try:
            started = time.perf_counter()
            await _fill(server.url, members)
            print(f"{'filled':<24}{time.perf_counter() - started:>8.1f} s   {members:,} members")
            database = Database(server.url)
            await _floor(database)
            await _timed(database, "first run", AS_OF)
            await _timed(database, "the same instant again", AS_OF)
            async with database.begin(now=next_night) as tx:
                await tx.session.execute(text(_DAY), {"at": next_night - timedelta(hours=4)})
            await _timed(database, "the next night", next_night)
            await database.close()
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
