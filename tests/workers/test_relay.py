"""The relay: order, outages, races."""

import asyncio
from typing import Any

from dramatiq import Message
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from sqlalchemy import func, select

from app.kernel.db import Database
from app.kernel.live import Live, facts_after
from app.kernel.outbox import LiveEvent, OutboxRow
from tests.workers.children import until
from tests.workers.traced import REACTIONS, Touched
from workers.relay import Relay, waiting

GONE = "redis://127.0.0.1:1/0"


class Post:
    """Where messages go in these tests; it can be shut."""

    def __init__(self) -> None:
        self.open = True
        self.taken: list[Message[Any]] = []

    def send(self, messages: list[Message[Any]]) -> None:
        if not self.open:
            raise RedisGone("gone")
        self.taken += messages


async def touch(database: Database, *keys: str, topic: str = "") -> None:
    async with database.begin() as tx:
        for key in keys:
            tx.emit(Touched(key=key, topic=topic))


async def left(database: Database) -> int:
    async with database.read() as read:
        return await read.session.scalar(select(func.count()).select_from(OutboxRow)) or 0


async def test_facts_go_to_their_jobs_and_leave_the_outbox(
    database: Database, redis: Redis
) -> None:
    post = Post()
    relay = Relay(database, redis, post.send, REACTIONS)
    await touch(database, "a", "b")
    assert await relay.hand_over() == 2
    sent = [(message.actor_name, message.kwargs) for message in post.taken]
    assert sent == [
        ("touch", {"key": "a", "seconds": 0.0}),
        ("refuse", {"key": "a"}),
        ("touch", {"key": "b", "seconds": 0.0}),
        ("refuse", {"key": "b"}),
    ]
    assert await left(database) == 0


async def test_without_redis_telling_goes_on_and_jobs_wait(database: Database) -> None:
    post = Post()
    post.open = False
    redis = Redis.from_url(GONE)
    relay = Relay(database, redis, post.send, REACTIONS)
    running = asyncio.create_task(relay.run())
    await touch(database, "a", topic="test:a")

    async def told() -> int:
        async with database.read() as read:
            return await read.session.scalar(select(func.count()).select_from(LiveEvent)) or 0

    async def is_told() -> bool:
        return await told() > 0

    async def is_sent() -> bool:
        return await left(database) == 0

    await until(is_told)
    assert await left(database) == 1
    async with database.read() as read:
        assert await waiting(read) == {"test.touched": 1}
    post.open = True
    await until(is_sent)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [message.actor_name for message in post.taken] == ["touch", "refuse"]
    assert await told() == 1, "told once, not again with the job"
    await redis.aclose()


async def test_a_follower_hears_at_once_and_in_order(
    database: Database, redis: Redis, live: Live
) -> None:
    relay = Relay(database, redis, Post().send, REACTIONS)
    heard: list[str] = []

    async def follow() -> None:
        async for fact in live.follow("test:order", after=0):
            heard.append(fact.payload["key"])
            if len(heard) == 300:
                return

    following = asyncio.create_task(follow())
    for start in range(0, 300, 100):
        await touch(database, *(str(n) for n in range(start, start + 100)), topic="test:order")
        await relay.tell()
    await asyncio.wait_for(following, 30)
    assert heard == [str(n) for n in range(300)]


async def test_numbers_become_visible_in_their_order_with_many_relays(
    database: Database, redis: Redis
) -> None:
    """A reader that goes on after the newest number it saw misses nothing."""
    relays = [Relay(database, redis, Post().send, REACTIONS) for _ in range(3)]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    total = 200

    async def write(worker: int) -> None:
        for number in range(total // 4):
            await touch(database, f"{worker}-{number}", topic="test:race")

    async def tail() -> list[str]:
        seen: list[str] = []
        last = 0
        while len(seen) < total:
            async with database.read() as read:
                facts = await facts_after(read, last)
            seen += [fact.payload["key"] for fact in facts]
            last = facts[-1].seq if facts else last
        return seen

    async with asyncio.timeout(60):
        seen, *_ = await asyncio.gather(tail(), *(write(worker) for worker in range(4)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(set(seen)) == len(seen) == total


async def test_it_ends_whenever_it_is_told_to(database: Database, redis: Redis) -> None:
    """Cancelled while it connects, waits or is just being woken: never does it live on."""
    for pause in (0.0, 0.0, 0.001, 0.003, 0.01, 0.05, 0.1, 0.25):
        relay = Relay(database, redis, Post().send, REACTIONS)
        task = asyncio.create_task(relay.run())
        await asyncio.sleep(pause)
        await redis.publish("linli:outbox", b"")
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done, f"it lived on after {pause} s"
