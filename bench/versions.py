"""What raising members' versions costs writers: `python -m bench.versions --members 100000`.

Runs writes in turn with the triggers of `member_change` on and off, on an own server that is thrown
away, each in a transaction that is rolled back (the small ones committed), and prints the ratio of
the medians of what the backend was on a CPU for (Linux tells), as machines are shared. The writes
are of the kinds that jobs and mutations send: a bulk insert as imports do, an update of everybody
as nightly runs do, one of a batch, and the move of one member's points.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from alembic import command

from app.kernel.db import asyncpg_url
from app.kernel.embedded import start_postgres
from app.kernel.versions import version_expression
from cli.migrating import alembic_config

AS_OF = datetime(2026, 3, 18, 16, 0, tzinfo=UTC)
TABLES = ("member", "member_order", "order_line", "member_stage", "points_account", "points_entry")

_FILL = """
INSERT INTO community (id, name, time_zone, created_at)
VALUES (gen_random_uuid(), 'bench', 'Asia/Shanghai', now());
INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
SELECT gen_random_uuid(), (SELECT id FROM community), 'm' || n, 'ACTIVE', 'zh-CN', now()
FROM generate_series(1, {members}) AS n;
INSERT INTO points_account (member_id, currency, active, pending, debt, changed_at)
SELECT id, 'POINTS', 100, 0, 0, now() FROM member;
ANALYZE
"""
_IMPORT = """
INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, total_fen)
SELECT id, gen_random_uuid(), 'bench', id::text, 'APP', now(), 1000 FROM member
"""
_EVERYBODY = "UPDATE points_account SET active = active + 1"
_BATCH = """
UPDATE points_account SET active = active + 1
WHERE member_id IN (SELECT id FROM member LIMIT 1000)
"""
_MOVE = (
    "UPDATE points_account SET active = active + 1 WHERE member_id = $1 AND currency = 'POINTS'",
    """INSERT INTO points_entry
           (member_id, currency, kind, amount, active_delta, source, subject, at)
       VALUES ($1, 'POINTS', 'EARN', 1, 1, 'CHECK_IN', gen_random_uuid()::text, now())""",
)

# The same update without a client: a transaction a member, commits included.
_INSIDE = """
DO $$ DECLARE person uuid; BEGIN
    FOR person IN SELECT member_id FROM points_account LIMIT 500 LOOP
        UPDATE points_account SET active = active + 1
        WHERE member_id = person AND currency = 'POINTS';
        COMMIT;
    END LOOP;
END $$
"""


async def _switch(connection: asyncpg.Connection, on: bool) -> None:
    word = "ENABLE" if on else "DISABLE"
    names = ("insert", "update", "delete", "truncate", "move")
    for table in TABLES:
        actions = ", ".join(f"{word} TRIGGER member_version_{name}" for name in names)
        await connection.execute(f"ALTER TABLE {table} {actions}")


def _cpu(connection: asyncpg.Connection) -> float:
    """Seconds that the connection's backend has been on a CPU."""
    told = Path(f"/proc/{connection.get_server_pid()}/schedstat").read_text(encoding="ascii")
    return int(told.split()[0]) / 1e9


async def _bulk(connection: asyncpg.Connection, statement: str) -> float:
    transaction = connection.transaction()
    await transaction.start()
    started = _cpu(connection)
    await connection.execute(statement)
    seconds = _cpu(connection) - started
    await transaction.rollback()
    await connection.execute("VACUUM member_order, points_account, member_change")
    return seconds


async def _moves(connection: asyncpg.Connection, members: Sequence[UUID]) -> float:
    started = _cpu(connection)
    for member in members:
        async with connection.transaction():
            for statement in _MOVE:
                await connection.execute(statement, member)
    return (_cpu(connection) - started) / len(members)


async def _inside(connection: asyncpg.Connection) -> float:
    started = _cpu(connection)
    await connection.execute(_INSIDE)
    return (_cpu(connection) - started) / 500


async def _compare(connection: asyncpg.Connection, rounds: int) -> None:
    found = await connection.fetch("SELECT id FROM member LIMIT 500")
    some = [row["id"] for row in found]
    works = {
        "insert of orders": lambda: _bulk(connection, _IMPORT),
        "update of everybody": lambda: _bulk(connection, _EVERYBODY),
        "update of 1,000 members": lambda: _bulk(connection, _BATCH),
        "one move of points": lambda: _moves(connection, some),
        "one row, without a client": lambda: _inside(connection),
    }
    print(f"{'write':<28}{'off, CPU ms':>13}{'on, CPU ms':>12}{'on / off':>10}")
    for name, work in works.items():
        times: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(2 * rounds + 2):
            on = turn % 4 in {0, 3}  # neither always after the other
            await _switch(connection, on)
            seconds = await work()
            if turn > 1:
                times[on].append(seconds)
        off, raised = (statistics.median(times[on]) * 1000 for on in (False, True))
        print(f"{name:<28}{off:>13.3f}{raised:>12.3f}{raised / off:>10.3f}")


async def _read(connection: asyncpg.Connection) -> None:
    ask = await connection.prepare(f"SELECT {version_expression('$1')}")
    plain = await connection.prepare("SELECT $1::uuid")
    for name, statement in (("SELECT $1", plain), ("the version", ask)):
        member = uuid4()
        await statement.fetchval(member)
        started = _cpu(connection)
        for _ in range(2_000):
            await statement.fetchval(member)
        print(f"{name:<28}{(_cpu(connection) - started) / 2:>10.3f} ms a read")


async def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder), durable=False)
        try:
            await asyncio.to_thread(command.upgrade, alembic_config(server.url), "head")
            connection = await asyncpg.connect(asyncpg_url(server.url))
            await connection.execute(_FILL.format(members=given.members))
            await _compare(connection, given.rounds)
            await _read(connection)
            await connection.close()
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
