"""Facts from a file of orders or order lines: CSV, gzipped CSV or Parquet, read in batches."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from ml import articles
from ml.arrays import F64, I64, Bools
from ml.articles import Articles, Names
from ml.errors import UnreadableFile
from ml.facts import Facts
from ml.layout import REQUIRED, Layout, Recoded, columns_of, look, unpacked, unread
from ml.purchases import Purchases
from ml.values import instants, numbers, texts

_BLOCK: Final = 8 << 20
_ROWS: Final = 131_072
_MOST: Final = 1e11
_RAGGED: Final = "wrong number of columns"
_REMEDIES: Final = {
    "no customer": "rows without a customer say nothing of anybody",
    "customer with a NUL byte": "export the file again",
    "bad timestamp": "write days as 2026-03-01 or 2026-03-01 08:05, between 1900 and 2199",
    "bad amount": "write amounts as 1234.50",
    "amount out of range": "amounts lie between -100,000,000,000 and 100,000,000,000",
    _RAGGED: "put texts that hold the separator in quotes",
}
"""What to do about rows that were left out."""

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows: our columns by name, and the row numbers a spreadsheet shows for them."""

    columns: dict[str, Any]
    rows: np.ndarray
    decimal_comma: bool = False


@dataclass
class Tally:
    """How many rows were read, and why the others were left out; with the first of each kind."""

    rows: int = 0
    used: int = 0
    left_out: dict[str, int] = field(default_factory=dict[str, int])
    first: dict[str, str] = field(default_factory=dict[str, str])
    ignored: tuple[str, ...] = ()
    """Columns of the file that nothing is read from."""
    remarks: list[str] = field(default_factory=list[str])
    """What was read otherwise than it stands there, in sentences."""
    bad_discounts: int = 0

    def leave(self, reason: str, number: int, first: str = "") -> None:
        """Count rows left out for a reason; the first one's description is kept."""
        if number:
            self.left_out[reason] = self.left_out.get(reason, 0) + number
            self.first.setdefault(reason, first)

    def remedy(self, reason: str) -> str:
        """What to do about rows left out for a reason; empty where nothing is to be done."""
        return _REMEDIES.get(reason, "")


def read(
    path: Path,
    progress: Progress | None = None,
    *,
    columns: Mapping[str, str] | None = None,
) -> tuple[Facts, Tally]:
    """Facts of a file with a customer, a time and an amount in each row.

    The columns are customer_id, timestamp and amount, or go by other names that `ml.layout` knows,
    or by those in `columns`; of the others quantity, n_products, invoice, product, category and
    discount are read, and the rest is told in `Tally.ignored`. CSV may be in UTF-8, UTF-16 or
    GB18030, with commas, semicolons, tabs or bars. Rows of one customer and day become one order;
    one of amount zero is an order too.
    Negative amounts, and rows whose invoice begins with C, are refunds of the customer's latest
    order. Times without a zone are taken as they stand. Rows without a customer, with a bad time
    or a bad amount are counted and left out. `progress` gets the share of the file that was read.
    Raises UnreadableFile, naming what is missing or broken and what to do, and when no row can be
    used. Memory grows with customers and their order-days, not with rows.
    """
    if path.exists() and not path.is_file():
        raise UnreadableFile(
            f"{path.name} is a pipe or a device, and files are read twice: save it to a file first."
        )
    tally, purchases = Tally(), Purchases(Articles())
    try:
        if _is_parquet(path):
            batches = _parquet(path, columns, tally, progress)
        else:
            batches = _csv(path, look(path, columns), tally, progress)
        for batch in batches:
            _take(batch, purchases, tally)
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        after = f" after {tally.rows:,} rows" if tally.rows else ""
        raise UnreadableFile(f"{path.name} cannot be read{after}: {_said(error)}") from error
    if not tally.used:
        raise UnreadableFile(f"{path.name} has no row that can be used. {_why(tally)}".strip())
    facts, orphans = purchases.facts()
    _remark(purchases, tally)
    tally.leave("refund without an earlier order", orphans)
    if not len(facts.order_at):
        raise UnreadableFile(
            f"{path.name} has refunds but no orders: all amounts are negative. Orders need "
            "positive ones."
        )
    return _sorted(facts), tally


