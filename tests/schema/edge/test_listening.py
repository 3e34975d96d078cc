"""The edge behind uvicorn, spoken to byte by byte."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from schema import GraphQLEdge, Resources
from schema.edge import sse
from schema.edge.bodies import Bodies
from schema.edge.callers import NOBODY
from schema.edge.exchanges import Exchange
from schema.edge.sse import Stream
from tests.schema.edge.asking import TYPENAME

HEAD = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
DATA = b'{"data":{"__typename":"Query"}'


def declared(body: bytes, length: int | None = None) -> bytes:
    """A request with its Content-Length."""
    size = len(body) if length is None else length
    return HEAD + f"Content-Length: {size}\r\n\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@dataclass(slots=True)
class Line:
    """A connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def hear(self) -> tuple[int, bytes, bytes]:
        """A status, headers and a body of declared length."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            body = b"" if status == 100 else await self.reader.readexactly(length)
        return status, head.lower(), body

    async def end(self) -> bytes:
        """What is left until the server hangs up."""
        async with asyncio.timeout(30):
            return await self.reader.read()


@dataclass(slots=True)
class Listening:
    """A server of one ASGI application."""

    server: uvicorn.Server
    port: int

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        yield Line(reader, writer)
        writer.close()

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


async def until_left(server: Listening) -> None:
    """Wait until the server holds no connection."""
    async with asyncio.timeout(60):
        while server.connections:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[Listening]:
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield Listening(server, server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await task


@pytest.fixture(scope="module")
def edge(storeless: Resources) -> GraphQLEdge:
    return GraphQLEdge(storeless)


@pytest.fixture(scope="module")
async def server(edge: GraphQLEdge) -> AsyncIterator[Listening]:
    async with listening(edge) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """No mistake of a client's is worth a line."""
    with caplog.at_level(logging.WARNING):
        yield
    assert not caplog.records


@pytest.mark.parametrize(
    "parts",
    [
        [declared(TYPENAME)],
        [declared(b"", len(TYPENAME)), TYPENAME[:7], TYPENAME[7:]],
        [CHUNKED, chunk(TYPENAME[:7]), chunk(TYPENAME[7:]), b"0\r\n\r\n"],
        [CHUNKED + chunk(TYPENAME) + chunk(b" " * 900_000) + b"0\r\n\r\n"],
    ],
)
async def test_bodies_come_in_pieces(server: Listening, parts: Sequence[bytes]) -> None:
    async with server.line() as line:
        for part in parts:
            await line.say(part)
            await asyncio.sleep(0.01)
        status, _, body = await line.hear()
    assert (status, body[: len(DATA)]) == (200, DATA)


async def test_a_body_that_is_a_little_too_large_costs_no_connection(server: Listening) -> None:
    async with server.line() as line:
        await line.say(declared(b" " * 1_500_000))
        status, _, body = await line.hear()
        assert (status, b"BODY_TOO_LARGE" in body) == (413, True)
        await line.say(declared(TYPENAME))
        assert (await line.hear())[0] == 200


async def test_a_body_without_end_is_cut_off(server: Listening) -> None:
    async with server.line() as line:
        await line.say(declared(b"", 10**9))
        status, head, _ = await line.hear()
        assert (status, b"connection: close" in head) == (413, True)
        assert await line.end() == b""


async def test_chunks_without_end_are_cut_off(server: Listening) -> None:
    async with server.line() as line:
        await line.say(CHUNKED)
        with contextlib.suppress(ConnectionError):
            for _ in range(80):
                await line.say(chunk(b" " * 100_000))
        await until_left(server)


async def test_a_body_that_does_not_come_is_not_waited_for(
    server: Listening, edge: GraphQLEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "_bodies", Bodies(seconds=0.3))
    async with server.line() as line:
        await line.say(declared(TYPENAME[:5], 500))
        status, head, body = await line.hear()
        assert (status, b"REQUEST_TIMEOUT" in body) == (408, True)
        assert b"connection: close" in head
        assert await line.end() == b""


async def test_a_client_that_leaves_in_the_middle_is_forgotten(
    server: Listening, edge: GraphQLEdge
) -> None:
    async with server.line() as line:
        await line.say(declared(TYPENAME[:5], 500))
    async with server.line() as line:
        await line.say(CHUNKED + chunk(TYPENAME[:5]))
    await until_left(server)
    assert edge._bodies._coming == 0
    assert edge.places.running == 0


async def test_requests_on_one_line_are_answered_in_turn(server: Listening) -> None:
    async with server.line() as line:
        named = b'{"query":"query a { __typename }"}'
        await line.say(declared(TYPENAME) + declared(b"{") + declared(named))
        assert [(await line.hear())[0] for _ in range(3)] == [200, 400, 200]


async def test_a_client_that_asks_before_it_sends_is_told_to(server: Listening) -> None:
    ask = HEAD + f"Content-Length: {len(TYPENAME)}\r\nExpect: 100-continue\r\n\r\n".encode()
    async with server.line() as line:
        await line.say(ask)
        assert (await line.hear())[0] == 100
        await line.say(TYPENAME)
        assert (await line.hear())[0] == 200
    async with server.line() as line:
        await line.say(ask.replace(str(len(TYPENAME)).encode(), b"999999999", 1))
        assert (await line.hear())[0] == 413


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"HEAD /graphql HTTP/1.1", 405),
        (b"DELETE /graphql HTTP/1.1", 405),
        (b"GET /graphql HTTP/1.1", 400),
        (b"GET /graphql?query=%7B__typename%7D HTTP/1.0", 400),
    ],
)
async def test_other_requests_get_their_answers(
    server: Listening, request_line: bytes, status: int
) -> None:
    async with server.line() as line:
        await line.say(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await line.end()
    assert int(answer.split(b" ", 2)[1]) == status
    assert (answer.partition(b"\r\n\r\n")[2] == b"") is request_line.startswith(b"HEAD")


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-Id: \xff\xfe\x80",
        b"Accept: \xff\xfe",
        b"Accept-Language: \xff\xfe\x00x"[:-2],
        b"Authorization: Bearer \xff\xfe",
        b"Authorization: Bearer " + b"a" * 8000,
        b"Authorization: nonsense",
        b"Content-Length: 26, 26",
    ],
)
async def test_odd_headers_are_no_fault_of_ours(server: Listening, header: bytes) -> None:
    async with server.line() as line:
        await line.say(declared(TYPENAME).replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n\r\n", 1))
        try:
            status, _, _ = await line.hear()
        except asyncio.IncompleteReadError:
            return
    assert status < 500


async def test_a_stream_that_nobody_reads_is_dropped(
    edge: GraphQLEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "STUCK_SECONDS", 0.3)
    exchanges: list[Exchange] = []
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchanges.append(Exchange(scope, receive, send))
        await Stream(exchanges[-1], edge.resources.callers, NOBODY).write(endless())

    async with listening(app) as server, server.line() as line:
        line.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await line.say(declared(TYPENAME))
        async with asyncio.timeout(30):
            await closed.wait()
        await until_left(server)
    assert exchanges[0].outcome == "stuck"
