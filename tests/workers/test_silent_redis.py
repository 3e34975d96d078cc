"""A Redis that vanishes without a word: consumers notice, and no message stays between the two."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import dramatiq.worker
import pytest
from dramatiq import Message, Worker
from redis.asyncio import Redis

from app.kernel import redis as connections
from app.kernel.config import Settings
from app.kernel.db import Database
from tests.make.links import Link, link
from workers import broker as brokers
from workers import consuming
from workers.broker import Sender, make_broker, message_for
from workers.consuming import SureBroker
from workers.jobs import Work, by_name, job

# Far above what is needed: who waits so long waits for good.
PATIENCE = 20

done: Counter[str] = Counter()
failing = threading.Event()


@job(queue="silent")
async def note(work: Work, *, key: str) -> None:
    """Count that it was done."""
    done[key] += 1


@job(queue="silent")
async def stumble(work: Work, *, key: str) -> None:
    """Fail once, while Redis is silent."""
    done[f"{key} begun"] += 1
    if done[f"{key} begun"] == 1:
        while not failing.is_set():
            await asyncio.sleep(0.01)
        raise ValueError("not yet")
    done[key] += 1


JOBS = by_name([note, stumble])


async def until(check: Callable[[], bool], what: str) -> None:
    begun = time.monotonic()
    while not check():
        assert time.monotonic() - begun < PATIENCE, f"{what}: never"
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in an installation takes tenths here."""
    monkeypatch.setattr(connections, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(consuming, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(consuming, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(dramatiq.worker, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.1)
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.1)
    monkeypatch.setattr(brokers, "FIRST_RETRY_MS", 50)
    done.clear()
    failing.clear()


Send = Callable[[Message[object]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Station:
    """A worker and its line to Redis."""

    line: Link
    broker: SureBroker
    worker: Worker

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None]:
        """Nothing is fetched for the time of the block."""
        await asyncio.to_thread(self.worker.pause)
        try:
            yield
        finally:
            self.worker.resume()


@asynccontextmanager
async def working(settings: Settings) -> AsyncGenerator[tuple[Station, Send]]:
    """A worker behind a link, and what sends it jobs past that link."""
    assert settings.redis_url is not None
    sender = Sender(settings.redis_url)
    async with link(settings.redis_url) as made:
        work = Work(Database(settings.database_url or ""), settings)
        broker = make_broker(made.url, work, JOBS)
        worker = Worker(broker, worker_timeout=20, worker_threads=1)
        await asyncio.to_thread(worker.start)

        async def send(message: Message[object]) -> None:
            await asyncio.to_thread(sender.send, [message])

        try:
            yield Station(made, broker, worker), send
        finally:
            made.mend()
            await asyncio.to_thread(worker.stop, 5_000)
            sender.close()


async def test_a_host_that_vanished_is_noticed_and_work_goes_on(
    redis: Redis, settings: Settings
) -> None:
    async with working(settings) as (at, send):
        await send(message_for(note, {"key": "before"}))
        await until(lambda: done["before"] == 1, "a job")
        at.line.cut()
        await send(message_for(note, {"key": "meanwhile"}))
        await asyncio.sleep(0.5)
        assert not done["meanwhile"]
        at.line.mend()
        await until(lambda: done["meanwhile"] == 1, "the job that waited")


async def test_messages_whose_answer_was_lost_are_done(redis: Redis, settings: Settings) -> None:
    """Redis has given them to this worker, which never heard of it, and lives on."""
    async with working(settings) as (at, send):
        at.broker.in_hand["silent"].add("another message")
        for number in (1, 2):
            # As a request does that arrives after it was given up: nobody reads the answer.
            async with at.paused():
                await send(message_for(note, {"key": str(number)}))
                assert len(await asyncio.to_thread(at.broker.do_fetch, "silent", 5)) == 1
            await until(lambda: len(done) == number, "a job that was handed out into silence")  # noqa: B023
        await asyncio.sleep(0.5)
    assert done == {"1": 1, "2": 1}
    assert not await redis.hlen(f"{brokers.NAMESPACE}:silent.msgs")


@pytest.mark.parametrize("how", ["silent", "one-way"])
async def test_a_job_that_fails_meanwhile_is_tried_again(
    redis: Redis, settings: Settings, how: str
) -> None:
    async with working(settings) as (at, send):
        await send(message_for(stumble, {"key": "a"}))
        await until(lambda: done["a begun"] == 1, "the first try")
        at.line.cut("silent" if how == "silent" else "one-way")
        failing.set()
        await asyncio.sleep(0.8)
        at.line.mend()
        await until(lambda: done["a"] >= 1, "the second try")


async def test_delayed_messages_outlive_a_silence(redis: Redis, settings: Settings) -> None:
    """Those in the hands of the consumer of delayed messages, when they fall due in silence."""
    failing.set()
    async with working(settings) as (at, send):
        for key in ("a", "b", "c"):
            await send(message_for(stumble, {"key": key}))
        await until(lambda: done["c begun"] == 1, "the first tries")
        at.line.cut()
        await asyncio.sleep(0.8)
        at.line.mend()
        await until(lambda: all(done[key] for key in "abc"), "the second tries")


async def test_what_is_no_message_holds_nobody_up(redis: Redis, settings: Settings) -> None:
    async with working(settings) as (at, send):
        await asyncio.to_thread(at.broker.do_enqueue, "silent", "rubbish", b"{")
        for number in range(3):
            await send(message_for(note, {"key": str(number)}))
        await until(lambda: len(done) == 3, "jobs behind one that cannot be read")


async def test_what_a_consumer_leaves_behind_is_done(redis: Redis, settings: Settings) -> None:
    """It had fetched more than it could give away when it was started anew."""
    async with working(settings) as (at, send):
        async with at.paused():
            for number in range(3):
                await send(message_for(note, {"key": str(number)}))
            consumer = at.broker.consume("silent", prefetch=3, timeout=20)
            assert await asyncio.to_thread(next, consumer) is not None
            consumer.close()
        await until(lambda: len(done) == 2, "the jobs that it had not given away")
