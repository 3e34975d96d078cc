"""News are said in time or not at all."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.kernel import news
from app.kernel.news import News


class Silent:
    """A server that takes connections and never answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await reader.read()
        writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    made = Silent()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.url = f"redis://127.0.0.1:{port}/0"
    async with server:
        yield made


async def test_news_arrive(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "SAY_SECONDS", 30)
    async with redis.pubsub() as channel:
        await channel.subscribe("here")
        assert (await channel.get_message(timeout=30))["type"] == "subscribe"
        await News(redis, "here")(b"hello")
        assert (await channel.get_message(timeout=30))["data"] == b"hello"


async def test_a_silent_redis_holds_nobody_and_is_left_alone_for_a_while(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "SAY_SECONDS", 0.05)
    monkeypatch.setattr(news, "PAUSE_SECONDS", 1000)
    client = Redis.from_url(silent.url)
    say = News(client, "here")
    async with asyncio.timeout(30):
        await say(b"1")
        await asyncio.gather(*(say(b"2") for _ in range(100)))
        # The first made one connection, which the server takes some turns later.
        await asyncio.sleep(0.05)
    assert silent.asked <= 1
    await client.aclose()


async def test_it_speaks_again_when_redis_is_back(
    silent: Silent, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "SAY_SECONDS", 0.05)
    monkeypatch.setattr(news, "PAUSE_SECONDS", 0.0)
    client = Redis.from_url(silent.url)
    say = News(client, "here")
    async with asyncio.timeout(30):
        await say(b"lost")
    say._redis = redis
    monkeypatch.setattr(news, "SAY_SECONDS", 30)
    async with redis.pubsub() as channel:
        await channel.subscribe("here")
        assert (await channel.get_message(timeout=30))["type"] == "subscribe"
        await say(b"again")
        assert (await channel.get_message(timeout=30))["data"] == b"again"
    await client.aclose()
