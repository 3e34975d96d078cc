"""Buckets of cost: shared by Redis, spent on credit, alone when Redis is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest
from redis.asyncio import Redis

from app.kernel.embedded import ValkeyServer
from schema.engine import buckets as module
from schema.engine.buckets import PREFIX, Buckets, Rate

# A bucket that hardly fills up while a test runs; one process has a credit of 20.
RATE = Rate(1_000, 1)
HOUR = 3_600.0
Near = Callable[[float], Any]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is there is waited for, and one given up is left alone until a test says so."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", HOUR)
    monkeypatch.setattr(module, "PAUSE_SECONDS", HOUR)


@pytest.fixture
def impatient(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that hangs is given up soon."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)


@pytest.fixture
def near() -> Near:
    """Compares with a level, but for what was restored since the test began."""
    begun = monotonic()
    return lambda level: pytest.approx(level, abs=1 + RATE.restore * (monotonic() - begun))


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


async def test_small_sums_are_spent_on_credit_and_told_later(
    redis: Redis, near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", HOUR)
    one = process(redis)
    assert await take(one, "a", 5)
    assert await take(one, "a", 5)
    assert await redis.keys(PREFIX + "*") == []
    await one.close()
    assert await level(redis, "a") == near(990)


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


async def test_a_dear_request_asks_first(redis: Redis, near: Near) -> None:
    one = process(redis)
    assert await take(one, "a", 700)
    assert await level(redis, "a") == near(300)
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


async def test_what_is_overspent_is_owed(redis: Redis, near: Near) -> None:
    processes = [process(redis) for _ in range(4)]
    assert await take(processes[0], "a", 1_000)
    for one in processes[1:]:
        assert await take(one, "a", 20)
        await one.close()
    assert await level(redis, "a") == near(-60)
    assert not await take(process(redis), "a", 100)


async def test_racing_processes_overspend_by_their_credit_at_most(redis: Redis, near: Near) -> None:
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

    begun = monotonic()
    runs = [spend(one) for one in processes for _ in range(3)]
    taken = sum(await asyncio.gather(*runs))
    restored = 1 + RATE.restore * (monotonic() - begun)
    assert RATE.maximum - max(sums) <= taken
    assert taken <= RATE.maximum + len(processes) * RATE.credit + restored
    for one in processes:
        await one.close()
    assert await level(redis, "race") == near(RATE.maximum - taken)


class Late(Redis):
    """A Redis some of whose answers come late, as over a slow connection."""

    late: list[asyncio.Event]

    async def evalsha(self, *given: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        answer = await super().eval(module.SCRIPT, *given[1:])
        if self.late:
            await self.late.pop().wait()
        return answer


@pytest.fixture
async def late(valkey: ValkeyServer, redis: Redis) -> AsyncIterator[Late]:
    late = Late.from_url(valkey.url)
    late.late = []
    yield late
    await late.aclose()


async def test_an_answer_that_comes_late_hides_no_newer_one(late: Late) -> None:
    one, held = process(late), asyncio.Event()
    late.late = [held]
    first = asyncio.create_task(take(one, "a", 500))
    while late.late:
        await asyncio.sleep(0)
    assert await take(one, "a", 490)
    held.set()
    assert await first
    assert one.get("a", RATE).available(monotonic()) < 15
    await one.close()


async def test_what_is_being_told_at_the_end_is_told_once(
    late: Late, redis: Redis, near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", 0.01)
    one, held = process(late), asyncio.Event()
    late.late = [held]
    assert await take(one, "a", 15)
    while late.late:
        await asyncio.sleep(0)
    closing = asyncio.create_task(one.close())
    await asyncio.sleep(0)
    held.set()
    await closing
    assert await level(redis, "a") == near(985)


async def test_two_buckets_give_both_or_none(redis: Redis, near: Near) -> None:
    one = process(redis)
    small, large = one.get("small", RATE), one.get("large", Rate(100_000, 1))
    assert not await one.take([small, large], 5_000)
    assert await one.take([large], 5_000)
    assert await one.take([small, large], 900)
    assert not await one.take([small, large], 900)
    assert await level(redis, "small") == near(100)
    assert await level(redis, "large") == near(94_100)
    await one.close()


async def test_what_is_put_back_can_be_taken_again(redis: Redis, near: Near) -> None:
    one = process(redis)
    bucket = one.get("a", RATE)
    for _ in range(10):
        assert await one.take([bucket], 900)
        one.spend([bucket], -890)
    assert bucket.available(bucket.at) == near(900)
    await one.close()
    assert await level(redis, "a") == near(900)


async def test_no_bucket_holds_more_than_its_maximum(redis: Redis) -> None:
    one = process(redis)
    bucket = one.get("a", RATE)
    one.spend([bucket], -500)
    assert bucket.available(bucket.at) == RATE.maximum
    await one.close()
    assert await level(redis, "a") == RATE.maximum


async def test_buckets_fill_up_and_are_forgotten_when_full(redis: Redis, near: Near) -> None:
    one = process(redis)
    assert await take(one, "a", 900)
    key = PREFIX + "a"
    assert 840_000 < await redis.pttl(key) <= 902_000
    at = int(await redis.hget(key, "at") or 0)
    await redis.hset(key, "at", str(at - 500_000))  # as if it were 500 s ago
    assert await take(process(redis), "a", 550)
    assert await level(redis, "a") == near(50)
    await one.close()


async def test_a_clock_that_goes_back_takes_nothing_away(redis: Redis, near: Near) -> None:
    one = process(redis)
    assert await take(one, "a", 100)
    await redis.hset(PREFIX + "a", "at", str(2**41))
    assert await take(one, "a", 100)
    assert await level(redis, "a") == near(800)
    await one.close()


async def test_scripts_may_be_flushed(redis: Redis, near: Near) -> None:
    one = process(redis)
    assert await take(one, "a", 100)
    await redis.script_flush()
    assert await take(one, "a", 100)
    assert await level(redis, "a") == near(800)
    await one.close()


@dataclass
class BlackHole:
    """A server that reads and never answers."""

    port: int = 0
    connections: int = 0
    heard: bytes = b""
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while said := await reader.read(1_000):
            self.heard += said


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


@pytest.mark.usefixtures("impatient")
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


async def test_alone_it_goes_on_from_what_it_knew_and_comes_back(redis: Redis, near: Near) -> None:
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
    assert await level(redis, "a") == near(100)
    await one.close()
    await gone.aclose()


@pytest.mark.usefixtures("impatient")
async def test_one_request_looks_whether_redis_is_back(black_hole: BlackHole) -> None:
    redis = Redis(host="127.0.0.1", port=black_hole.port)
    one = process(redis)
    assert await take(one, "a", 100)
    one._silent_until = 0.0
    before = black_hole.connections
    assert all(await asyncio.gather(*(take(one, f"b{at}", 100) for at in range(20))))
    assert black_hole.connections == before + 1
    await one.close()
    await redis.aclose()


async def test_a_request_that_is_cancelled_leaves_nothing_unsaid(
    black_hole: BlackHole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", HOUR)
    redis = Redis(host="127.0.0.1", port=black_hole.port)
    one = process(redis)
    bucket = one.get("a", RATE)
    assert await one.take([bucket], 15)
    asking = asyncio.create_task(one.take([bucket], 100))
    while not black_hole.heard:  # a client that connects may take no notice of its cancellation
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (bucket.unsaid, bucket.underway) == (15, 0)
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)
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
