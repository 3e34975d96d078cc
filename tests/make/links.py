"""A line to a server that can go silent as a network does: no reset, no end, no answer."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

State = Literal["open", "silent", "one-way"]
CHUNK = 65_536


@dataclass(slots=True)
class Line:
    """One connection; what has gone silent stays so."""

    state: State = "open"


@dataclass(slots=True)
class Link:
    """Where clients connect to, in place of the server."""

    target: str
    url: str = ""
    state: State = "open"
    connections: int = 0
    lines: list[Line] = field(default_factory=list[Line])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    def cut(self, state: State = "silent") -> None:
        """Let nothing pass any more (or requests alone), on open connections and on new ones."""
        self.state = state
        for line in self.lines:
            line.state = state

    def mend(self) -> None:
        """Let new connections pass; the old ones are dead and do not know."""
        self.state = "open"
        for line in self.lines:
            if line.state != "open":
                line.state = "silent"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its beginning to its end."""
        self.connections += 1
        line = Line(self.state)
        self.lines.append(line)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            address = urlsplit(self.target)
            if address.scheme == "unix":
                far = await asyncio.open_unix_connection(unquote(address.path))
            else:
                far = await asyncio.open_connection(address.hostname, address.port)
            pumps = [self._pump(line, reader, far[1], "one-way"), self._pump(line, far[0], writer)]
            try:
                await asyncio.gather(*pumps)
            finally:
                far[1].close()
        self._tasks.discard(task)

    async def _pump(
        self,
        line: Line,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        also: State = "open",
    ) -> None:
        while data := await reader.read(CHUNK):
            if line.state in ("open", also):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def end(self) -> None:
        """Let go of every connection."""
        await asyncio.sleep(0)  # those that were accepted just now begin first
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def link(target: str) -> AsyncGenerator[Link]:
    """A line to the server at an address; `url` is what clients are given instead."""
    made = Link(target)
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    made.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await server.wait_closed()
