"""Clients that do not read, or are no more: they cost little, hold up nobody, and are let go."""

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app import drops
from app.kernel.outbox import LiveEvent
from app.members import member_topic
from schema.edge import outbox, sockets
from schema.nodes import global_id
from tests.make import drops as make
from tests.make.members import member
from tests.schema.conftest import Server
from tests.schema.edge.talking import UPDATES, talk
from tests.schema.edge.test_sockets import until_followed

WATCH = "subscription ($id: ID!) { dropUpdated(dropId: $id) { drop { remaining title } } }"
# More than the buffers of a connection hold, in facts of this size.
BIG, MANY = 50_000, 60


class Sluggard:
    """A client that reads when told to, over a connection with small buffers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, **message: Any) -> None:
        text = json.dumps(message).encode()
        size = len(text)
        head = bytes((0x81, 0x80 | size)) if size < 126 else struct.pack("!BBH", 0x81, 0xFE, size)
        # Masked by zeros, which change nothing.
        self.writer.write(head + b"\0\0\0\0" + text)

    async def frame(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def message(self) -> Any:
        """The next text message, pings left out."""
        async with asyncio.timeout(60):
            while True:
                kind, data = await self.frame()
                if kind == 8:
                    return struct.unpack("!H", data[:2])[0]
                if kind == 1:
                    return json.loads(data)


@asynccontextmanager
async def sluggard(server: Server, token: str) -> AsyncGenerator[Sluggard]:
    host, port = server.url.removeprefix("http://").split(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /graphql HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    assert b"101" in await reader.readline()
    while await reader.readline() != b"\r\n":
        pass
    slow = Sluggard(reader, writer)
    slow.say(type="connection_init", payload={"authorization": f"Bearer {token}"})
    assert await slow.message() == {"type": "connection_ack"}
    try:
        yield slow
    finally:
        writer.transport.abort()


async def tell_much(server: Server, topic: str, count: int, payload: dict[str, Any]) -> None:
    async with server.parts.resources.database.begin() as tx:
        for number in range(count):
            given = {"number": number, **payload}
            tx.session.add(LiveEvent(topic=topic, kind="t", payload=given, at=tx.now))
            await tx.session.flush()
    await server.parts.redis.publish("linli:live", b'{"before":-1,"facts":[]}')


async def test_facts_beyond_what_is_kept_end_the_slow_subscription_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 10)
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    token = await server.token(row.id)
    async with sluggard(server, token) as slow, talk(server, token) as quick:
        slow.say(id="s", type="subscribe", payload={"query": UPDATES})
        await quick.ask("q", UPDATES)
        await until_followed(server, 2)
        for number in range(MANY):
            told = {"number": number, "padding": "x" * BIG}
            await tell_much(server, member_topic(row.id), 1, told)
            heard = (await quick.hear_data("myUpdates"))["facts"]["number"]
            assert heard == number, "a slow one holds up nobody"
        await until_followed(server, 1)
        got: list[Any] = []
        while (message := await slow.message())["type"] == "next":
            got.append(message["payload"]["data"]["myUpdates"]["facts"]["number"])
        assert got == list(range(len(got))), "what came is a beginning without gaps"
        assert 0 < len(got) < MANY
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "SLOW_CONSUMER"
        # The socket lives on: it subscribes again from its last cursor.
        slow.say(id="s", type="ping")
        assert (await slow.message())["type"] == "pong"


async def test_of_states_a_slow_client_gets_the_newest(server: Server) -> None:
    database = server.parts.resources.database
    async with database.begin() as tx:
        row = await member(tx)
        drop = await make.open_drop(tx, stock=90)
    token = await server.token(row.id)
    async with sluggard(server, token) as slow:
        watched = {"query": WATCH, "variables": {"id": global_id("Drop", drop.id)}}
        slow.say(id="d", type="subscribe", payload=watched)
        assert (await slow.message())["payload"]["data"]["dropUpdated"]["drop"]["remaining"] == 90
        # Facts of another subscription fill the connection's buffers.
        slow.say(id="f", type="subscribe", payload={"query": UPDATES})
        await until_followed(server, 2)
        await tell_much(server, member_topic(row.id), MANY, {"padding": "x" * BIG})
        for sold in range(1, 6):
            await tell_drop(server, drop, sold)
            await asyncio.sleep(0.25)
        left: list[int] = []
        while not left or left[-1] != 85:
            message = await slow.message()
            if message["id"] == "d":
                left.append(message["payload"]["data"]["dropUpdated"]["drop"]["remaining"])
        assert left == [85], "older looks gave way to the newest"


async def tell_drop(server: Server, drop: drops.Drop, sold: int) -> None:
    looks = {
        "version": drop.version + sold,
        "state": "OPEN",
        "remaining": drop.remaining - sold,
        "opens_at": drop.opens_at.isoformat(),
        "closes_at": drop.closes_at.isoformat(),
    }
    await tell_much(server, drops.drop_topic(drop.id), 1, looks)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that looks after each socket every second, and at once loses patience."""
    monkeypatch.setattr(sockets, "PING_SECONDS", 1)
    monkeypatch.setattr(sockets, "STUCK_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
class TestImpatience:
    async def test_a_client_that_reads_nothing_is_let_go(self, server: Server) -> None:
        async with server.parts.resources.database.begin() as tx:
            row = await member(tx)
        async with sluggard(server, await server.token(row.id)) as slow:
            slow.say(id="s", type="subscribe", payload={"query": UPDATES})
            await until_followed(server, 1)
            await tell_much(server, member_topic(row.id), MANY, {"padding": "x" * BIG})
            await until_followed(server, 0)

    async def test_a_client_that_answers_no_ping_is_dropped(self, server: Server) -> None:
        async with server.parts.resources.database.begin() as tx:
            row = await member(tx)
        async with sluggard(server, await server.token(row.id)) as dead:
            dead.say(id="s", type="subscribe", payload={"query": UPDATES})
            await until_followed(server, 1)
            await until_followed(server, 0)

    async def test_a_client_that_answers_pings_stays(self, server: Server) -> None:
        async with server.parts.resources.database.begin() as tx:
            row = await member(tx)
        async with talk(server, await server.token(row.id)) as talking:
            await talking.ask("1", UPDATES)
            # The client library answers pings by itself, and shows none of them.
            assert await talking.silent(4.0)
            await until_followed(server, 1)
