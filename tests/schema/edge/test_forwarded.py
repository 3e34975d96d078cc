"""Who calls, through real balancers: brakes, buckets and the audit log count the right address."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from redis.asyncio import Redis
from sqlalchemy import select

from app.kernel.auth.brakes import LoginBrake
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.forwarding import Balancers, strangers
from app.main import connect, create_app
from schema.edge.wire import SocketProtocol
from schema.engine import buckets
from schema.engine.buckets import PREFIX

PATIENCE = 60
LOGIN = """mutation { staffLogin(input: {login: "nobody", password: "a long guess"})
  { __typename ... on UserError { code } } }"""
CALLER = "198.51.100.7"
# What a balancer writes, and who that is.
SEEN = {
    CALLER: CALLER,
    f"{CALLER}:50123": CALLER,
    f"::ffff:{CALLER}": CALLER,
    "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
    "[2001:db8:1:2::9]:443": "2001:db8:1:2::/64",
    # One that does not say who called is what we know.
    "unknown": "127.0.0.1",
    "_hidden, , 1.2.3": "127.0.0.1",
}
Headers = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a busy Redis is not told in time stays with its process; here all is to be seen."""
    monkeypatch.setattr(buckets, "TIMEOUT_SECONDS", PATIENCE)


class Balancer:
    """Passes HTTP on, and writes down who called, as haproxy and nginx do."""

    def __init__(self, port: int, seen_as: str, *, line_of_its_own: bool) -> None:
        self._to = port
        self._seen_as = seen_as
        self._own_line = line_of_its_own

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            given = [line for line in head if line.lower().startswith("x-forwarded-for:")]
            if self._own_line or not given:
                head.append(f"X-Forwarded-For: {self._seen_as}")
            else:
                head.remove(given[-1])
                head.append(f"{given[-1]}, {self._seen_as}")
            far, onwards = await asyncio.open_connection("127.0.0.1", self._to)
            onwards.write("\r\n".join([*head, "", ""]).encode())
            await asyncio.gather(_pass(reader, onwards), _pass(far, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def balancer(port: int, seen_as: str, *, own_line: bool = False) -> AsyncGenerator[int]:
    """Its port; whoever calls it is seen as that address."""
    made = Balancer(port, seen_as, line_of_its_own=own_line)
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


class House:
    """A server that believes whom it is told to."""

    def __init__(self, database: Database, redis: Redis, port: int) -> None:
        self._database, self._redis = database, redis
        self.port = port

    async def ask(self, port: int, query: str = LOGIN, headers: Headers | None = None) -> Any:
        """Through a port, on a connection of its own."""
        async with httpx2.AsyncClient(timeout=PATIENCE) as client:
            given = [("connection", "close"), *(headers or [])]
            url = f"http://127.0.0.1:{port}/graphql"
            reply = await client.post(url, json={"query": query}, headers=given)
            return json.loads(reply.content)

    async def guesses(self) -> Counter[str]:
        """How often the brakes have counted each address."""
        async with self._database.read() as read:
            rows = await read.session.execute(select(LoginBrake.name, LoginBrake.attempts))
            return Counter(
                {name[8:]: attempts for name, attempts in rows if name.startswith("address:")}
            )

    async def counted(self) -> set[str]:
        """The addresses whose guesses are braked, each of which must have its bucket too."""
        braked = set(await self.guesses())
        ends = asyncio.get_running_loop().time() + PATIENCE
        while True:
            keys = {key.decode() for key in await self._redis.keys(f"{PREFIX}address:*")}
            shared = {key.removeprefix(f"{PREFIX}address:") for key in keys}
            if shared == {name.removesuffix("/64") for name in braked}:
                return braked
            assert asyncio.get_running_loop().time() < ends, (shared, braked)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(
    settings: Settings, database: Database, redis: Redis, proxies: str
) -> AsyncGenerator[House]:
    # A bucket that hardly fills up is kept for as long as a slow test may take.
    update = {"trusted_proxies": proxies, "rate_limit_address_restore": 1}
    chosen = settings.model_copy(update=update)
    app = create_app(chosen, connect(chosen, database.clock))
    # As `linli serve` has it.
    config = uvicorn.Config(
        app, port=0, log_config=None, ws=SocketProtocol, lifespan="on", proxy_headers=False
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    yield House(database, redis, running.servers[0].sockets[0].getsockname()[1])
    running.should_exit = True
    await task


@pytest.fixture
async def house(settings: Settings, database: Database, redis: Redis) -> AsyncIterator[House]:
    """Behind a balancer on this machine, which has another one of a known network before it."""
    async with serving(settings, database, redis, "127.0.0.1, 10.0.0.0/8") as made:
        yield made


async def test_the_caller_is_counted_and_not_what_they_say(house: House) -> None:
    spoofed = [("x-forwarded-for", "192.0.2.66"), ("X-Forwarded-For", "127.0.0.1, 192.0.2.67:80")]
    for number, (seen_as, counted) in enumerate(SEEN.items()):
        before = await house.guesses()
        async with balancer(house.port, seen_as, own_line=number % 2 == 0) as port:
            query = LOGIN.replace("nobody", f"nobody{number}")
            reply = await house.ask(port, query, spoofed[: number % 3])
        assert reply["data"]["staffLogin"]["code"] == "LOGIN_REFUSED"
        assert await house.guesses() - before == {counted: 1}, seen_as
    assert await house.counted() == set(SEEN.values())


async def test_several_balancers_one_behind_the_other(house: House) -> None:
    async with (
        balancer(house.port, "10.1.2.3", own_line=True) as inner,
        balancer(inner, CALLER) as outer,
    ):
        await house.ask(outer, headers=[("x-forwarded-for", "10.9.9.9, 192.0.2.66")])
    assert await house.counted() == {CALLER}


async def test_nobody_else_is_believed_and_the_doctor_learns_of_it(
    settings: Settings, database: Database, redis: Redis
) -> None:
    async with serving(settings, database, redis, "10.0.0.0/8") as house:
        async with balancer(house.port, CALLER) as port:
            await house.ask(port)
            await house.ask(port, headers=[("x-forwarded-for", "10.1.2.3")])
        assert await house.counted() == {"127.0.0.1"}
        async with asyncio.timeout(PATIENCE):
            while await strangers(redis, "") != ["127.0.0.1"]:
                await asyncio.sleep(0.01)
        assert await strangers(redis, "127.0.0.0/8") == []


async def test_anybody_is_a_balancer_and_their_word_alone_counts(
    settings: Settings, database: Database, redis: Redis
) -> None:
    async with serving(settings, database, redis, "*") as house:
        async with balancer(house.port, CALLER) as port:
            await house.ask(port, headers=[("x-forwarded-for", "192.0.2.66")])
        assert await house.counted() == {CALLER}
        assert await strangers(redis, "") == []


async def test_a_caller_behind_a_balancer_is_braked_alone(house: House, database: Database) -> None:
    """Fifty guesses of one address are free; the neighbours behind the same balancer go on."""
    async with database.begin() as tx:
        tx.session.add(LoginBrake(name=f"address:{CALLER}", attempts=60, last_at=tx.now))
    codes: list[str] = []
    for seen_as in (CALLER, "198.51.100.8"):
        async with balancer(house.port, seen_as) as port:
            reply = await house.ask(port, headers=[("x-forwarded-for", "192.0.2.66")])
            codes.append(reply["data"]["staffLogin"]["code"])
    assert codes == ["TOO_MANY_ATTEMPTS", "LOGIN_REFUSED"]


def test_a_long_chain_is_not_followed_for_ever() -> None:
    ours = Balancers("10.0.0.0/8")
    chain = b",".join([b"192.0.2.66"] + [b"10.0.0.9"] * 100_000)
    assert ours.caller("10.0.0.1", [chain]) == "10.0.0.9"
    assert ours.caller(None, [b"192.0.2.66"]) is None
