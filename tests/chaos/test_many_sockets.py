"""Ten thousand idle sockets on one API process, and one that never reads what it asked for."""

import asyncio
import resource
import time
from itertools import cycle, islice

import psutil
import pytest

from tests.chaos.clients import Crowd
from tests.chaos.raw import RawSocket, message, opened
from tests.chaos.reckoning import Figures
from tests.chaos.rig import House, until
from tests.chaos.scene import ADJUST, HOME, UPDATES, seed

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="counts files and connections as Linux has them"
)

SOCKETS = 10_000
# Files of each process that are no such sockets.
SPARE = 500
AT_ONCE = 50
SOURCES = [f"127.0.0.{last}" for last in range(2, 12)]
PATIENT_SECONDS = 8
MEGABYTE, KILOBYTE = 2**20, 2**10
# Measured 12 to 20 kB; what a leak or a task for each socket would take is several times that.
MOST_A_SOCKET = 48 * KILOBYTE
FACTS = 400
OPERATIONS = 100
LONG = "x" * 190


def most_sockets() -> int:
    """So many as the limits of files let us, whose own are raised as far as they may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(SOCKETS, hard - SPARE)


async def open_all(url: str, count: int, token: str) -> list[RawSocket]:
    """So many sockets from several addresses; every tenth is a member's."""
    made: list[RawSocket] = []
    sources = islice(cycle(SOURCES), count)
    tokens = islice(cycle([token, *[None] * 9]), count)
    wanted = list(zip(tokens, sources, strict=True))
    for start in range(0, count, AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        made += await asyncio.gather(*(opened(url, one, source) for one, source in some))
    return made


async def test_idle_sockets(house: House) -> None:
    count = most_sockets()
    scene = await seed(house.database_url, people=2)
    api = await house.add_api(max_sockets_per_caller=str(SOCKETS))
    url = house.urls[0]
    async with Crowd(house.urls) as crowd:
        await crowd.ask(HOME, {}, scene.tokens[0])
        before = api.memory
        begun = time.monotonic()
        sockets = await open_all(url, count, scene.tokens[0])
        opening = time.monotonic() - begun
        grown = api.memory - before
        reply = await crowd.once(HOME, {}, scene.tokens[0])
        # Everybody is pinged once in twenty seconds, and whoever does not answer is dropped.
        await asyncio.sleep(25)
        later = await crowd.once(HOME, {}, scene.tokens[0])
        dropped = sum(one.is_over for one in sockets)
        for one in sockets:
            one.transport.close()
        process = psutil.Process(api.pid)

        async def all_closed() -> bool:
            return process.num_fds() < SPARE

        closing = await until(all_closed, "the server has let go of every socket")
        await asyncio.gather(*(one.closed for one in sockets))
        figures = Figures(
            f"{count} idle sockets",
            requests=crowd.requests,
            again=crowd.again,
            stuck=["socket"] * dropped,
            more={
                "kB a socket": round(grown / count / KILOBYTE, 1),
                "opened in s": round(opening, 1),
                "closed in s": round(closing, 1),
                "a home meanwhile ms": round(max(reply.seconds, later.seconds) * 1000),
            },
        )
    figures.show()
    figures.require_whole()
    assert reply.code == later.code == "OK"
    assert max(reply.seconds, later.seconds) < PATIENT_SECONDS
    assert grown / count < MOST_A_SOCKET
    assert api.starts == 1
    assert "Traceback" not in house.said("serve")


async def test_a_client_that_never_reads(house: House) -> None:
    scene = await seed(house.database_url, people=2)
    api, _ = await asyncio.gather(house.add_api(), house.add_worker())
    url, token = house.urls[0], scene.tokens[0]
    reader = await opened(url, token)
    reader.send(message(id="1", type="subscribe", payload={"query": UPDATES}))
    deaf = await opened(url, token, receive_buffer=4096)
    for index in range(OPERATIONS):
        deaf.send(message(id=str(index), type="subscribe", payload={"query": UPDATES}))
    # Read by nobody from now on: what the server sends piles up at its side.
    deaf.transport.pause_reading()
    async with Crowd(house.urls, connections=8) as crowd:

        async def give(index: int) -> None:
            given = {"member": scene.member(0), "amount": 1, "key": f"k-{index}", "reason": LONG}
            await crowd.ask(ADJUST, given, scene.boss)

        async def heard_first() -> bool:
            await give(FACTS + len(reader.texts))
            return bool(reader.texts)

        await until(heard_first, "the reader is subscribed")
        before = api.memory
        begun = len(reader.texts)
        for start in range(0, FACTS, 8):
            await asyncio.gather(*(give(index) for index in range(start, start + 8)))
        held = await house.value(
            "SELECT count(*) FROM points_entry WHERE member_id = $1", scene.members[0]
        )

        async def all_heard() -> bool:
            newest = await house.value("SELECT count(*) FROM outbox")
            return not newest and len(reader.texts) >= begun + FACTS

        await until(all_heard, "the reader has heard everything")
        grown = api.memory - before
        process = psutil.Process(api.pid)

        async def let_go() -> bool:
            return not any(
                one.raddr and one.raddr.port == port for one in process.net_connections("tcp")
            )

        port = deaf.transport.get_extra_info("sockname")[1]
        seconds = await until(let_go, "the deaf one is let go")
        figures = Figures(
            "a client that never reads",
            requests=crowd.requests,
            again=crowd.again,
            pushed=len(reader.texts),
            lost=["fact"] * max(0, begun + FACTS - len(reader.texts)),
            doubled=["fact"] * (len(reader.texts) - len(set(reader.texts))),
            more={
                "facts": held,
                "let go after s": round(seconds, 1),
                "memory grew MB": round(grown / MEGABYTE, 1),
            },
        )
    deaf.transport.abort()
    reader.transport.close()
    await asyncio.gather(deaf.closed, reader.closed)
    figures.show()
    figures.require_whole()
    assert grown < 64 * MEGABYTE
    assert api.starts == 1
