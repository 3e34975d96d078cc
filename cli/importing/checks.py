"""Which rows of a piece are good, and what is wrong with the others."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app import orders
from cli.importing.arrow import ArrowArray, ArrowTable
from cli.importing.fields import Field, Preset
from cli.importing.files import Piece
from cli.importing.reasons import NUMBERS, Problem
from cli.importing.values import MICRO, Column, Parser, Reading, read_column

LARGEST_QUANTITY: Final = 1_000_000
LARGEST_FEN: Final = 10**11
LONGEST_SECONDS: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """What rows of one file must hold to."""

    fields: Sequence[Field]
    places: Mapping[str, int]
    preset: Preset
    reading: Reading
    fen_per_unit: int = 100


@dataclass(slots=True)
class Checked:
    """A piece with the verdict on each row: `fault` numbers its first problem, 0 for none."""

    piece: Piece
    columns: dict[str, Column]
    fault: NDArray[np.int16]
    field: NDArray[np.int16]
    # Rows in which nothing is filled in; they are neither kept nor rejected.
    blank: NDArray[np.bool_]
    fen: NDArray[np.int64]

    def flag(self, rows: NDArray[np.bool_], problem: Problem, field: int) -> None:
        """Note a problem on rows that have none yet."""
        self.note(np.where(rows, NUMBERS[problem], 0).astype(np.int16), field)

    def note(self, faults: NDArray[np.int16], field: int) -> None:
        """Note each row's problem, by number, unless it has one already."""
        fresh = (self.fault == 0) & (faults != 0)
        self.fault[fresh] = faults[fresh]
        self.field[fresh] = field

    def good(self) -> NDArray[np.int64]:
        """The positions of the rows to keep."""
        return np.flatnonzero((self.fault == 0) & ~self.blank)

    def bad(self) -> NDArray[np.int64]:
        """The positions of the rows to put aside."""
        return np.flatnonzero((self.fault != 0) & ~self.blank)

    def customers(self) -> dict[int, tuple[str, int]]:
        """Customers of good rows: distinct position -> (number, first good row of theirs)."""
        good = self.good()
        column = self.columns["customer_id"]
        found, first = np.unique(column.index[good], return_index=True)
        return {
            int(place): (str(column.values[place]), int(good[row]))
            for place, row in zip(found, first, strict=True)
        }

    def at(self, row: int) -> datetime:
        """A good row's instant."""
        return _EPOCH + timedelta(microseconds=int(self._value("at", row) or 0))

    def text(self, field: str, row: int) -> str | None:
        """A row's text, None if blank or if the file has no such column."""
        value = self._value(field, row)
        return None if value is None else str(value)

    def _value(self, field: str, row: int) -> str | int | None:
        column = self.columns.get(field)
        return None if column is None else column.values[column.index[row]]


def check(piece: Piece, rules: Rules, kind: orders.ImportKind) -> Checked:
    """Judge every row of a piece; a row's first problem, in the order of the fields, is told."""
    size = len(piece.rows)
    columns = {
        name: read_column(piece.columns[place], _parser(name, rules))
        for name, place in rules.places.items()
    }
    blank = np.logical_and.reduce([column.blanks() for column in columns.values()], axis=0)
    nothing = np.zeros(size, dtype=np.int16)
    zero = np.zeros(size, dtype=np.int64)
    checked = Checked(piece, columns, nothing, nothing.copy(), blank, zero)
    for place, field in enumerate(rules.fields):
        column = columns.get(field.name)
        if column is None:
            continue
        checked.note(column.faults(), place)
        if field.required:
            missing = Problem.MISSING_CUSTOMER if field.name == "customer_id" else Problem.MISSING
            checked.flag(column.blanks(), missing, place)
    if kind is orders.ImportKind.ORDERS:
        _check_sale(checked, rules)
    return checked


def lines_table(checked: Checked, member_ids: Mapping[int, str]) -> ArrowTable:
    """The good rows of an orders file in the columns of the staging table."""
    good = checked.good()
    columns = checked.columns
    quantity = columns["quantity"].numbers()[good]
    sku = columns["sku"].texts(good)
    name = _texts(checked, "name", good)
    made = {
        "bucket": _buckets(columns["order_no"])[good],
        "row_no": checked.piece.rows[good],
        "member_id": _members(checked, member_ids, good),
        "order_no": columns["order_no"].texts(good),
        "at": _instants(columns["at"], good),
        "returned": quantity < 0,
        "quantity": np.abs(quantity),
        "fen": checked.fen[good],
        "sku": sku,
        "name": _first(name, sku),
        "category": _texts(checked, "category", good),
        "channel": _first(_texts(checked, "channel", good), orders.Channel.STORE.value),
    }
    return _table(made, orders.importing.LINE_COLUMNS)


