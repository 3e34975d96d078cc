"""A Redis that vanishes without a word, for those that live on an event loop."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from redis.asyncio import Redis as Direct

from app.kernel import live, news
from app.kernel import redis as connections
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.live import CHANNEL, Live, encode_news
from app.kernel.news import News
from app.kernel.redis import Redis, Silent, close, connect, hear
from schema.engine import buckets as buckets_module
from schema.engine.buckets import PREFIX, Buckets, Rate
from tests.kernel.test_live import TOPIC, tell
from tests.make.links import Link, link

PATIENCE = 30
RATE = Rate(1_000, 1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in an installation takes tenths here."""
    for name in ("SILENT_SECONDS", "CONNECT_SECONDS", "QUIET_SECONDS"):
        monkeypatch.setattr(connections, name, 0.2)
    monkeypatch.setattr(news, "SAY_SECONDS", 0.2)
    monkeypatch.setattr(news, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(buckets_module, "PAUSE_SECONDS", 0.1)


@pytest.fixture
async def line(settings: Settings) -> AsyncIterator[Link]:
    """The way to Redis."""
    async with link(settings.redis_url or "") as made:
        yield made


@pytest.fixture
async def client(line: Link) -> AsyncIterator[Redis]:
    """Of one who is at the near end of it."""
    made = connect(line.url)
    yield made
    await close(made)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await check():
            await asyncio.sleep(0.02)


async def test_a_quiet_channel_is_kept_and_a_dead_one_is_not(
    line: Link, client: Redis, redis: Direct
) -> None:
    async with aclosing(hear(client, "here")) as said:
        assert await anext(said) is None
        waiting = asyncio.ensure_future(anext(said))
        await asyncio.sleep(1)
        await redis.publish("here", "hello")
        assert await asyncio.wait_for(waiting, PATIENCE) == b"hello"
        assert line.connections == 1
        line.cut()
        with pytest.raises(Silent):
            await asyncio.wait_for(anext(said), PATIENCE)


async def test_the_hub_hears_from_redis_again(
    line: Link, client: Redis, redis: Direct, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only from the database, which it asks while Redis is away: that is later."""
    before = (await tell(database, 0))[0].seq
    hub = Live(database, client)
    await hub.start()
    facts = hub.follow(TOPIC, after=before)
    heard = asyncio.ensure_future(anext(facts))
    await until(lambda: _listening(redis, 1))
    monkeypatch.setattr(live, "POLL_SECONDS", 0.1)
    line.cut()
    await until(lambda: _silent(line))
    line.mend()
    try:
        made_up = live.Fact(before + 1, TOPIC, "t", {"n": 7})

        async def hears() -> bool:
            await redis.publish(CHANNEL, encode_news(before, [made_up]))
            return heard.done()

        await until(hears)
        assert (await heard).payload == {"n": 7}
    finally:
        heard.cancel()
        await asyncio.gather(heard, return_exceptions=True)
        await facts.aclose()
        await hub.stop()


async def test_news_and_buckets_find_their_way_back(
    line: Link, client: Redis, redis: Direct
) -> None:
    say, buckets = News(client, "here"), Buckets(client)
    bucket = buckets.get("a", RATE)
    assert await buckets.take([bucket], 100)
    await say()
    line.cut()
    await asyncio.wait_for(say(), PATIENCE)
    assert await asyncio.wait_for(buckets.take([bucket], 100), PATIENCE)
    assert buckets._silent_until > -math.inf
    line.mend()

    async def says() -> bool:
        await say()
        return say._silent_until == -math.inf

    async def shares() -> bool:
        await buckets.take([bucket], 25)
        return buckets._silent_until == -math.inf

    await until(says)
    await until(shares)
    assert await redis.hget(f"{PREFIX}a", "level") is not None
    await buckets.close()


async def _listening(redis: Direct, number: int) -> bool:
    return (await redis.pubsub_numsub(CHANNEL))[0][1] == number


async def _silent(line: Link) -> bool:
    return line.connections > 1
