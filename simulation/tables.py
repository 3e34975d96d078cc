"""Neutral rows: named columns of equal length, ready for COPY into any schema."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulation.streams import Bools, Ints

# Columns hold int64, bool, datetime64[s] (UTC, NaT for "not yet"), text ("U") or objects (text or
# None); one alias for all of them, because a table is heterogeneous by nature.
Column = NDArray[Any]
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name; the order of the names is the order in `rows`."""

    columns: Mapping[str, Column]

    def __len__(self) -> int:
        """The number of rows."""
        return next((len(column) for column in self.columns.values()), 0)

    def __getitem__(self, name: str) -> Column:
        """The column of that name."""
        return self.columns[name]

    def where(self, chosen: Bools) -> "Table":
        """The rows for which `chosen` is true."""
        if bool(chosen.all()):
            return self
        return Table({name: column[chosen] for name, column in self.columns.items()})

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Rows as plain Python values: instants are aware datetimes in UTC, missing is None."""
        return zip(*(_plain(column) for column in self.columns.values()), strict=True)


@dataclass(frozen=True)
class Block:
    """Facts of one part of the members and at most four weeks; see docs/simulator.md for columns.

    `order_updates` has the columns of `orders` and holds orders placed before `since` whose state
    changed within the requested time; everything else is new.
    """

    communities: Table
    members: Table
    leaders: Table
    orders: Table
    order_updates: Table
    order_lines: Table
    refunds: Table
    coupon_uses: Table
    events: Table

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Names and tables in an order that respects references."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    def __len__(self) -> int:
        """The number of rows in all tables."""
        return sum(len(table) for _, table in self.tables())


def joined(tables: Sequence[Table]) -> Table:
    """The rows of tables with equal columns, one after the other; no tables make no rows."""
    if len(tables) == 1:
        return tables[0]
    if not tables:
        return Table({})
    return Table(
        {name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns}
    )


def instants(seconds: Ints) -> Column:
    """Epoch seconds as datetime64[s]; NEVER becomes NaT."""
    return np.where(seconds == NEVER, np.iinfo(np.int64).min, seconds).astype("datetime64[s]")


def codes(prefix: str, numbers: Ints) -> Column:
    """Text ids: the prefix and 13 hexadecimal digits of each number.

    >>> codes("o1-", np.array([255])).tolist()
    ['o1-00000000000ff']
    """
    shifts = np.arange(48, -1, -4, dtype=np.int64)
    digits = (numbers[:, None] >> shifts) & 15
    letters = np.frombuffer("0123456789abcdef".encode("utf-32-le"), dtype=np.uint32)[digits]
    head = np.frombuffer(prefix.encode("utf-32-le"), dtype=np.uint32)
    text = np.empty((len(numbers), len(head) + len(shifts)), dtype=np.uint32)
    text[:, : len(head)] = head
    text[:, len(head) :] = letters
    return text.view(f"<U{text.shape[1]}").reshape(-1)


def named(vocabulary: Sequence[str | None], chosen: NDArray[np.integer[Any]]) -> Column:
    """Words of a vocabulary by index, sharing the same string objects."""
    return np.array(vocabulary, dtype=object)[chosen]


def numbers(values: Ints, known: Bools) -> Column:
    """Whole numbers, None where they are not known."""
    column = values.astype(object)
    column[~known] = None
    return column


def _plain(column: Column) -> Iterator[object]:
    if column.dtype.kind != "M":
        return iter(column.tolist())
    seconds = column.astype(np.int64).tolist()
    missing = np.iinfo(np.int64).min
    return (None if at == missing else datetime.fromtimestamp(at, UTC) for at in seconds)
