"""An acknowledged claim is in PostgreSQL, whichever process is killed in the midst of claims."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from alembic import command

from app.drops import Claims
from app.kernel.clock import system_clock
from app.kernel.db import Database
from app.kernel.embedded import start_postgres
from app.kernel.embedded.database import is_answering
from cli.migrating import alembic_config
from tests.conftest import TestClock
from tests.drops.claimants import all_of, drop_now, given_in, members, open_drop

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 120
SERVING = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%WITH asked AS%'"


@pytest.fixture
async def durable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    """A server that flushes what it commits, as installations have it."""
    server = await asyncio.to_thread(start_postgres, tmp_path_factory.mktemp("durable"))
    try:
        await asyncio.to_thread(command.upgrade, alembic_config(server.url), "head")
        database = Database(server.url)
        yield database
        await database.close()
    finally:
        await asyncio.to_thread(server.stop, at_once=True)


async def claiming(database: Database, drop_id: UUID, ids: list[UUID]) -> Process:
    """A child process that claims for everyone.

    What it writes for thousands does not fit the pipe: it is not done before we have read.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.drops.claiming_process", database.url, str(drop_id)),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )
    assert child.stdin is not None
    child.stdin.write("".join(f"{one}\n" for one in ids).encode())
    child.stdin.close()
    return child


async def acknowledged(child: Process, most: int = sys.maxsize) -> dict[UUID, UUID]:
    """Member -> coupon of the next acknowledgements, until there are so many or no more come."""
    assert child.stdout is not None
    seen: dict[UUID, UUID] = {}
    while len(seen) < most:
        line = (await child.stdout.readline()).decode()
        if not line.endswith("\n"):
            break
        match line.split():
            case ["claimed", one, coupon]:
                seen[UUID(one)] = UUID(coupon)
            case _:  # a failure, or a line of the log
                pass
    return seen


async def backends(database: Database) -> set[int]:
    """The processes of the server that serve somebody."""
    async with database.engine.connect() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        return {row[0] for row in rows}


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what comes by itself, however busy the machine is."""
    async with asyncio.timeout(PATIENCE):
        while not await check():
            await asyncio.sleep(0.05)


async def asked_again(database: Database, drop_id: UUID, ids: list[UUID]) -> dict[UUID, UUID]:
    """What everyone gets under the key they used before."""
    claims = Claims(database)
    made = await all_of(
        claims.claim(drop_id=drop_id, member_id=one, key="tap", given={}) for one in ids
    )
    await claims.drain()
    return {one: claimed.coupon_id for one, claimed in zip(ids, made, strict=True)}


async def test_an_api_process_killed_in_the_midst(database: Database, clock: TestClock) -> None:
    clock.now = system_clock()  # the child's
    ids = await members(database, 6_000)
    drop = await open_drop(database, stock=6_000)
    ours = await backends(database)
    child = await claiming(database, drop.id, ids)
    seen = await acknowledged(child, 300)
    theirs = await backends(database) - ours
    child.send_signal(signal.SIGKILL)
    seen |= await acknowledged(child)
    await child.wait()
    assert 300 <= len(seen) < 6_000
    assert theirs

    async def all_done() -> bool:
        """The server may still be at work on the last batch of the dead."""
        return not theirs & await backends(database)

    await until(all_done)
    stored = await given_in(database, drop.id)
    assert seen.items() <= stored.items()
    assert (await drop_now(database, drop.id)).claimed == len(stored)
    answers = await asked_again(database, drop.id, ids)
    assert stored.items() <= answers.items()
    assert answers == await given_in(database, drop.id)
    assert (await drop_now(database, drop.id)).claimed == 6_000


async def test_a_server_process_killed_in_the_midst(durable: Database) -> None:
    """The whole server starts over then; who waits for an answer gets one when it is back."""
    ids = await members(durable, 6_000)
    drop = await open_drop(durable, stock=6_000)
    child = await claiming(durable, drop.id, ids)
    seen = await acknowledged(child, 200)
    watch = await asyncpg.connect(durable.url)
    (pid,) = [
        row["pid"] for row in await watch.fetch(SERVING) if row["pid"] != watch.get_server_pid()
    ]
    os.kill(pid, signal.SIGKILL)
    watch.terminate()
    seen |= await acknowledged(child)
    assert await child.wait() == 0
    assert len(seen) > 200
    # Had it been longer away than claims wait, they would have failed, and nothing else.
    await until(lambda: asyncio.to_thread(is_answering, durable.url))
    stored = await given_in(durable, drop.id)
    assert seen.items() <= stored.items()
    answers = await asked_again(durable, drop.id, ids)
    assert stored.items() <= answers.items()
    assert answers == await given_in(durable, drop.id)
    assert (await drop_now(durable, drop.id)).claimed == 6_000
