"""kill -9 of each part in the midst of claims, points and pushes: nothing is lost or double."""

import asyncio
import contextlib
import random

import psutil
import pytest

from tests.chaos.reckoning import reckon
from tests.chaos.rig import House, until
from tests.chaos.scene import seed
from tests.chaos.storm import Storm, raging, spread

PEOPLE, STOCK = 120, 75
# The API processes and the backends of a claim, a job or a look at the live table.
BACKEND = """SELECT pid FROM pg_stat_activity WHERE datname = current_database()
  AND backend_type = 'client backend' AND application_name = 'linli'
  ORDER BY (state = 'active') DESC, random() LIMIT 1"""
ROUNDS = {"api": 2, "worker": 2, "valkey": 3, "postmaster": 2, "backend": 3}


async def strike_a_backend(house: House) -> None:
    """kill -9 one of the processes that serve a connection; another if that has just ended."""
    while True:
        pid = await house.value(BACKEND)
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.ppid() == house.stores.postgres.pid:
                process.kill()
                return


async def strike(house: House, victim: str) -> None:
    """kill -9, and return when the process is there again."""
    if victim == "backend":
        await strike_a_backend(house)
        return
    part = house.parts[victim]
    await until(part.runs, f"{victim} runs")
    starts = part.starts
    part.kill()

    async def came_back() -> bool:
        return part.starts > starts

    await until(came_back, f"{victim} comes back")


async def kill_in_the_midst(storm: Storm, victim: str, people: range) -> float:
    """Kill while these members claim; answers the seconds until a change is pushed again."""
    burst = asyncio.create_task(storm.burst(people))
    await asyncio.sleep(random.uniform(0.05, 0.4))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await strike(storm.house, victim)
    # The first API process is the one that is killed.
    await storm.served(storm.house.urls[0])
    seconds = loop.time() - begun
    await burst
    return seconds


@pytest.mark.parametrize("victim", ROUNDS)
async def test_killed(standing: House, victim: str) -> None:
    scene = await seed(standing.database_url, people=PEOPLE, stock=STOCK)
    rounds = ROUNDS[victim]
    async with raging(standing, scene) as storm:
        recovered = [
            await kill_in_the_midst(storm, victim, people) for people in spread(PEOPLE, rounds)
        ]
    for url in standing.urls:
        await standing.ready(url)
    figures = await reckon(storm, f"kill -9 {victim}", recovered)
    figures.require_whole()
    assert len(storm.told.coupons) == STOCK
