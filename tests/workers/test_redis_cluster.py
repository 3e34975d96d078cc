"""Everything that touches Redis, on a cluster of three: buckets, news, live topics, jobs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from dramatiq import Worker
from redis.crc import key_slot

from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.live import Live
from app.kernel.news import News
from app.kernel.redis import Redis, close, connect, hear
from cli.doctor_redis import look_at_redis
from cli.findings import Finding
from schema.engine import buckets as buckets_module
from schema.engine.buckets import PREFIX, Buckets, Rate
from tests.make.clusters import redis_cluster
from tests.workers.test_relay import touch
from tests.workers.traced import REACTIONS
from workers import broker as brokers
from workers.broker import Sender, make_broker, message_for, namespace_of
from workers.jobs import Work, by_name, job
from workers.relay import Relay

RATE = Rate(1_000, 1)
PATIENCE = 60

done: Counter[str] = Counter()


@job(queue="clustered")
async def note(work: Work, *, key: str) -> None:
    """Count that it was done, at the second try."""
    done[key] += 1
    if done[key] == 1:
        raise ValueError("not yet")


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """The nodes of a cluster."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def url(ports: list[int]) -> str:
    """Its address: of a node that is not there, and one that is."""
    return f"redis+cluster://127.0.0.1:1,127.0.0.1:{ports[-1]}"


@pytest.fixture
async def client(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Redis]:
    """As the processes have it."""
    # Here it is about keys; who is slow is left alone elsewhere.
    monkeypatch.setattr(buckets_module, "TIMEOUT_SECONDS", 30)
    made = connect(url)
    yield made
    await close(made)


async def test_a_caller_and_an_address_are_charged_together(client: Redis) -> None:
    one, other = Buckets(client), Buckets(client)
    names = [f"{kind}:{number}" for kind in ("member", "address") for number in range(20)]
    assert len({key_slot(name.encode()) for name in names}) > len(names) // 2
    assert len({key_slot((PREFIX + name).encode()) for name in names}) == 1
    for buckets in (one, other):
        pair = [buckets.get("member:1", RATE), buckets.get("address:1", RATE)]
        assert await buckets.take(pair, 400)
    assert not await one.take([one.get("member:1", RATE), one.get("address:2", RATE)], 400)
    assert await one.take([one.get("member:2", RATE), one.get("address:1", RATE)], 150)
    for name in names:
        one.spend([one.get(name, RATE)], 1)
    await one.close()
    await other.close()
    # What was never silent has asked Redis each time.
    assert one._silent_until == other._silent_until == -buckets_module.math.inf
    assert int(float(await client.hget(f"{PREFIX}address:1", "level") or 0)) in range(48, 52)


async def test_news_are_heard_whichever_node_one_is_at(client: Redis, ports: list[int]) -> None:
    async with aclosing(hear(client, "linli:there")) as said:
        assert await anext(said) is None
        await News(client, "linli:there")(b"hello")
        assert await asyncio.wait_for(anext(said), PATIENCE) == b"hello"


async def test_live_topics_and_the_relay(database: Database, client: Redis, url: str) -> None:
    hub = Live(database, client)
    sender = Sender(url)
    relay = Relay(database, client, sender.send, REACTIONS)
    await hub.start()
    facts = hub.follow("test:cluster", after=await hub.head())
    heard = asyncio.ensure_future(anext(facts))
    try:
        await touch(database, "a", topic="test:cluster")
        assert await relay.tell() == 1
        assert (await asyncio.wait_for(heard, PATIENCE)).payload["key"] == "a"
        assert await relay.hand_over() == 1
    finally:
        await facts.aclose()
        await hub.stop()
        sender.close()


async def test_jobs(
    client: Redis,
    url: str,
    settings: Settings,
    ports: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(brokers, "FIRST_RETRY_MS", 50)
    # Each command looks for the dead: that script touches the most keys.
    monkeypatch.setattr(brokers, "MAINTENANCE_CHANCE", 1_000_000)
    done.clear()
    jobs = by_name([note])
    work = Work(Database(settings.database_url or ""), settings)
    worker = Worker(make_broker(url, work, jobs), worker_timeout=20, worker_threads=2)
    sender = Sender(url)
    await asyncio.to_thread(worker.start)
    try:
        messages = [message_for(note, {"key": f"job {number}"}) for number in range(20)]
        await asyncio.to_thread(sender.send, messages)
        async with asyncio.timeout(PATIENCE):
            while sum(done.values()) < 40:
                await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(worker.stop, 5_000)
        sender.close()
    assert set(done.values()) == {2}
    name = f"{namespace_of(url)}:clustered"
    assert not await client.hlen(f"{name}.msgs")
    assert not await client.hlen(f"{name}.DQ.msgs")


async def test_the_doctor_knows_a_cluster(url: str, ports: list[int], settings: Settings) -> None:
    async def found(address: str) -> Finding:
        return (await look_at_redis(settings.model_copy(update={"redis_url": address})))[0]

    assert ", a cluster" in (await found(url)).found
    taken_for_one = await found(f"redis://127.0.0.1:{ports[0]}")
    assert taken_for_one.state == "wrong"
    assert "redis+cluster://" in taken_for_one.mend
    assert "集群" in taken_for_one.zh
