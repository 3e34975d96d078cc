"""Columns out of PostgreSQL by binary COPY: block by block, without a loop over rows."""

from collections.abc import Callable
from typing import Any, Final

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

Column = NDArray[Any]
Columns = dict[str, Column]

NEVER: Final = int(np.iinfo(np.int64).max)
"""The instant that stands for none: PostgreSQL's infinity."""

_POSTGRES_EPOCH: Final = 946_684_800
_HEADER: Final = 19
_BLOCK: Final = 8 * 1024 * 1024
_FORMATS: Final = {2: ">i2", 4: ">i4", 8: ">i8", 16: "V16"}
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)


def _unchanged(block: Columns) -> Columns:
    return block


async def copy_columns(
    driver: "asyncpg.Connection",
    query: "Select[*tuple[Any, ...]]",
    widths: dict[str, int],
    refine: Callable[[Columns], Columns] = _unchanged,
) -> Columns:
    """The columns of a query without nulls whose values have these widths in bytes.

    `refine` gets each block of some ten thousand rows as it arrives and answers what is kept of
    it, so that wide keys need not be held for all rows.
    """
    statement = query.compile(dialect=asyncpg_dialect(), compile_kwargs={"literal_binds": True})
    blocks = _Blocks(widths, refine)
    await driver.copy_from_query(str(statement), output=blocks.take, format="binary")
    return blocks.columns()


class _Blocks:
    """PostgreSQL's binary COPY format (one int16 count, then length and value of each field) cut
    into columns; every row has the same size because no value is null or of varying length."""

    def __init__(self, widths: dict[str, int], refine: Callable[[Columns], Columns]) -> None:
        fields: list[tuple[str, str]] = [("_count", ">i2")]
        for name, width in widths.items():
            fields += [(f"_{name}", ">i4"), (name, _FORMATS[width])]
        self._row = np.dtype(fields)
        self._names = list(widths)
        self._refine = refine
        self._rest = bytearray()
        self._begun = False
        self._parts: dict[str, list[Column]] = {}

    async def take(self, data: bytes) -> None:
        self._rest += data
        if not self._begun and len(self._rest) >= _HEADER:
            del self._rest[:_HEADER]
            self._begun = True
        if len(self._rest) >= _BLOCK:
            self._cut()

    def _cut(self) -> None:
        rows = len(self._rest) // self._row.itemsize
        whole = rows * self._row.itemsize
        block = np.frombuffer(bytes(memoryview(self._rest)[:whole]), self._row)
        columns = {name: _native(block[name]) for name in self._names}
        for name, column in self._refine(columns).items():
            self._parts.setdefault(name, []).append(column)
        del self._rest[:whole]

    def columns(self) -> Columns:
        """Everything that came, one array a column; what was gathered for it is let go."""
        self._cut()
        return {name: np.concatenate(self._parts.pop(name)) for name in list(self._parts)}


def _native(column: Column) -> Column:
    return column.astype(column.dtype.newbyteorder("="))


def seconds(microseconds: Column) -> Column:
    """Epoch seconds of PostgreSQL's instants, which count microseconds from 2000 on."""
    answer = microseconds // 1_000_000 + _POSTGRES_EPOCH
    return np.where(microseconds == NEVER, NEVER, answer)


class Places:
    """Where 16-byte keys stand in a list of different ones: a table with open addressing.

    Every look-up costs a few fetches from memory, whatever the number of keys.
    """

    def __init__(self, keys: Column) -> None:
        self._keys = _halves(keys)
        self._slots = np.full(1 << (2 * len(keys)).bit_length(), -1, dtype=np.int32)
        self._mask = np.int64(len(self._slots) - 1)
        left = np.arange(len(keys), dtype=np.int32)
        slot = self._first(self._keys)
        while len(left):
            free = self._slots[slot] < 0
            self._slots[slot[free]] = left[free]  # of several for one slot the last one stays
            waiting = self._slots[slot] != left
            left, slot = left[waiting], (slot[waiting] + 1) & self._mask

    def of(self, keys: Column) -> Column:
        """The place of each key as int32, -1 where it is not in the list."""
        wanted = _halves(keys)
        answer = np.full(len(keys), -1, dtype=np.int32)
        left = np.arange(len(keys))
        slot = self._first(wanted)
        while len(left):
            found = self._slots[slot]
            same = found >= 0
            some = np.flatnonzero(same)
            same[some] = np.all(self._keys[found[some]] == wanted[left[some]], axis=1)
            answer[left[same]] = found[same]
            on = (found >= 0) & ~same
            left, slot = left[on], (slot[on] + 1) & self._mask
        return answer

    def of_runs(self, keys: Column) -> Column:
        """The same, with one look-up for equal keys that follow each other."""
        halves = _halves(keys)
        new = np.ones(len(keys), dtype=np.bool_)
        new[1:] = (halves[1:, 0] != halves[:-1, 0]) | (halves[1:, 1] != halves[:-1, 1])
        return self.of(keys[new])[np.cumsum(new) - 1]

    def _first(self, halves: Column) -> Column:
        # Ids that were made in order differ in few bits: multiplying spreads them over the slots.
        mixed = (halves[:, 0] ^ (halves[:, 1] * _ODD)) * _ODD
        return (mixed >> np.uint64(20)).astype(np.int64) & self._mask


def last_halves(keys: Column) -> Column:
    """A number for each 16-byte key that hardly another one has: of UUIDs mostly chance."""
    return _halves(keys)[:, 1].copy()


def _halves(keys: Column) -> Column:
    return np.ascontiguousarray(keys).view(np.uint64).reshape(-1, 2)
