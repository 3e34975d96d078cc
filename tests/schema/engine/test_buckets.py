"""Buckets of cost: shared by Redis, spent on credit, alone when Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from schema.engine import buckets as module
from schema.engine.buckets import PREFIX, Buckets, Rate

# A bucket that hardly fills up while a test runs; one process has a credit of 20.
RATE = Rate(1_000, 1)
SLACK = 5


def process(redis: Redis) -> Buckets:
    """What one API process has."""
    return Buckets(redis)


async def level(redis: Redis, key: str) -> float:
    """What Redis holds of a bucket."""
    found = await redis.hget(PREFIX + key, "level")
    assert found is not None
    return float(found)


async def take(buckets: Buckets, key: str, amount: int) -> bool:
    return await buckets.take([buckets.get(key, RATE)], amount)


async def test_small_sums_are_spent_on_credit_and_told_later(redis: Redis) -> None:
    one = process(redis)
    assert await take(one, "a", 5)
    assert await take(one, "a", 5)
    assert await redis.keys(PREFIX + "*") == []
    await one.close()
    assert await level(redis, "a") == pytest.approx(990, abs=SLACK)


async def test_all_that_is_unsaid_is_told_without_anybody_asking(redis: Redis) -> None:
    one = process(redis)
    for at in range(450):
        assert await take(one, f"many{at}", 3)
    telling = one._telling
    assert telling is not None
    await telling
    assert len(await redis.keys(PREFIX + "many*")) == 450
    assert one._telling is None
    await one.close()


async def test_a_dear_request_asks_first(redis: Redis) -> None:
    one = process(redis)
    assert await take(one, "a", 700)
    assert await level(redis, "a") == pytest.approx(300, abs=SLACK)
    assert not await take(one, "a", 400)
    assert await take(one, "a", 250)
    await one.close()


async def test_a_process_learns_what_others_took(redis: Redis) -> None:
    one, other = process(redis), process(redis)
    assert await take(one, "a", 990)
    # On credit: it takes an unknown bucket to be full.
    assert await take(other, "a", 15)
    assert not await take(other, "a", 15)
    assert other.get("a", RATE).available(0) < 15
    await one.close()
    await other.close()


async def test_what_is_overspent_is_owed(redis: Redis) -> None:
    processes = [process(redis) for _ in range(4)]
    assert await take(processes[0], "a", 1_000)
    for one in processes[1:]:
        assert await take(one, "a", 20)
        await one.close()
    assert await level(redis, "a") == pytest.approx(-60, abs=SLACK)
    assert not await take(process(redis), "a", 100)


async def test_racing_processes_overspend_by_their_credit_at_most(redis: Redis) -> None:
    processes = [process(redis) for _ in range(4)]
    sums = [1, 7, 18, 45]

    async def spend(one: Buckets) -> int:
        taken = 0
        for at in range(60):
            amount = sums[at % len(sums)]
            if await take(one, "race", amount):
                taken += amount
            await asyncio.sleep(0)
        return taken

    runs = [spend(one) for one in processes for _ in range(3)]
    taken = sum(await asyncio.gather(*runs))
    assert RATE.maximum - max(sums) <= taken
    assert taken <= RATE.maximum + len(processes) * RATE.credit + SLACK
    for one in processes:
        await one.close()
    assert await level(redis, "race") == pytest.approx(RATE.maximum - taken, abs=SLACK)


async def test_two_buckets_give_both_or_none(redis: Redis) -> None:
    one = process(redis)
    small, large = one.get("small", RATE), one.get("large", Rate(100_000, 1))
    assert not await one.take([small, large], 5_000)
    assert await one.take([large], 5_000)
    assert await one.take([small, large], 900)
    assert not await one.take([small, large], 900)
    assert await level(redis, "small") == pytest.approx(100, abs=SLACK)
    assert await level(redis, "large") == pytest.approx(94_100, abs=SLACK)
    await one.close()


async def test_what_is_put_back_can_be_taken_again(redis: Redis) -> None:
    one = process(redis)
    bucket = one.get("a", RATE)
    for _ in range(10):
        assert await one.take([bucket], 900)
        one.spend([bucket], -890)
    assert bucket.available(bucket.at) == pytest.approx(900, abs=SLACK)
    await one.close()
    assert await level(redis, "a") == pytest.approx(900, abs=SLACK)


async def test_no_bucket_holds_more_than_its_maximum(redis: Redis) -> None:
    one = process(redis)
    bucket = one.get("a", RATE)
    one.spend([bucket], -500)
    assert bucket.available(bucket.at) == RATE.maximum
    await one.close()
    assert await level(redis, "a") == RATE.maximum


async def test_buckets_fill_up_and_are_forgotten_when_full(redis: Redis) -> None:
    one = process(redis)
    assert await take(one, "a", 900)
    key = PREFIX + "a"
    assert 900_000 < await redis.pttl(key) <= 902_000
    at = int(await redis.hget(key, "at") or 0)
    await redis.hset(key, "at", str(at - 500_000))  # as if it were 500 s ago
    assert await take(process(redis), "a", 550)
    assert await level(redis, "a") == pytest.approx(50, abs=SLACK)
    await one.close()


async def test_a_clock_that_goes_back_takes_nothing_away(redis: Redis) -> None:
    one = process(redis)
    assert await take(one, "a", 100)
    await redis.hset(PREFIX + "a", "at", str(2**41))
    assert await take(one, "a", 100)
    assert await level(redis, "a") == pytest.approx(800, abs=SLACK)
    await one.close()


async def test_scripts_may_be_flushed(redis: Redis) -> None:
    one = process(redis)
    assert await take(one, "a", 100)
    await redis.script_flush()
    assert await take(one, "a", 100)
    assert await level(redis, "a") == pytest.approx(800, abs=SLACK)
    await one.close()


@dataclass
class BlackHole:
    """A server that reads and never answers."""

    port: int = 0
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while await reader.read(1_000):
            pass


@pytest.fixture
async def black_hole() -> AsyncIterator[BlackHole]:
    """A Redis that hangs."""
    hole = BlackHole()
    server = await asyncio.start_server(hole.take, "127.0.0.1", 0)
    hole.port = server.sockets[0].getsockname()[1]
    yield hole
    for writer in hole.writers:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_hangs_is_waited_for_once(black_hole: BlackHole) -> None:
    redis = Redis(host="127.0.0.1", port=black_hole.port)
    one = process(redis)
    answers = [await take(one, "a", 100) for _ in range(12)]
    assert answers == [True] * 10 + [False] * 2
    assert black_hole.connections == 1
    # Another bucket is not asked for either.
    assert await take(one, "b", 900)
    assert black_hole.connections == 1
    await one.close()
    await redis.aclose()


async def test_alone_it_goes_on_from_what_it_knew_and_comes_back(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = process(redis)
    assert await take(one, "a", 600)
    gone = Redis(host="127.0.0.1", port=1)
    one._redis = gone
    assert await take(one, "a", 300)
    assert not await take(one, "a", 300)
    one._redis = redis
    assert not await take(one, "a", 300), "it tries no sooner than the pause is over"
    one._silent_until = 0.0
    assert await take(one, "a", 300), "in Redis there are 400 still"
    assert await level(redis, "a") == pytest.approx(100, abs=SLACK)
    await one.close()
    await gone.aclose()


async def test_one_request_looks_whether_redis_is_back(
    black_hole: BlackHole, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = Redis(host="127.0.0.1", port=black_hole.port)
    one = process(redis)
    assert await take(one, "a", 100)
    one._silent_until = 0.0
    before = black_hole.connections
    assert all(await asyncio.gather(*(take(one, f"b{at}", 100) for at in range(20))))
    assert black_hole.connections == before + 1
    await one.close()
    await redis.aclose()


async def test_a_request_that_is_cancelled_leaves_nothing_unsaid(black_hole: BlackHole) -> None:
    redis = Redis(host="127.0.0.1", port=black_hole.port)
    one = process(redis)
    bucket = one.get("a", RATE)
    assert await one.take([bucket], 15)
    asking = asyncio.create_task(one.take([bucket], 100))
    while not black_hole.connections:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (bucket.unsaid, bucket.underway) == (15, 0)
    await one.close()
    await redis.aclose()


async def test_without_redis_a_process_has_buckets_of_its_own() -> None:
    one = Buckets(None)
    assert [await take(one, "a", 400) for _ in range(3)] == [True, True, False]
    await one.close()


async def test_few_buckets_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 10)
    one = Buckets(None)
    for at in range(100):
        one.get(f"key{at}", RATE)
    assert list(one._known) == [f"key{at}" for at in range(90, 100)]
