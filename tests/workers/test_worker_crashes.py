"""Workers killed in the middle: nothing is lost, nothing is done twice."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, text

from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.outbox import LiveEvent, OutboxRow
from tests.workers.children import child, until
from tests.workers.traced import Touched

TRACED = ("-m", "tests.workers.traced")


@pytest.fixture
async def traces(
    database: Database, redis: Redis
) -> AsyncIterator[Callable[[str], Awaitable[Counter[str]]]]:
    async with database.begin() as tx:
        await tx.session.execute(
            text("CREATE TABLE job_trace (key text, what text, PRIMARY KEY (key, what))")
        )

    async def of(key: str) -> Counter[str]:
        async with database.read() as read:
            rows = await read.session.scalars(
                text("SELECT split_part(what, ' ', 1) FROM job_trace WHERE key = :key"),
                {"key": key},
            )
            return Counter(rows)

    yield of
    async with database.begin() as tx:
        await tx.session.execute(text("DROP TABLE job_trace"))


async def waiting(database: Database) -> int:
    async with database.read() as read:
        return await read.session.scalar(select(func.count()).select_from(OutboxRow)) or 0


async def test_a_killed_workers_job_comes_back_to_another(
    database: Database,
    settings: Settings,
    traces: Callable[[str], Awaitable[Counter[str]]],
    tmp_path: Path,
) -> None:
    async def started() -> bool:
        return (await traces("a"))["started"] > 0

    async def done() -> bool:
        return (await traces("a"))["done"] > 0

    async with database.begin() as tx:
        tx.emit(Touched(key="a"))
    async with child(settings, tmp_path / "first.log", *TRACED, "--never-done") as first:
        await until(started)
        first.kill()
        await first.process.wait()
    assert not await done()
    async with child(settings, tmp_path / "second.log", *TRACED) as second:
        await until(done)
        assert await second.stop() == 0
    assert await traces("a") == Counter(started=2, done=1, refused=1)
    assert await waiting(database) == 0


async def test_a_relay_killed_between_sending_and_deleting_sends_again(
    database: Database,
    settings: Settings,
    traces: Callable[[str], Awaitable[Counter[str]]],
    tmp_path: Path,
) -> None:
    async def done() -> bool:
        return (await traces("b"))["started"] == 2

    async with database.begin() as tx:
        tx.emit(Touched(key="b", topic="test:b"))
    async with child(settings, tmp_path / "dying.log", *TRACED, "--die-after-send") as dying:
        assert await dying.process.wait() == -9
    assert await waiting(database) == 1, "the fact is still there"
    async with child(settings, tmp_path / "next.log", *TRACED) as following:
        await until(done)
        assert await following.stop() == 0
    assert (await traces("b"))["done"] == 1
    async with database.read() as read:
        told = await read.session.scalar(
            select(func.count()).select_from(LiveEvent).where(LiveEvent.topic == "test:b")
        )
    assert told == 1, "subscribers hear of it once"
    assert await waiting(database) == 0


async def test_sigterm_lets_the_job_in_hand_finish(
    database: Database,
    settings: Settings,
    traces: Callable[[str], Awaitable[Counter[str]]],
    tmp_path: Path,
) -> None:
    async def started() -> bool:
        return (await traces("c"))["started"] > 0

    async with database.begin() as tx:
        tx.emit(Touched(key="c", seconds=2))
    log = tmp_path / "worker.log"
    async with child(settings, log, *TRACED) as worker:
        await until(started)
        assert await worker.stop() == 0
    assert (await traces("c"))["done"] == 1
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    (touching,) = [line for line in lines if line["event"] == "touching"]
    assert touching["job"] == "touch"
    assert len(touching["job_id"]) == 36
    refused = [line for line in lines if line["event"] == "job refused"]
    assert [line["refusal"] for line in refused] == ["NOT_ALLOWED"], "a refusal is not tried again"
