"""Redis dead or silent for ten seconds: all but jobs goes on, and nothing is missing after."""

import asyncio
import time
from collections import Counter
from statistics import median

import pytest

from tests.chaos.clients import Crowd
from tests.chaos.reckoning import reckon, told
from tests.chaos.rig import House
from tests.chaos.scene import HOME, Scene, seed
from tests.chaos.storm import Storm, raging, spread

PEOPLE, STOCK = 60, 40
GONE_SECONDS = 10
# What a person would take for broken; a request has ten seconds at the most.
PATIENT_SECONDS = 8
# 1,000 of the 50,000 that a caller may spend at once.
DEAR = "{ __schema { queryType { name } } }"
GREED, MOST_GREED = 70, 500


async def visiting(crowd: Crowd, scene: Scene, until: float) -> list[float]:
    """Members look at their homes; answers the seconds that each waited."""
    seconds: list[float] = []
    for token in scene.tokens * 100:
        if time.monotonic() > until:
            break
        reply = await crowd.once(HOME, {}, token)
        assert reply.code == "OK", reply
        seconds.append(reply.seconds)
        await asyncio.sleep(0.05)
    return seconds


async def greedy(crowd: Crowd, token: str) -> Counter[str]:
    """One caller asks for more than they have; where all goes slowly, also for what is restored."""
    codes: Counter[str] = Counter()
    while codes.total() < GREED or (codes["OK"] == codes.total() < MOST_GREED):
        codes[(await crowd.once(DEAR, {}, token)).code] += 1
    return codes


async def without_redis(storm: Storm, people: range) -> tuple[list[float], float, Counter[str]]:
    """Ten seconds of claims, visits, pushes and greed."""
    until = time.monotonic() + GONE_SECONDS
    burst = asyncio.create_task(storm.burst(people))
    visits = asyncio.create_task(visiting(storm.crowd, storm.scene, until))
    begun = time.monotonic()
    await storm.served(storm.house.urls[0])
    pushed = time.monotonic() - begun
    async with Crowd(storm.house.urls) as alone:
        verdicts = await greedy(alone, storm.scene.tokens[-1])
    await burst
    return await visits, pushed, verdicts


@pytest.mark.parametrize("how", ["gone", "frozen"])
async def test_redis(house: House, how: str) -> None:
    scene = await seed(house.database_url, people=PEOPLE, stock=STOCK)
    await asyncio.gather(house.add_api(rate_limit_exempt=""), house.add_worker())
    valkey = house.stores.valkey
    async with raging(house, scene) as storm:
        first, second = spread(PEOPLE, 2)
        async with valkey.gone() if how == "gone" else valkey.frozen():
            seconds, pushed, verdicts = await without_redis(storm, first)
        begun = time.monotonic()
        await storm.burst(second)
        await storm.served(house.urls[0])
        recovered = time.monotonic() - begun
    more: dict[str, object] = {
        "homes meanwhile": len(seconds),
        "ms in the middle": round(median(seconds) * 1000),
        "ms at most": round(max(seconds) * 1000),
        "a push after s": round(pushed, 1),
        "greedy requests": told(verdicts),
    }
    figures = await reckon(storm, f"redis {how} for {GONE_SECONDS} s", [recovered], more)
    figures.require_whole()
    assert len(storm.told.coupons) == STOCK
    assert max(seconds) < PATIENT_SECONDS
    assert set(verdicts) == {"OK", "THROTTLED"}