def events_table(checked: Checked, member_ids: Mapping[int, str]) -> ArrowTable:
    """The good rows of an events file in the columns of the staging table."""
    good = checked.good()
    columns = checked.columns
    seconds = columns["seconds"].numbers()[good] if "seconds" in columns else np.zeros(len(good))
    made = {
        "bucket": _buckets(columns["event_id"])[good],
        "row_no": checked.piece.rows[good],
        "member_id": _members(checked, member_ids, good),
        "at": _instants(columns["at"], good),
        "seconds": seconds.astype(np.int64),
    }
    for name in orders.importing.EVENT_COLUMNS:
        if name not in made:
            made[name] = _texts(checked, name, good)
    return _table(made, orders.importing.EVENT_COLUMNS)


def _parser(name: str, rules: Rules) -> Parser:
    reading = rules.reading
    field = next(field for field in rules.fields if field.name == name)
    special: dict[str, Parser] = {
        "customer_id": reading.customer(field.longest),
        "at": reading.instant,
        "quantity": reading.whole(LARGEST_QUANTITY),
        "seconds": reading.whole(LONGEST_SECONDS),
        "unit_price": reading.money,
        "amount": reading.money,
        "channel": reading.one_of(orders.Channel),
        "kind": reading.one_of(orders.ActivityKind),
    }
    return special.get(name) or reading.text(field.longest)


def _check_sale(checked: Checked, rules: Rules) -> None:
    """Quantities and amounts: what is a sale, what a return, and what neither."""
    places = {field.name: place for place, field in enumerate(rules.fields)}
    quantity = checked.columns["quantity"].numbers()
    checked.flag(quantity == 0, Problem.ZERO_QUANTITY, places["quantity"])
    if rules.preset.has_returns:
        numbers = checked.columns["order_no"]
        cancels = np.array([str(value)[:1] in "Cc" for value in numbers.values], dtype=bool)
        contrary = cancels[numbers.index] & (quantity > 0)
        checked.flag(contrary, Problem.CONTRADICTION, places["quantity"])
    else:
        checked.flag(quantity < 0, Problem.NEGATIVE_QUANTITY, places["quantity"])
    # The amount of the line is what was truly paid; a price is only on the way to it.
    priced = "amount" if "amount" in checked.columns else "unit_price"
    column = checked.columns[priced]
    checked.flag(column.blanks(), Problem.MISSING, places[priced])
    micro = column.numbers()
    if priced == "amount":
        micro, units = np.where(quantity < 0, -micro, micro), np.ones(len(micro), np.int64)
    else:
        units = np.abs(quantity)
    checked.flag(micro < 0, Problem.NEGATIVE_AMOUNT, places[priced])
    # Judged in floats first: the exact product of absurd numbers would not fit.
    absurd = micro / MICRO * units * rules.fen_per_unit > LARGEST_FEN
    checked.flag(absurd, Problem.OUT_OF_RANGE, places[priced])
    exact = np.where(absurd | (micro < 0), 0, micro) * units * rules.fen_per_unit
    checked.fen = (exact + MICRO // 2) // MICRO


def _buckets(column: Column) -> NDArray[np.int64]:
    """The bucket of each row's order or event: the same in every file and on every machine."""
    found = [zlib.crc32(str(value).encode()) % orders.importing.BUCKETS for value in column.values]
    return np.array(found, dtype=np.int64)[column.index]


def _members(
    checked: Checked, member_ids: Mapping[int, str], good: NDArray[np.int64]
) -> ArrowArray:
    column = checked.columns["customer_id"]
    ids = [member_ids.get(place) for place in range(len(column.values))]
    return pa.array(ids, pa.string()).take(pa.array(column.index[good]))


def _texts(checked: Checked, field: str, good: NDArray[np.int64]) -> ArrowArray:
    column = checked.columns.get(field)
    return pa.nulls(len(good), pa.string()) if column is None else column.texts(good)


def _instants(column: Column, good: NDArray[np.int64]) -> ArrowArray:
    """Instants as text: Arrow is slow to format them, and few of them differ."""
    texts = [
        None if value is None else str(_EPOCH + timedelta(microseconds=int(value)))
        for value in column.values
    ]
    return pa.array(texts, pa.string()).take(pa.array(column.index[good]))


def _first(texts: ArrowArray, otherwise: object) -> ArrowArray:
    return pc.call_function("coalesce", [texts, otherwise])


def _table(made: Mapping[str, object], names: Mapping[str, str]) -> ArrowTable:
    return pa.table([made[name] for name in names], names=list(names))
