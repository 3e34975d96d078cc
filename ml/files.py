"""Facts from a file of orders or order lines: CSV, gzipped CSV or Parquet, read in batches."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from ml.errors import UnreadableFile
from ml.facts import Facts
from ml.purchases import Purchases
from ml.values import instants, numbers, texts

REQUIRED: Final = ("customer_id", "timestamp", "amount")
_OPTIONAL: Final = ("quantity", "n_products", "invoice")
_BLOCK: Final = 8 << 20
_RAGGED: Final = "wrong number of columns"

Progress = Callable[[float], None]
Batch = Any
"""A pyarrow RecordBatch; the library carries no types."""


@dataclass
class Tally:
    """How many rows were read, and why the others were left out; with the first of each kind."""

    rows: int = 0
    used: int = 0
    left_out: dict[str, int] = field(default_factory=dict[str, int])
    first: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def parsed(self) -> int:
        """Rows that had the right number of columns; what the row numbers told count."""
        return self.rows - self.left_out.get(_RAGGED, 0)

    def leave(self, reason: str, number: int, first: str = "") -> None:
        """Count rows left out for a reason; the first one's description is kept."""
        if number:
            self.left_out[reason] = self.left_out.get(reason, 0) + number
            self.first.setdefault(reason, first)


def read(path: Path, progress: Progress | None = None) -> tuple[Facts, Tally]:
    """Facts of a file with the columns customer_id, timestamp and amount.

    Rows of one customer and day become one order; one of amount zero is an order too. Negative
    amounts, and rows whose invoice
    begins with C, are refunds of the customer's latest order. Times without a zone are taken as
    they stand. Rows without a customer, with a bad time or a bad amount are counted and left
    out. `progress` gets the share of the file that was read. Raises UnreadableFile, naming what
    is missing or broken, and when no row can be used.
    """
    tally, purchases = Tally(), Purchases()
    try:
        batches = _parquet(path, progress) if _is_parquet(path) else _csv(path, tally, progress)
        for batch in batches:
            _take(batch, purchases, tally)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise UnreadableFile(f"{path.name} cannot be read: {error}") from error
    if not tally.used:
        raise UnreadableFile(f"{path.name} has no row that can be used. {_why(tally)}".strip())
    facts, orphans = purchases.facts()
    tally.leave("refund without an earlier order", orphans)
    if not len(facts.order_at):
        raise UnreadableFile(f"{path.name} has refunds but no orders.")
    return facts, tally


def _why(tally: Tally) -> str:
    return "; ".join(
        f"{number} × {reason} (first: {tally.first[reason]})"
        for reason, number in tally.left_out.items()
    )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _columns(names: list[str], path: Path) -> dict[str, str]:
    """Our names to the file's, ignoring case, spaces and hyphens; refuses when one is missing."""
    known = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in names}
    missing = [name for name in REQUIRED if name not in known]
    if missing:
        raise UnreadableFile(
            f"{path.name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}. "
            f"Needed are {', '.join(REQUIRED)}; the file has {', '.join(names) or 'none'}."
        )
    return {name: known[name] for name in (*REQUIRED, *_OPTIONAL) if name in known}


def _parquet(path: Path, progress: Progress | None) -> Iterator[Batch]:
    file = parquet.ParquetFile(path)
    columns = _columns(file.schema_arrow.names, path)
    total, done = max(file.metadata.num_rows, 1), 0
    for batch in file.iter_batches(batch_size=131_072, columns=list(columns.values())):
        done += batch.num_rows
        if progress is not None:
            progress(done / total)
        yield _renamed(batch, columns)


def _csv(path: Path, tally: Tally, progress: Progress | None) -> Iterator[Batch]:
    size = max(path.stat().st_size, 1)

    def skip(row: Any) -> str:
        tally.rows += 1
        tally.leave(_RAGGED, 1, str(row.text)[:80])
        return "skip"

    with path.open("rb") as raw:
        names = _header(path)
        columns = _columns(names, path)
        reader = csv.open_csv(
            _unpacked(raw, path),
            read_options=csv.ReadOptions(block_size=_BLOCK),
            parse_options=csv.ParseOptions(invalid_row_handler=skip, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                include_columns=list(columns.values()),
                column_types={name: pa.binary() for name in columns.values()},
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        for batch in reader:
            if progress is not None:
                progress(min(raw.tell() / size, 1.0))
            yield _renamed(batch, columns)


def _header(path: Path) -> list[str]:
    """The names in the first line. Raises UnreadableFile for an empty file."""
    with path.open("rb") as raw:
        first = cast("bytes", _unpacked(raw, path).read(1 << 16)).split(b"\n", 1)[0].strip()
    line = first.removeprefix(b"\xef\xbb\xbf")
    if not line:
        raise UnreadableFile(f"{path.name} is empty.")
    table = csv.read_csv(
        pa.BufferReader(line + b"\n"), read_options=csv.ReadOptions(encoding="latin-1")
    )
    return [str(name) for name in table.column_names]


def _unpacked(raw: BinaryIO, path: Path) -> Any:
    """The bytes of a file, unzipped where they begin as gzip does, whatever the name says."""
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return pa.input_stream(raw, compression="gzip" if packed else None)


def _renamed(batch: Batch, columns: dict[str, str]) -> Batch:
    arrays = [batch.column(name) for name in columns.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _take(batch: Batch, purchases: Purchases, tally: Tally) -> None:
    """Sort a batch's rows into usable ones and counted ones."""
    names, size = set(batch.schema.names), batch.num_rows
    columns = {name: batch.column(name) for name in names}
    who, at = texts(columns["customer_id"]), instants(columns["timestamp"])
    amount = numbers(columns["amount"])
    checks = (
        ("no customer", who.missing, "customer_id"),
        ("bad timestamp", at.missing, "timestamp"),
        ("bad amount", np.isnan(amount), "amount"),
    )
    good = np.ones(size, dtype=np.bool_)
    for reason, bad, column in checks:
        rows = np.flatnonzero(bad & good)
        if len(rows):
            value = columns[column][int(rows[0])].as_py()
            said = f"row {tally.parsed + int(rows[0]) + 1}, {column} {_shown(value)}"
            tally.leave(reason, len(rows), said)
        good &= ~bad
    tally.rows += size
    tally.used += int(good.sum())
    cancelled = np.zeros(size, dtype=np.bool_)
    if "invoice" in names:
        invoice = texts(columns["invoice"])
        begins = np.array([word[:1] in (b"C", b"c") for word in invoice.words], dtype=np.bool_)
        cancelled = ~invoice.missing & np.append(begins, False)[invoice.codes]
    purchases.add(
        who.words,
        who.codes[good],
        at.seconds[good],
        np.where(cancelled, -np.abs(amount), amount)[good],
        _count(columns, "quantity", size)[good],
        _count(columns, "n_products", size)[good],
    )


def _shown(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return repr(text[:40])


def _count(columns: dict[str, Any], name: str, size: int) -> np.ndarray:
    """A column of counts, 1 where the file does not say."""
    if name not in columns:
        return np.ones(size, dtype=np.int64)
    return np.clip(np.nan_to_num(numbers(columns[name]), nan=1.0), -1e9, 1e9).astype(np.int64)
