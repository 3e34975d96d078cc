"""Facts for the features out of PostgreSQL; see `bench.features`."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app import churn
from app.kernel.db import Database, sqlalchemy_url
from app.kernel.embedded import start_postgres
from app.metadata import all_tables
from bench.peaks import peak_mib

AS_OF = datetime(2026, 3, 18, 16, 0, tzinfo=UTC)
ZONE = "Asia/Shanghai"

# Without indexes the rows go in several times as fast; those that nights use are made afterwards.
_BARE = """
    DO $$ DECLARE c record; BEGIN
      FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
               WHERE contype IN ('f', 'p', 'c') AND conrelid::regclass::text IN
                 ('member_order', 'order_line', 'activity', 'refund')
               ORDER BY contype = 'p' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', c.t, c.conname);
      END LOOP;
      FOR c IN SELECT indexrelid::regclass AS t FROM pg_index WHERE indrelid::regclass::text IN
                 ('member_order', 'order_line', 'activity', 'refund') LOOP
        EXECUTE format('DROP INDEX %s', c.t);
      END LOOP;
    END $$
"""
_KEYS = {
    "member_order": "member_id, id",
    "order_line": "member_id, order_id, line_no",
    "refund": "member_id, id",
    "activity": "member_id, event_id",
}
_FILL = (
    """INSERT INTO community (id, name, time_zone, created_at)
       VALUES (gen_random_uuid(), 'bench', 'Asia/Shanghai', :as_of)""",
    """INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
       SELECT gen_random_uuid(), (SELECT id FROM community), 'm' || n, 'ACTIVE', 'zh-CN',
              CAST(:as_of AS timestamptz) - interval '800 days'
       FROM generate_series(1, CAST(:members AS int)) AS n""",
    # Everybody joined some time in two years, and a good part left again.
    """INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, paid_at,
                                 settled_at, total_fen, discount_fen, refunded_fen, refunded_at)
       SELECT m.id, gen_random_uuid(), 'bench', n::text, 'APP', o.at, o.at, o.at,
              (1000 * exp(2 * random()))::bigint, (random() * 300)::bigint,
              CASE WHEN o.back THEN 500 ELSE 0 END, CASE WHEN o.back THEN o.at END
       FROM generate_series(1, CAST(:orders AS int)) AS n,
            (SELECT id, 1 + random() * 700 AS joined, random() AS left FROM member) AS m,
            LATERAL (SELECT CAST(:as_of AS timestamptz) - interval '1 day'
                     * m.joined * (1 - m.left * random()) AS at, random() < 0.05 AS back
                     WHERE n > 0) AS o""",
    """INSERT INTO order_line
         (member_id, order_id, line_no, quantity, paid_fen, sku, name, category)
       SELECT member_id, id, n, 1 + (random() * 3)::int, total_fen / 3,
              'S' || (random() * 2000)::int, 'an article', 'c' || (random() * 12)::int
       FROM member_order, generate_series(1, 3) AS n""",
    """INSERT INTO refund (member_id, id, source, refund_no, order_id, quantity, amount_fen, at)
       SELECT member_id, gen_random_uuid(), 'bench', id::text, id, 0, refunded_fen, refunded_at
       FROM member_order WHERE refunded_fen > 0""",
    """INSERT INTO activity (member_id, event_id, at, kind, seconds)
       SELECT id, 'e' || n, CAST(:as_of AS timestamptz) - random() * interval '120 days',
              (ARRAY['SESSION', 'BROWSE', 'SEARCH', 'MESSAGE_OPEN'])[1 + (random() * 3)::int],
              (random() * 300)::int
       FROM generate_series(1, CAST(:events AS int)) AS n, member""",
)
# One member in 25 orders and comes by, and one order in 12,500 is refunded.
_DAY = (
    """INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, paid_at,
                                 total_fen)
       SELECT id, gen_random_uuid(), 'day', id::text, 'APP', :as_of, :as_of, 900 FROM member
       WHERE hashtext(id::text) % 25 = 0""",
    """INSERT INTO order_line
         (member_id, order_id, line_no, quantity, paid_fen, sku, name, category)
       SELECT member_id, id, n, 1, 300, 'S' || n, 'an article', 'c'
       FROM member_order, generate_series(1, 3) AS n WHERE source = 'day'""",
    """INSERT INTO activity (member_id, event_id, at, kind, seconds)
       SELECT member_id, 'day', :as_of, 'SESSION', 60 FROM member_order WHERE source = 'day'""",
    """INSERT INTO refund (member_id, id, source, refund_no, order_id, quantity, amount_fen, at)
       SELECT member_id, gen_random_uuid(), 'day', id::text, id, 0, 100, :as_of FROM member_order
       WHERE source <> 'day' AND hashtext(member_id::text) % 25 = 0
         AND hashtext(id::text) % 500 = 0""",
)
# The same columns as the product reads, and nothing done with them.
_FLOOR = (
    "SELECT member_id, id, paid_at, total_fen, discount_fen FROM member_order",
    "SELECT order_id, quantity, hashtext(sku), hashtext(category) FROM order_line",
    "SELECT member_id, order_id, at, amount_fen FROM refund",
    "SELECT member_id, at, hashtext(kind), seconds FROM activity",
)


async def _fill(url: str, members: int, orders: int, events: int) -> None:
    engine = create_async_engine(sqlalchemy_url(url))
    given = {"as_of": AS_OF, "members": members, "orders": orders, "events": events}
    async with engine.begin() as connection:
        await connection.run_sync(all_tables().create_all)
        await connection.execute(text(_BARE))
        for statement in _FILL:
            names = {name for name in given if f":{name}" in statement}
            await connection.execute(text(statement), {name: given[name] for name in names})
        for table, key in _KEYS.items():
            await connection.execute(text(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})"))
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
    await engine.dispose()


class _Watch:
    """Wall and processor seconds since it was made: of this process and of the server's."""

    def __init__(self, postmaster: int) -> None:
        self.server = psutil.Process(postmaster)
        self.wall, self.own, self.theirs = time.perf_counter(), time.process_time(), self._server()

    def _server(self) -> float:
        def spent(times: Any) -> float:
            return times.user + times.system + times.children_user + times.children_system

        processes = [self.server, *self.server.children(recursive=True)]
        return sum(spent(process.cpu_times()) for process in processes)

    def tell(self, what: str) -> float:
        wall, own = time.perf_counter() - self.wall, time.process_time() - self.own
        server = self._server() - self.theirs
        peak = peak_mib()
        print(
            f"  {what:<38}{wall:>7.1f} s{own:>7.1f} s{server:>7.1f} s{peak:>8,.0f} MiB", flush=True
        )
        return own + server


