"""PostgreSQL that does not answer: deadlines do, queues are bounded, and memory stays flat."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.chaos.clients import Crowd, Reply
from tests.chaos.reckoning import Figures, told
from tests.chaos.rig import House, until
from tests.chaos.scene import CLAIM, HOME, Scene, seed

CLIENTS = 200
STOCK = 60
# Eight run at once, four times as many wait: the others of the 200 are told to come again.
SETTINGS = {"request_seconds": "2", "max_concurrent": "16", "answer_cache_mb": "0"}
SLOW_SECONDS = 8.0
MEGABYTE = 2**20
FLAT = 64 * MEGABYTE


@asynccontextmanager
async def locked(house: House) -> AsyncGenerator[None]:
    """Somebody holds the tables that everything needs."""
    connection = await asyncpg.connect(house.database_url)
    try:
        async with connection.transaction():
            await connection.execute(
                "LOCK TABLE member, coupon_drop, login_session IN ACCESS EXCLUSIVE MODE"
            )
            yield
    finally:
        await connection.close()


async def ask(crowd: Crowd, scene: Scene, index: int) -> Reply:
    """Every other client claims, always by the same key; the others look at their home."""
    if index % 2:
        return await crowd.once(HOME, {}, scene.tokens[index])
    return await crowd.once(CLAIM, {"drop": scene.drop_id, "key": "tap"}, scene.tokens[index])


async def besiege(crowd: Crowd, scene: Scene, seconds: float) -> list[Reply]:
    """Everybody asks again and again."""
    ends = time.monotonic() + seconds

    async def client(index: int) -> list[Reply]:
        replies: list[Reply] = []
        while time.monotonic() < ends:
            replies.append(await ask(crowd, scene, index))
            await asyncio.sleep(0.5)
        return replies

    return [
        reply
        for replies in await asyncio.gather(*(client(index) for index in range(CLIENTS)))
        for reply in replies
    ]


@pytest.mark.parametrize("how", ["locked", "frozen"])
async def test_a_slow_database(house: House, how: str) -> None:
    scene = await seed(house.database_url, people=CLIENTS, stock=STOCK)
    api = await house.add_api(**SETTINGS)
    async with Crowd(house.urls, connections=CLIENTS) as crowd:
        for index in range(1, CLIENTS, 2):
            await crowd.ask(HOME, {}, scene.tokens[index])
        before = api.memory
        async with locked(house) if how == "locked" else house.stores.postgres.frozen():
            slow = await besiege(crowd, scene, SLOW_SECONDS)
        during = api.memory

        async def answers() -> bool:
            return (await crowd.once(HOME, {}, scene.tokens[1])).code == "OK"

        recovered = await until(answers, "homes are answered")
        begun = time.monotonic()
        claims = await asyncio.gather(
            *(
                crowd.ask(CLAIM, {"drop": scene.drop_id, "key": "tap"}, scene.tokens[index])
                for index in range(0, CLIENTS, 2)
            )
        )
        claimed = time.monotonic() - begun
        codes = Counter(reply.code for reply in slow)
        won = [claim for claim in claims if claim["claimDrop"]["__typename"] == "ClaimDropSuccess"]
        given = await house.value("SELECT count(*) FROM coupon WHERE source_id = $1", scene.drop)
        figures = Figures(
            f"database {how} for {SLOW_SECONDS:.0f} s",
            requests=crowd.requests,
            again=crowd.again,
            faults=1,
            recovered=[recovered],
            lost=["claim"] * max(0, len(won) - given),
            doubled=["claim"] * max(0, given - len(won)),
            oversold=max(0, given - STOCK),
            more={
                "answers": told(codes),
                "claims settled after s": round(claimed, 1),
                "slowest answer s": round(max(reply.seconds for reply in slow), 1),
                "memory grew MB": (max(during, api.memory) - before) // MEGABYTE,
            },
        )
    figures.show()
    figures.require_whole()
    assert given == STOCK
    assert set(codes) <= {"OK", "DEADLINE_EXCEEDED", "OVERLOADED"}
    assert codes["DEADLINE_EXCEEDED"] > 0 < codes["OVERLOADED"]
    assert {reply.status for reply in slow if reply.code == "OVERLOADED"} == {503}
    assert max(during, api.memory) - before < FLAT
    assert api.starts == 1
