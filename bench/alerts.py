"""How long a night of signals and alerts takes: `python -m bench.alerts --members 100000`.

Fills an own server, that is thrown away, with members whose log-ins and use fell for one in eight
over 56 days, then does what the jobs do: looks at signals, stores scores (one in five rises into an
alert), raises what signals call for, moves all of it up a level, stores the next night's scores.
In the end it pages through the queue, by probability and by expected loss.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from app import churn
from app.kernel.db import Database, Tx
from app.kernel.embedded import start_postgres
from bench.processes import environment, linli

NOW = datetime(2026, 3, 17, 18, 50, tzinfo=UTC)  # 02:50 in Shanghai
ZONE = "Asia/Shanghai"
PAGES = 200
REASON = {"code": "trend", "zh": "近30天下单减少60%", "en": "60% fewer orders in 30 days"}

_FILL = (
    """INSERT INTO community (id, name, time_zone, created_at)
       VALUES (gen_random_uuid(), 'bench', 'Asia/Shanghai', :now)""",
    """INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
       SELECT gen_random_uuid(), (SELECT id FROM community), 'm' || n, 'ACTIVE', 'zh-CN', :now
       FROM generate_series(1, CAST(:members AS int)) AS n""",
    """INSERT INTO member_stage (member_id, stage, reason, since, as_of, orders, orders30, net90)
       SELECT id, CASE WHEN n % 8 = 0 THEN 'VIP' ELSE 'REGULAR' END, 'TOP_SPEND', :now, :now, 3, 1,
           n * 7 % 100000 FROM (SELECT id, row_number() OVER () AS n FROM member) AS m""",
    # A session on every other day and more; for one in eight hardly any in the newest four weeks.
    """INSERT INTO activity (member_id, event_id, at, kind, seconds)
       SELECT m.id, d::text, CAST(:now AS timestamptz) - d * interval '1 day', 'SESSION', 120
       FROM (SELECT id, row_number() OVER () AS n FROM member) AS m
       JOIN generate_series(0, 56) AS d ON d % 2 = 0 AND (n % 8 > 0 OR d > 28 OR d % 7 = 0)
       ORDER BY 3""",
    """INSERT INTO model_version (id, version, role, trained_as_of, manifest, metrics, sha256,
           artifact, created_at, promoted_at)
       VALUES (:model, 'bench', 'CHAMPION', :now, '{}', '{}', repeat('0', 64), '', :now, :now)""",
)
MODEL = UUID(int=1)


async def _fill(database: Database, members: int) -> list[UUID]:
    given: dict[str, object] = {"now": NOW, "members": members, "model": MODEL}
    async with database.begin(now=NOW) as tx:
        await tx.session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _FILL:
            names = {name for name in given if f":{name}" in statement}
            await tx.session.execute(text(statement), {name: given[name] for name in names})
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
        return list(await connection.scalars(text("SELECT id FROM member ORDER BY id")))


async def _timed(what: str, work: Awaitable[object]) -> None:
    started = time.perf_counter()
    answer = await work
    print(f"  {what}: {time.perf_counter() - started:.2f} s, {answer}", flush=True)


async def _look(database: Database) -> churn.Looked:
    async with database.begin(now=NOW) as tx:
        return await churn.look_at_signals(tx, zone=ZONE)


async def _score(database: Database, people: list[UUID], night: int) -> churn.Stored:
    dice = random.Random(night)
    done = churn.Stored()
    as_of = NOW + timedelta(days=night)
    for start in range(0, len(people), churn.BATCH):
        part = people[start : start + churn.BATCH]
        chances = [dice.random() * 0.875 for _ in part]
        reasons = [[REASON] * 3 if chance >= 0.5 else [] for chance in chances]
        batch = churn.NewScores(MODEL, as_of, 45, part, chances, reasons)
        async with database.begin(now=as_of) as tx:
            done += await churn.store_scores(tx, batch)
    return done


async def _raise(database: Database) -> int:
    raised, after = 0, None
    while True:
        async with database.begin(now=NOW) as tx:
            more, after = await churn.raise_signalled(tx, after=after)
        raised += more
        if after is None:
            return raised


async def _drain(database: Database, step: Callable[[Tx], Awaitable[int]], at: datetime) -> int:
    total = 0
    while True:
        async with database.begin(now=at) as tx:
            moved = await step(tx)
        if not moved:
            return total
        total += moved


async def _settle(database: Database) -> tuple[int, int]:
    async with database.begin(now=NOW + timedelta(days=46)) as tx:
        return await churn.settle_alerts(tx)


async def _pages(database: Database, order: churn.AlertOrder) -> None:
    times: list[float] = []
    after = None
    for _ in range(PAGES):
        started = time.perf_counter()
        async with database.read(now=NOW) as read:
            rows = await churn.alerts_page(read, order=order, after=after, first=20)
        times.append(1_000 * (time.perf_counter() - started))
        loss = order is churn.AlertOrder.EXPECTED_LOSS
        after = (rows[19].expected_loss_fen if loss else rows[19].probability, rows[19].id)
    cuts = statistics.quantiles(times, n=100)
    print(f"  a page of 20 by {order.value}: median {cuts[49]:.1f} ms, 99 of 100 {cuts[98]:.1f} ms")


async def _measure(url: str, members: int) -> None:
    database = Database(url, pool_size=2)
    started = time.perf_counter()
    people = await _fill(database, members)
    async with database.read() as read:
        sessions = await read.session.scalar(text("SELECT count(*) FROM activity"))
    print(f"filled {members:,} members with {sessions:,} sessions")
    print(f"  in {time.perf_counter() - started:.1f} s", flush=True)
    await _timed("signals looked at", _look(database))
    await _timed("looked at again", _look(database))
    await _timed("scores stored, alerts raised", _score(database, people, 0))
    await _timed("raised by signals", _raise(database))
    await _timed("moved up", _drain(database, churn.escalate_due, NOW))
    await _timed("next night's scores", _score(database, people, 1))
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE churn_alert"))
    for order in churn.AlertOrder:
        await _pages(database, order)
    await _timed("settled", _settle(database))
    await database.close()


def main() -> None:
    """Fill, run a night and another, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder), durable=False)
        try:
            linli("migrate", env=environment(database_url=server.url, redis_url=""))
            asyncio.run(_measure(server.url, given.members))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
