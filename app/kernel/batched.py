"""Batched reads in two halves, so that many of them can share one round trip.

A read `(read, keys) -> {key: value}` that awaits has to run beside its siblings to be joined with
them. One that first says what it asks, and then what the rows tell, needs no task of its own.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from app.kernel.db import Read
from app.kernel.statements import Statement

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Plain = Callable[[Read, Iterable[K]], Awaitable[dict[K, V]]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A statement with its parameters by name."""

    statement: Statement[Any]
    given: dict[str, Any]


class Batched(Generic[K, V]):
    """A batched read: `ask(keys, now)` and `tell(rows, keys)`.

    `ask` answers None for keys that no one statement answers; then `otherwise` reads them.
    """

    def __init__(
        self,
        ask: Callable[[list[K], datetime], Ask | None],
        tell: Callable[[list[Any], list[K]], dict[K, V]],
        otherwise: "Plain[K, V] | None" = None,
    ) -> None:
        """Put the halves together."""
        self.ask = ask
        self.tell = tell
        self._otherwise = otherwise

    async def __call__(self, read: Read, keys: Iterable[K]) -> dict[K, V]:
        """The values by key; keys that name nothing are absent."""
        asked = list(keys)
        ask = self.ask(asked, read.now)
        if ask is not None:
            return self.tell(await read.fetch(ask.statement, **ask.given), asked)
        if self._otherwise is None:
            raise TypeError("these keys need a read of their own")
        return await self._otherwise(read, asked)