async def _floor(database: Database) -> None:
    async with database.read() as read:
        raw = await (await read.session.connection()).get_raw_connection()
        driver: Any = raw.driver_connection

        async def drop(data: bytes) -> None:
            pass

        for query in _FLOOR:
            await driver.copy_from_query(query, output=drop, format="binary")


def _features(facts: churn.ChurnFacts, threads: int) -> int:
    from ml import features
    from ml.bgnbd import BgNbd
    from ml.cnbd import Cnbd
    from ml.expectations import Expectations
    from ml.facts import Facts

    fitted = Expectations(BgNbd(0.6, 12.0, 0.8, 2.3), Cnbd(2, 0.7, 9.0, 0.4, 2.1))
    columns = Facts(**vars(facts))
    everyone = np.unique(columns.order_member)
    at = int(AS_OF.timestamp())
    matrix = features.build(columns, at, everyone, purchases=fitted, threads=threads)
    return len(matrix.members)


async def _measure(url: str, postmaster: int, threads: int, folder: Path) -> None:
    database = Database(url, pool_size=2)
    print(f"  {'':<38}{'wall':>9}{'CPU here':>9}{'server':>9}{'peak':>12}")
    floor = 0.0
    for warm in (False, True):  # the first time fills the server's caches
        watch = _Watch(postmaster)
        await _floor(database)
        if warm:
            floor = watch.tell("bare COPY of the same columns")
    watch = _Watch(postmaster)
    facts = await churn.read_facts(database, as_of=AS_OF, zone=ZONE)
    whole = watch.tell("read_facts, everything")
    print(
        f"    {len(facts.order_at):,} orders, {len(facts.line_order):,} lines, "
        f"{len(facts.event_at):,} events; {whole / floor:.2f} x the bare COPY's processor time"
    )
    watch = _Watch(postmaster)
    members = _features(facts, threads)
    watch.tell(f"features of {members:,} members")
    del facts
    await _nights(database, postmaster, folder / "kept", threads)
    await database.close()


async def _nights(database: Database, postmaster: int, kept: Path, threads: int) -> None:
    """The night that writes the file, the one after a day's changes, and that one from scratch."""
    watch = _Watch(postmaster)
    await churn.read_facts(database, as_of=AS_OF, zone=ZONE, kept=kept)
    watch.tell("read_facts, the first night")
    async with database.begin() as tx:
        await tx.session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _DAY:
            names = {"as_of": AS_OF} if ":as_of" in statement else {}
            await tx.session.execute(text(statement), names)
    tomorrow = AS_OF + timedelta(days=1)
    watch = _Watch(postmaster)
    facts = await churn.read_facts(database, as_of=tomorrow, zone=ZONE, kept=kept)
    few = watch.tell("read_facts, the next night")
    new = int((facts.order_at >= AS_OF.timestamp()).sum())
    watch = _Watch(postmaster)
    _features(facts, threads)
    watch.tell("features of that night")
    del facts
    watch = _Watch(postmaster)
    await churn.read_facts(database, as_of=tomorrow, zone=ZONE)
    whole = watch.tell("read_facts, that night from scratch")
    print(f"    {new:,} members had ordered since: {few / whole:.2f} of reading everything")


def from_database(members: int, lines: int, events: int, threads: int, folder: Path) -> None:
    """Fill a server of our own, read, build, print."""
    server = start_postgres(folder, durable=False)
    try:
        started = time.perf_counter()
        orders = max(lines // (3 * members), 1)
        asyncio.run(_fill(server.url, members, orders, max(events // members, 1)))
        print(f"from PostgreSQL (filled in {time.perf_counter() - started:.0f} s)", flush=True)
        asyncio.run(_measure(server.url, server.pid, threads, folder))
        print(f"    the file has {(folder / 'kept').stat().st_size / 2**20:,.0f} MiB")
    finally:
        server.stop()
