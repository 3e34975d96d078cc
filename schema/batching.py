"""Batched reads: keys asked for at the same time are one call of their query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql.pyutils import gather_with_cancel

from app.kernel.batched import Ask, Batched
from app.kernel.db import Database, Read

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Query = Callable[[Read, Iterable[K]], Awaitable[dict[K, V]]]


class _Left(Exception):
    """Whoever was to ask for all was cancelled before the answer came."""


@dataclass(eq=False, slots=True)
class _Batch:
    """Keys that will be asked for together, and those who wait besides the one that asks."""

    keys: dict[Any, None]
    waiting: "list[tuple[Any, asyncio.Future[Any]]]" = field(
        default_factory=list["tuple[Any, asyncio.Future[Any]]"]
    )


@dataclass(frozen=True, slots=True)
class _Carried:
    """What is asked on the way, and who hears it; in what it went, it was read first of all."""

    query: Batched[Any, Any]
    key: Any
    told: Callable[[Any, bool], None]


class Batches:
    """The batches of one request. Nothing is remembered: a later ask reads again."""

    __slots__ = ("_carried", "_database", "_has_read", "_joined", "_open")

    def __init__(self, database: Database) -> None:
        """Read from this database."""
        self._database = database
        self._joined = database.joined()
        self._open: dict[object, _Batch] = {}
        self._carried: list[_Carried] = []
        self._has_read = False

    def carry(self, query: Batched[K, V], key: K, told: Callable[[V | None, bool], None]) -> None:
        """Ask this too when next what is wanted goes out; `told` hears it before anyone else.

        It hears besides whether nothing of these batches was read by an earlier statement. Nobody
        waits for it: where nothing is wanted it is never asked.
        """
        self._carried.append(_Carried(query, key, told))

    async def load(self, query: Query[K, V], key: K) -> V | None:
        """The query's value for a key, asked for with every other key of this turn of the loop.

        The first who asks waits one turn and then asks for all: neither a task nor a timer, and
        for a single key no future either.
        """
        while True:
            batch = self._open.get(query)
            if batch is None:
                return await self._lead(query, key)
            batch.keys[key] = None
            turn: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            batch.waiting.append((key, turn))
            try:
                return await turn
            except _Left:
                continue

    async def found(self, query: Query[K, V], keys: Iterable[K]) -> dict[K, V]:
        """The query's values for keys that are all known now; equal ones are asked for once."""
        asked = list(dict.fromkeys(keys))
        if not asked:
            return {}
        read = self.reading()
        try:
            return await query(read, asked)
        finally:
            await read.close()

    async def found_all(
        self, asked: "dict[Query[Any, Any], list[Any]]"
    ) -> "dict[Query[Any, Any], dict[Any, Any]]":
        """The values of several queries; those that say what they ask share one round trip."""
        if self._carried:
            return await self._with_carried(asked)
        self._has_read = True
        return (await self._found_all(asked))[0]

    async def _with_carried(
        self, asked: "dict[Query[Any, Any], list[Any]]"
    ) -> "dict[Query[Any, Any], dict[Any, Any]]":
        carried, self._carried = self._carried, []
        whole = {**asked, **{item.query: [item.key] for item in carried}}
        found, is_one = await self._found_all(whole)
        # What began to be read meanwhile may have seen less than this statement did.
        first = is_one and not self._has_read
        self._has_read = True
        for item in carried:
            item.told(found.pop(item.query).get(item.key), first)
        return found

    async def _found_all(
        self, asked: "dict[Query[Any, Any], list[Any]]"
    ) -> "tuple[dict[Query[Any, Any], dict[Any, Any]], bool]":
        """The values, and whether one statement answered them all."""
        once = {query: list(dict.fromkeys(keys)) for query, keys in asked.items()}
        said = [] if self._joined is None else self._said(once)
        if self._joined is None or not said:
            results = await gather_with_cancel(*(self.found(*item) for item in once.items()))
            return dict(zip(once, results, strict=True)), False
        rows = await self._joined.together([(ask.statement, given) for _, _, ask, given in said])
        told: dict[Query[Any, Any], dict[Any, Any]] = {
            query: query.tell(found, keys)
            for (query, keys, _, _), found in zip(said, rows, strict=True)
        }
        return told, True

    def _said(
        self, once: "dict[Query[Any, Any], list[Any]]"
    ) -> "list[tuple[Batched[Any, Any], list[Any], Ask, list[object]]]":
        """What each query asks; nothing where one of them does not say it."""
        said: list[tuple[Batched[Any, Any], list[Any], Ask, list[object]]] = []
        now = None
        for query, keys in once.items():
            if not isinstance(query, Batched):
                return []
            now = now or self._database.clock()
            ask = query.ask(keys, now)
            if ask is None:
                return []
            said.append((query, keys, ask, ask.statement.arguments(ask.given)))
        return said

    def reading(self) -> Read:
        """A read whose statements go out with those of the batches; the caller closes it."""
        self._has_read = True
        return self._database.reading(joined=self._joined)

    async def _lead(self, query: Query[K, V], key: K) -> V | None:
        batch = self._open[query] = _Batch({key: None})
        try:
            try:
                await asyncio.sleep(0)
            finally:
                del self._open[query]
            found = await self.found(query, batch.keys)
        except asyncio.CancelledError:
            _tell(batch, _Left())
            raise
        except BaseException as error:
            _tell(batch, error)
            raise
        for asked, turn in batch.waiting:
            if not turn.done():
                turn.set_result(found.get(asked))
        return found.get(key)


def _tell(batch: _Batch, error: BaseException) -> None:
    for _, turn in batch.waiting:
        if not turn.done():
            turn.set_exception(error)
            turn.exception()  # whoever waited may be gone too, and need not hear of it