def _sorted(facts: Facts) -> Facts:
    """The same facts with codes in the order of the ids.

    Draws of members go by codes, so neither the order of the rows nor customers who come later
    may decide them.
    """
    ids = list(facts.member_ids)
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    code = np.empty(len(ids), dtype=np.int32)
    code[order] = np.arange(len(ids), dtype=np.int32)
    return replace(
        facts, member_ids=[ids[place] for place in order], order_member=code[facts.order_member]
    )


def _said(error: BaseException) -> str:
    if "straddling" in str(error) or "block boundaries" in str(error):
        return "a row is longer than 8 MiB; a quote that is opened is probably never closed."
    return str(error)


def _why(tally: Tally) -> str:
    return "; ".join(
        f"{number:,} × {reason} (first: {tally.first[reason]}): {tally.remedy(reason)}"
        for reason, number in tally.left_out.items()
    )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(
    path: Path, chosen: Mapping[str, str] | None, tally: Tally, progress: Progress | None
) -> Iterator[Batch]:
    file = parquet.ParquetFile(path)
    names: list[str] = list(file.schema_arrow.names)
    columns = columns_of(path, names, chosen)
    tally.ignored = unread(names, columns)
    total, done = max(file.metadata.num_rows, 1), 0
    wanted = [names[place] for place in columns.values()]
    for batch in file.iter_batches(batch_size=_ROWS, columns=wanted):
        if progress is not None:
            progress((done + batch.num_rows) / total)
        found = {ours: batch.column(names[place]) for ours, place in columns.items()}
        yield Batch(found, np.arange(done + 1, done + batch.num_rows + 1))
        done += batch.num_rows


def _csv(path: Path, layout: Layout, tally: Tally, progress: Progress | None) -> Iterator[Batch]:
    size, ragged = max(path.stat().st_size, 1), list[int]()
    tally.ignored = unread(layout.names, layout.columns)

    def skip(row: Any) -> str:
        # Rows have numbers only without threads. Empty lines are no rows, but spreadsheets number
        # them.
        ragged.append(int(row.number))
        if str(row.text).strip():
            tally.rows += 1
            tally.leave(_RAGGED, 1, f"row {row.number}, {_shown(str(row.text))}")
        return "skip"

    with path.open("rb") as raw:
        stream = unpacked(raw)
        if layout.encoding != "utf-8":
            stream = pa.PythonFile(Recoded(stream, layout.encoding), mode="r")
        row = 2
        for batch in _open(stream, layout, skip):
            if progress is not None:
                progress(min(raw.tell() / size, 1.0))
            rows, row = _numbered(row, batch.num_rows, ragged)
            found = {ours: batch.column(str(place)) for ours, place in layout.columns.items()}
            yield Batch(found, rows, layout.decimal_comma)


