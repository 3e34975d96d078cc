"""Read-only connections for `Statement`s: no transaction, no reset, no round trip but the query's.

A single statement needs no transaction of its own, and a connection on which nothing can be set
needs no reset between its uses. `default_transaction_read_only` makes writing an error there.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson

CONNECT_SECONDS = 10


class _Lost(Exception):
    """The server went while it was asked."""


class Readers:
    """Up to so many connections; the one used last is used first, so that few stay busy."""

    def __init__(self, url: str, size: int, seconds: int = CONNECT_SECONDS) -> None:
        """Connect to nothing yet; making a connection may take so many `seconds`."""
        self._url = url
        self._seconds = seconds
        self._idle: list[asyncpg.Connection] = []
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def fetch(
        self,
        sql: str,
        arguments: Sequence[object],
        record: type[asyncpg.Record] = asyncpg.Record,
    ) -> list[asyncpg.Record]:
        """The records of a statement; tried once more on a new connection if the server went."""
        try:
            return await self._fetch(sql, arguments, record)
        except _Lost:
            # The others were opened to the same server: they are as dead as this one.
            self.drop_idle()
        try:
            return await self._fetch(sql, arguments, record)
        except _Lost as lost:
            raise lost.__cause__ or lost from None

    def drop_idle(self) -> None:
        """End every idle connection."""
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(Exception):
                connection.terminate()

    async def _fetch(
        self, sql: str, arguments: Sequence[object], record: type[asyncpg.Record]
    ) -> list[asyncpg.Record]:
        while not self._free:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._let_next(turn)
                raise
        self._free -= 1
        try:
            connection = await self._taken()
            try:
                return await connection.fetch(sql, *arguments, record_class=record)
            except Exception as error:
                if connection.is_closed():
                    raise _Lost from error
                raise
            finally:
                if not connection.is_closed():
                    self._idle.append(connection)
        finally:
            self._free += 1
            self._wake()

    async def _taken(self) -> "asyncpg.Connection":
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        connection = await asyncpg.connect(
            self._url,
            timeout=self._seconds,
            server_settings={
                "application_name": "linli",
                "default_transaction_read_only": "on",
                # A list of keys is planned for anew at each use otherwise, which costs more than
                # reading a few rows; these statements go by their keys whatever the numbers.
                "plan_cache_mode": "force_generic_plan",
                # A plan made while a table was nearly empty is kept as it grows, until it is next
                # analysed: by its index it stays good, by a scan it would not.
                "enable_seqscan": "off",
                "jit": "off",
            },
        )
        try:
            # As SQLAlchemy's connections have it: values, not their text. In binary, as rows
            # within rows come.
            await connection.set_type_codec(
                "jsonb", schema="pg_catalog", encoder=_dump, decoder=_load, format="binary"
            )
        except BaseException:
            # Whoever asked has left, or the server has: nobody else knows of this connection.
            connection.terminate()
            raise
        return connection

    def _let_next(self, turn: "asyncio.Future[None]") -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled():
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


# The first byte of binary jsonb is its version.
def _dump(value: object) -> bytes:
    return b"\x01" + orjson.dumps(value)


def _load(raw: bytes) -> Any:
    return orjson.loads(memoryview(raw)[1:])
