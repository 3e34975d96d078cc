"""Live topics: in order, without gap or double, through a Redis that goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import delete

from app.kernel.db import Database
from app.kernel.embedded import start_valkey
from app.kernel.live import QUEUE, CursorExpired, Fact, Live, SlowFollower, encode_news
from app.kernel.outbox import LiveEvent

TOPIC = "member:1"
PATIENCE = 60


async def tell(database: Database, *numbers: int, topic: str = TOPIC) -> list[Fact]:
    """Commit facts to the live log, as the relay does."""
    async with database.begin() as tx:
        rows = [
            LiveEvent(topic=topic, kind="t", payload={"n": number}, at=tx.now) for number in numbers
        ]
        for row in rows:
            tx.session.add(row)
            await tx.session.flush()
        return [Fact(row.seq, row.topic, row.kind, row.payload) for row in rows]


async def take(facts: AsyncIterator[Fact], count: int) -> list[int]:
    """The numbers of the next facts."""
    numbers: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(numbers) < count:
            numbers.append((await anext(facts)).payload["n"])
    return numbers


async def tailed(live: Live, seq: int) -> None:
    """Wait until the hub has a follower and has handed out everything up to here."""
    async with asyncio.timeout(PATIENCE):
        while live.last < seq or not live.followers:
            await asyncio.sleep(0.02)


async def test_a_follower_gets_the_backlog_then_the_news(database: Database, live: Live) -> None:
    told = await tell(database, 1, 2, 3)
    await tell(database, 99, topic="another")
    facts = live.follow(TOPIC, after=told[0].seq)
    assert await take(facts, 2) == [2, 3]
    waiting = asyncio.ensure_future(take(facts, 2))
    await asyncio.sleep(0)
    await tell(database, 4, 5)
    assert await waiting == [4, 5]
    await facts.aclose()
    assert live.followers == 0


async def test_news_that_fits_needs_no_database(
    database: Database, live: Live, redis: Redis
) -> None:
    before = (await tell(database, 1))[0].seq
    facts = live.follow(TOPIC, after=before)
    waiting = asyncio.ensure_future(take(facts, 1))
    await tailed(live, before)
    made_up = Fact(before + 1, TOPIC, "t", {"n": 7})
    # It is in no table: a hub that does not listen yet has to be told again.
    while not waiting.done():
        await redis.publish("linli:live", encode_news(before, [made_up]))
        await asyncio.sleep(0.02)
    assert await waiting == [7]
    await facts.aclose()


async def test_nothing_is_lost_while_redis_is_away(database: Database, tmp_path: Path) -> None:
    server = await asyncio.to_thread(start_valkey, tmp_path)
    client = Redis.from_url(server.url)
    hub = Live(database, client)
    await hub.start()
    facts = hub.follow(TOPIC, after=await hub.head())
    waiting = asyncio.ensure_future(take(facts, 4))
    try:
        await tell(database, 1)
        await asyncio.to_thread(server.stop)
        await tell(database, 2, 3)
        await asyncio.sleep(1.2)
        server = await asyncio.to_thread(start_valkey, tmp_path)
        await tell(database, 4)
        assert await waiting == [1, 2, 3, 4]
    finally:
        await facts.aclose()
        await hub.stop()
        await client.aclose()
        await asyncio.to_thread(server.stop)


async def test_cursors_outside_of_what_is_kept_are_refused(database: Database, live: Live) -> None:
    told = await tell(database, 1, 2, 3)
    async with database.begin() as tx:
        await tx.session.execute(delete(LiveEvent).where(LiveEvent.seq <= told[1].seq))
    for cursor in (told[0].seq, told[2].seq + 1000):
        with pytest.raises(CursorExpired):
            await anext(live.follow(TOPIC, after=cursor))
    assert await take(live.follow(TOPIC, after=told[1].seq), 1) == [3]
    async with database.begin() as tx:
        await tx.session.execute(delete(LiveEvent))
    with pytest.raises(CursorExpired):
        await anext(live.follow(TOPIC, after=told[1].seq))


async def test_a_follower_that_does_not_read_is_let_go(database: Database, live: Live) -> None:
    start = (await tell(database, 0))[0].seq
    slow = live.follow(TOPIC, after=start)
    first = asyncio.ensure_future(take(slow, 1))
    await tailed(live, start)
    await tell(database, *range(1, QUEUE + 50))
    assert await first == [1]
    await tailed(live, start + QUEUE + 49)
    with pytest.raises(SlowFollower):
        await take(slow, QUEUE + 49)