def _open(stream: Any, layout: Layout, skip: Any) -> Iterator[Any]:
    names = [str(place) for place in range(len(layout.names))]
    used = [str(place) for place in layout.columns.values()]
    try:
        yield from csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                use_threads=False, block_size=_BLOCK, column_names=names, skip_rows=1
            ),
            parse_options=csv.ParseOptions(
                delimiter=layout.separator,
                invalid_row_handler=skip,
                newlines_in_values=True,
                ignore_empty_lines=len(names) == 1,
            ),
            convert_options=csv.ConvertOptions(
                check_utf8=False,
                include_columns=used,
                column_types=dict.fromkeys(used, pa.binary()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        # A file of a header and nothing else.
        if "Empty CSV file" not in str(error) and "too short" not in str(error):
            raise


def _numbered(first: int, size: int, ragged: list[int]) -> tuple[np.ndarray, int]:
    """The numbers of `size` rows from `first` on without the ragged ones, and the next number."""
    end = first + size
    for number in sorted(ragged):
        if number >= end:
            break
        end += number >= first
    gone = np.array([number for number in ragged if first <= number < end], dtype=np.int64)
    ragged[:] = [number for number in ragged if number >= end]
    return np.setdiff1d(np.arange(first, end), gone), end


def _take(batch: Batch, purchases: Purchases, tally: Tally) -> None:
    """Sort a batch's rows into usable ones and counted ones."""
    columns, size = batch.columns, len(batch.rows)
    who, at = texts(columns["customer_id"]), instants(columns["timestamp"])
    amount = numbers(columns["amount"], decimal_comma=batch.decimal_comma)
    checks = (
        ("no customer", who.missing, "customer_id"),
        ("customer with a NUL byte", _with_nul(who.words, who.codes), "customer_id"),
        ("bad timestamp", at.missing, "timestamp"),
        ("bad amount", np.isnan(amount), "amount"),
        ("amount out of range", np.abs(amount) > _MOST, "amount"),
    )
    # An empty line is no row; nor is one of a spreadsheet's many that hold nothing.
    good = np.logical_or.reduce([_there(columns[name]) for name in REQUIRED])
    tally.rows += int(good.sum())
    for reason, bad, column in checks:
        rows = np.flatnonzero(bad & good)
        if len(rows):
            value = columns[column][int(rows[0])].as_py()
            tally.leave(reason, len(rows), f"row {batch.rows[rows[0]]}, {column} {_shown(value)}")
        good &= ~bad
    tally.used += int(good.sum())
    cancelled = np.zeros(size, dtype=np.bool_)
    if "invoice" in columns:
        invoice = texts(columns["invoice"])
        begins = np.array([word[:1] in (b"C", b"c") for word in invoice.words], dtype=np.bool_)
        cancelled = ~invoice.missing & np.append(begins, False)[invoice.codes]
    purchases.counts_products |= "n_products" in columns
    purchases.add(
        who.words,
        who.codes[good],
        at.seconds[good],
        np.where(cancelled, -np.abs(amount), amount)[good],
        _count(columns, "quantity", size)[good],
        _count(columns, "n_products", size)[good],
        _discounts(batch, good, tally)[good],
        _things(columns, purchases, good),
    )


def _discounts(batch: Batch, good: Bools, tally: Tally) -> F64:
    """Money taken off each row, whatever its sign; none where the text is no sane amount."""
    if "discount" not in batch.columns:
        return np.zeros(len(batch.rows))
    column = batch.columns["discount"]
    off = np.abs(numbers(column, decimal_comma=batch.decimal_comma))
    sane = off <= _MOST
    tally.bad_discounts += int((good & ~sane & _there(column)).sum())
    return np.where(sane, off, 0.0)


def _things(columns: dict[str, Any], purchases: Purchases, good: Bools) -> tuple[I64, I64] | None:
    """Numbers of the products and categories of good rows; None in a file that names neither."""
    bought = purchases.articles
    if bought is None or not {"product", "category"} & set(columns):
        return None

    def of(names: Names) -> I64:
        if names.column not in columns:
            return np.full(int(good.sum()), -1, dtype=np.int64)
        return names.numbers(texts(columns[names.column]))[good]

    return of(bought.products), of(bought.categories)


def _remark(purchases: Purchases, tally: Tally) -> None:
    """Say what of the optional columns could not be used."""
    if tally.bad_discounts:
        tally.remarks.append(
            f"{tally.bad_discounts:,} discounts are no amounts of money and count as none: write "
            "what was taken off as 1.50, and no percentages."
        )
    bought = purchases.articles
    for names in (bought.products, bought.categories) if bought is not None else ():
        if names.is_given_up:
            tally.remarks.append(
                f"The column of the {names.column} has more than {articles.MOST_NAMES:,} different "
                "values, which tell no articles apart: products and categories are left aside."
            )


def _there(column: Any) -> Bools:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _with_nul(words: list[bytes], codes: np.ndarray) -> Bools:
    bad = np.array([b"\0" in word for word in words] + [False], dtype=np.bool_)
    return bad[codes]


def _shown(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return repr(text[:40])


def _count(columns: dict[str, Any], name: str, size: int) -> np.ndarray:
    """A column of counts, 1 where the file does not say."""
    if name not in columns:
        return np.ones(size, dtype=np.int64)
    return np.clip(np.nan_to_num(numbers(columns[name]), nan=1.0), -1e9, 1e9).astype(np.int64)
