"""How long a night's expiry takes: `python -m bench.expiry --lots 1000000`.

Gives members ten lots each that have ended, in an own server that is thrown away, and runs what
the job runs: batch after batch of accounts, each in a transaction of its own. Half-way the process
that does it is killed in the middle of a batch; another goes on where it was. In the end the audit
of the whole ledger must find nothing.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from app import points
from app.kernel.db import Database
from app.kernel.embedded import start_postgres
from bench.processes import environment, linli
from workers.jobs import drain_beside

NOW = datetime(2026, 3, 18, 16, 0, tzinfo=UTC)
LOTS_EACH = 10

_FILL = (
    """INSERT INTO community (id, name, time_zone, created_at)
       VALUES (gen_random_uuid(), 'bench', 'Asia/Shanghai', :now)""",
    """INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
       SELECT gen_random_uuid(), (SELECT id FROM community), 'm' || n, 'ACTIVE', 'zh-CN', :now
       FROM generate_series(1, CAST(:lots AS int) / :each) AS n""",
    # One lot in ten lives on, so that accounts are not merely emptied.
    """INSERT INTO points_account (member_id, currency, active, changed_at)
       SELECT id, 'POINTS', 10 * (CAST(:each AS int) + 1), :now FROM member""",
    """INSERT INTO points_lot (member_id, id, currency, source, rule, subject, amount, remaining,
           status, earned_at, available_at, expires_at)
       SELECT m.id, gen_random_uuid(), 'POINTS', 'CHECK_IN', 'bench', n::text, 10, 10, 'ACTIVE',
           :start, :start, CASE WHEN n = 0 THEN CAST(:later AS timestamptz)
               ELSE CAST(:now AS timestamptz) - n * interval '1 hour' END
       FROM member m, generate_series(0, CAST(:each AS int)) AS n""",
    """INSERT INTO points_entry (member_id, currency, kind, amount, active_delta, source, subject,
           at)
       SELECT member_id, 'POINTS', 'EARN', 10, 10, source, subject, :start FROM points_lot""",
    """INSERT INTO points_allocation (member_id, entry_seq, lot_id, amount)
       SELECT e.member_id, e.seq, l.id, 10 FROM points_entry e
       JOIN points_lot l ON l.member_id = e.member_id AND l.subject = e.subject""",
)


async def _fill(database: Database, lots: int) -> None:
    given = {
        "now": NOW,
        "start": NOW - timedelta(days=180),
        "later": NOW + timedelta(days=30),
        "lots": lots,
        "each": LOTS_EACH,
    }
    async with database.begin(now=NOW) as tx:
        await tx.session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _FILL:
            names = {name for name in given if f":{name}" in statement}
            await tx.session.execute(text(statement), {name: given[name] for name in names})
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))


async def _left(database: Database) -> int:
    async with database.read(now=NOW) as read:
        query = "SELECT count(*) FROM points_lot WHERE status = 'ACTIVE' AND expires_at <= :now"
        return int(await read.session.scalar(text(query), {"now": NOW}) or 0)


async def _run(url: str) -> None:
    """What the job does, until nothing is due."""
    database = Database(url, pool_size=2)
    found, started = await _left(database), time.perf_counter()
    database.clock = lambda: NOW
    await drain_beside(database, points.LANES, points.expire_due)
    seconds = time.perf_counter() - started
    print(f"  {found:,} lots in {seconds:.1f} s: {found / seconds:,.0f} lots/s", flush=True)
    await database.close()


def _child(url: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "bench.expiry", "--run", url]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "."})


async def _killed_half_way(database: Database, url: str, lots: int) -> float:
    """Run until half of the lots have ended, then kill; answers the seconds."""
    started = time.perf_counter()
    child = _child(url)
    half = asyncio.Event()
    while not half.is_set():
        if child.poll() is not None or await _left(database) <= lots // 2:
            half.set()
        await asyncio.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    return time.perf_counter() - started


async def _measure(url: str, lots: int) -> None:
    database = Database(url, pool_size=2)
    started = time.perf_counter()
    await _fill(database, lots)
    print(
        f"filled {await _left(database):,} lots that have ended, of {lots // LOTS_EACH:,} members"
    )
    print(f"  in {time.perf_counter() - started:.1f} s", flush=True)
    first = await _killed_half_way(database, url, lots)
    left = await _left(database)
    print(f"killed after {first:.1f} s: {lots - left:,} have ended, {left:,} are left", flush=True)
    started = time.perf_counter()
    child = _child(url)
    child.wait()
    second = time.perf_counter() - started
    print(f"the next run ended the other {left:,} in {second:.1f} s, its start included")
    async with database.read(now=NOW) as read:
        breaches = await points.audit(read)
        told = await read.session.scalar(text("SELECT count(*) FROM outbox"))
    print(f"left {await _left(database)}, breaches {len(breaches)}, members told {told:,}")
    await database.close()
    if breaches:
        raise SystemExit(1)


def main() -> None:
    """Fill, expire with a kill half-way, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lots", type=int, default=1_000_000)
    parser.add_argument("--run", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        asyncio.run(_run(given.run))
        return
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder), durable=False)
        try:
            linli("migrate", env=environment(database_url=server.url, redis_url=""))
            asyncio.run(_measure(server.url, given.lots))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
