"""Reads of one request joined: statements asked for in the same turn go out as one.

A statement costs a round trip, two system calls here and two in PostgreSQL, whatever it reads; the
few rows of a request's statements cost less than that. Each keeps its own rows, order and meaning:
the joint statement only selects the array of each one's rows.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

import asyncpg

from app.kernel.connections import Readers
from app.kernel.statements import Statement

R = TypeVar("R")
KEPT_TEXTS = 1_000
# Siblings come to their reads by ways of different lengths; a turn costs far less than a trip.
TURNS = 3
_PLACE = re.compile(r"\$(\d+)")


class _Left(Exception):
    """Whoever was to send for all was cancelled before the rows came."""


class _Asked:
    """A statement that waits to be sent."""

    __slots__ = ("answer", "arguments", "statement")

    def __init__(self, statement: Statement[Any], arguments: list[object]) -> None:
        self.statement = statement
        self.arguments = arguments
        self.answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()


class Alone:
    """Reads that go out as they are asked for."""

    __slots__ = ("_readers",)

    def __init__(self, readers: Readers) -> None:
        """Send through these."""
        self._readers = readers

    async def fetch(self, statement: Statement[R], arguments: list[object]) -> list[R]:
        """The rows of a statement."""
        found = await self._readers.fetch(statement.sql, arguments, statement.record)
        return statement.rows(found)

    async def together(
        self, asked: Sequence[tuple[Statement[Any], list[object]]]
    ) -> list[list[Any]]:
        """The rows of each of several statements, in one round trip."""
        if len(asked) == 1:
            return [await Alone.fetch(self, *asked[0])]
        statements = tuple(item[0] for item in asked)
        given = [value for _, arguments in asked for value in arguments]
        (found,) = await self._readers.fetch(_joint(statements), given)
        return [
            statement.nested_rows(tuples)
            for statement, tuples in zip(statements, found, strict=True)
        ]


class Joined(Alone):
    """The reads of one request on their way to the connections that all requests share."""

    __slots__ = ("_waiting",)

    def __init__(self, readers: Readers) -> None:
        """Send through these."""
        super().__init__(readers)
        self._waiting: list[_Asked] | None = None

    async def fetch(self, statement: Statement[R], arguments: list[object]) -> list[R]:
        """The rows of a statement; whoever asks within some turns of the loop is served with it."""
        while self._waiting is not None:
            asked = _Asked(statement, arguments)
            self._waiting.append(asked)
            try:
                return await asked.answer
            except _Left:
                continue
        others = self._waiting = []
        try:
            try:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
            finally:
                self._waiting = None
            others = [item for item in others if not item.answer.done()]
            if others:
                return await self._lead(statement, arguments, others)
        except asyncio.CancelledError:
            _tell(others, _Left())
            raise
        return await super().fetch(statement, arguments)

    async def _lead(
        self, statement: Statement[R], arguments: list[object], others: list[_Asked]
    ) -> list[R]:
        statements = (statement, *(item.statement for item in others))
        given = [*arguments, *(value for item in others for value in item.arguments)]
        try:
            (found,) = await self._readers.fetch(_joint(statements), given)
        except asyncpg.PostgresError:
            # One of them is at fault; the others are served, and it is told so itself.
            await asyncio.gather(*(self._serve(item) for item in others))
            return await super().fetch(statement, arguments)
        except Exception as error:
            _tell(others, error)
            raise
        for item, tuples in zip(others, found[1:], strict=True):
            if not item.answer.done():
                item.answer.set_result(item.statement.nested_rows(tuples))
        return statement.nested_rows(found[0])

    async def _serve(self, item: _Asked) -> None:
        try:
            rows = await super().fetch(item.statement, item.arguments)
        except Exception as error:
            _tell([item], error)
        else:
            if not item.answer.done():
                item.answer.set_result(rows)


def _tell(waiting: list[_Asked], error: Exception) -> None:
    for item in waiting:
        if not item.answer.done():
            item.answer.set_exception(error)
            item.answer.exception()  # whoever waited may be gone too, and need not hear of it


# By the statements themselves, not by their `id`, which another may have after them.
_texts: OrderedDict[tuple[Statement[Any], ...], str] = OrderedDict()


def _joint(statements: tuple[Statement[Any], ...]) -> str:
    found = _texts.get(statements)
    if found is None:
        found = _texts[statements] = _written(statements)
        if len(_texts) > KEPT_TEXTS:
            _texts.popitem(last=False)
    return found


def _written(statements: tuple[Statement[Any], ...]) -> str:
    parts: list[str] = []
    offset = 0
    for item in statements:
        start = offset

        def moved(place: "re.Match[str]", start: int = start) -> str:
            return f"${int(place[1]) + start}"

        parts.append(f"ARRAY({_PLACE.sub(moved, item.nested)})")
        offset += item.places
    return "SELECT " + ", ".join(parts)
