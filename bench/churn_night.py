"""Storing scores, and a whole night of the churn model; see `bench.churn`.

`python -m bench.churn_night --scores 1000000 --members 100000` fills an own PostgreSQL server that
is thrown away, stores so many scores by batches as the nightly job does (a fifth of them with three
reasons, a fiftieth raising alerts), and runs the job itself over so many members with ten orders
each: training, a first night that reads everything, and a second one.
"""

import argparse
import asyncio
import random
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from sqlalchemy import text

from app import churn
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.embedded import start_postgres
from bench.processes import environment, linli
from workers.churn import score_night
from workers.jobs import Work
from workers.training import train_model

NOW = datetime(2026, 3, 17, 19, 0, tzinfo=UTC)  # 03:00 in Shanghai
MODEL = UUID(int=1)
REASONS: list[dict[str, object]] = [
    {"code": "no_order", "zh": "已41天没有下单", "en": "No order for 41 days", "weight": 1.2},
    {"code": "logins_fell", "zh": "近28天登录减少60%", "en": "Log-ins fell by 60%", "weight": 0.4},
    {"code": "few_orders", "zh": "近180天只有3天下过单", "en": "Ordered on 3 days", "weight": 0.2},
]

_PEOPLE = (
    """INSERT INTO community (id, name, time_zone, created_at)
       VALUES (gen_random_uuid(), 'bench', 'Asia/Shanghai', :now)
       ON CONFLICT DO NOTHING""",
    """INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
       SELECT gen_random_uuid(), (SELECT id FROM community LIMIT 1), 'm' || n, 'ACTIVE', 'zh-CN',
              CAST(:now AS timestamptz) - interval '800 days'
       FROM generate_series(1, CAST(:members AS int)) AS n""",
)
_MODEL = (
    """INSERT INTO model_version (id, version, role, trained_as_of, manifest, metrics, sha256,
           artifact, created_at, promoted_at)
       VALUES (:model, 'bench', 'CHAMPION', :now, '{}', '{}', repeat('0', 64), '', :now, :now)""",
)
_FACTS = (
    # Everybody joined some time in two years, and a good part left again.
    """INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, paid_at,
                                 settled_at, total_fen, discount_fen)
       SELECT m.id, gen_random_uuid(), 'bench', m.id || '/' || n, 'APP', o.at, o.at, o.at,
              (1000 * exp(2 * random()))::bigint, (random() * 300)::bigint
       FROM (SELECT id, 1 + random() * 700 AS joined, random() AS left FROM member) AS m,
            generate_series(1, 10) AS n,
            LATERAL (SELECT CAST(:now AS timestamptz) - interval '1 day'
                     * m.joined * (1 - m.left * random()) AS at WHERE n > 0) AS o""",
    """INSERT INTO order_line
         (member_id, order_id, line_no, quantity, paid_fen, sku, name, category)
       SELECT member_id, id, n, 1 + (random() * 3)::int, total_fen / 3,
              'S' || (random() * 2000)::int, 'an article', 'c' || (random() * 12)::int
       FROM member_order, generate_series(1, 3) AS n""",
    """INSERT INTO activity (member_id, event_id, at, kind, seconds)
       SELECT id, 'e' || n, CAST(:now AS timestamptz) - random() * interval '500 days',
              (ARRAY['SESSION', 'BROWSE', 'SEARCH', 'MESSAGE_OPEN'])[1 + (random() * 3)::int],
              (random() * 300)::int
       FROM generate_series(1, 10) AS n, member""",
)


class Watch:
    """Seconds since it was made: by the clock, of this process and of the server's processes."""

    def __init__(self, postmaster: int) -> None:
        """Begin now."""
        self._server = psutil.Process(postmaster)
        self._wall, self._own = time.perf_counter(), time.process_time()
        self._theirs = self._spent()

    def _spent(self) -> float:
        def spent(times: Any) -> float:
            return times.user + times.system + times.children_user + times.children_system

        processes = [self._server, *self._server.children(recursive=True)]
        return sum(spent(process.cpu_times()) for process in processes)

    def tell(self, what: str) -> None:
        """Print a line."""
        wall, own = time.perf_counter() - self._wall, time.process_time() - self._own
        server = self._spent() - self._theirs
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{what:<44}{own:>8.1f} s{server:>8.1f} s{wall:>8.1f} s{peak:>9,.0f} MiB", flush=True)


async def _fill(database: Database, statements: tuple[str, ...], members: int) -> None:
    given: dict[str, object] = {"now": NOW, "members": members, "model": MODEL}
    async with database.begin(now=NOW) as tx:
        await tx.session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            names = {name for name in given if f":{name}" in statement}
            await tx.session.execute(text(statement), {name: given[name] for name in names})
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))


async def _store(database: Database, members: int, server: int) -> None:
    await _fill(database, _PEOPLE + _MODEL, members)
    async with database.engine.connect() as connection:
        people = list(await connection.scalars(text("SELECT id FROM member ORDER BY id")))
    dice = random.Random(0)
    for night in range(2):
        as_of = NOW + timedelta(days=night)
        watch, done = Watch(server), churn.Stored()
        for start in range(0, len(people), churn.BATCH):
            part = people[start : start + churn.BATCH]
            chances = [dice.random() * 0.714 for _ in part]
            batch = churn.NewScores(
                model_id=MODEL,
                as_of=as_of,
                horizon_days=45,
                member_ids=part,
                probability=chances,
                reasons=[REASONS if chance > 0.57 else [] for chance in chances],
                next_order_days=[90 * chance + 0.5 for chance in chances],
            )
            async with database.begin(now=as_of) as tx:
                done += await churn.store_scores(tx, batch)
        watch.tell(f"store {done.stored:,} scores, night {night + 1}")
        print(f"  {done.raised:,} alerts raised, {done.recovered:,} recovered")


async def _night(database: Database, members: int, server: int, folder: Path) -> None:
    await _fill(database, _PEOPLE + _FACTS, members)
    settings = Settings(data_dir=folder, database_url="postgresql://bench@localhost/bench")
    work = Work(database, settings)
    watch = Watch(server)
    trained = await train_model(database, as_of=NOW, zone=settings.time_zone)
    watch.tell(f"train on {members:,} members")
    print(f"  chosen: {trained.choice}")
    for night in range(2):
        as_of = NOW + timedelta(days=night)
        database.clock = partial(_at, as_of)
        watch = Watch(server)
        await score_night.body(work, plan="churn scores", due_at=as_of.isoformat())
        watch.tell(f"the nightly job, night {night + 1}")
    async with database.read() as read:
        (latest,) = await churn.nights(read, first=1)
    print(f"  {latest.members:,} members scored")


def _at(instant: datetime) -> datetime:
    return instant


async def _measure(url: str, scores: int, members: int, server: int, folder: Path) -> None:
    database = Database(url, pool_size=4)
    print(f"{'':<44}{'CPU':>10}{'server':>10}{'wall':>10}{'peak so far':>13}")
    await _store(database, scores, server)
    async with database.begin(now=NOW) as tx:
        await tx.session.execute(text("TRUNCATE community, model_version CASCADE"))
    await _night(database, members, server, folder)
    await database.close()


def main() -> None:
    """Fill, store, run two nights, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scores", type=int, default=100_000)
    parser.add_argument("--members", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder) / "server", durable=False)
        try:
            linli("migrate", env=environment(database_url=server.url, redis_url=""))
            asyncio.run(_measure(server.url, given.scores, given.members, server.pid, Path(folder)))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
