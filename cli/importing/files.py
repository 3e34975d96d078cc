"""Files of rows, read piece by piece as they are: values stay raw until they are checked."""

import csv
import gzip
import hashlib
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cli.importing.arrow import ArrowArray
from cli.importing.reasons import ImportFailed, Problem

ROWS_A_PIECE: Final = 65_536
_BLOCK: Final = 2 << 20
_SAMPLE: Final = 1 << 20
_PARQUET: Final = b"PAR1"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that is not even a row: its number, its problem and what of it can be shown."""

    row: int
    problem: Problem
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows: their numbers in the file, their raw columns, and what lay broken between.

    Rows are numbered as a spreadsheet shows them: in a CSV the header is row 1, in Parquet the
    first row of data is.
    """

    rows: NDArray[np.int64]
    columns: list[ArrowArray]
    broken: list[Broken]

    def __len__(self) -> int:
        """How many rows, broken ones included."""
        return len(self.rows) + len(self.broken)

    def after(self, done: int) -> "Piece":
        """What is left without so many of its rows, broken ones included."""
        if done <= 0:
            return self
        first = min([*self.rows[:1].tolist(), *(item.row for item in self.broken[:1])])
        left = self.rows >= first + done
        broken = [item for item in self.broken if item.row >= first + done]
        return Piece(self.rows[left], [column.filter(left) for column in self.columns], broken)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A CSV or Parquet file that has been looked into."""

    path: Path
    columns: list[str]
    # None for Parquet, whose texts are UTF-8 by definition.
    encoding: str | None
    delimiter: str = ","

    def pieces(self) -> Iterator[Piece]:
        """The rows from the first on, with bounded memory.

        Raises ImportFailed only if not even the first row can be read; a file that breaks off
        later ends with a broken row.
        """
        return _parquet_pieces(self) if self.encoding is None else _csv_pieces(self)

    def digest(self) -> str:
        """SHA-256 of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def look_into(path: Path, *, encoding: str | None = None) -> RowFile:
    """Find out a file's form, columns and encoding.

    Raises ImportFailed for a file that is missing, empty or of another form.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == _PARQUET:
            return RowFile(path, list(pq.read_schema(path).names), None)
        return _look_into_csv(path, encoding)
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise ImportFailed(f"{path} cannot be read: {error}") from error


def _look_into_csv(path: Path, encoding: str | None) -> RowFile:
    with _opened(path) as file:
        sample = file.read(_SAMPLE)
    if sample[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ImportFailed(f"{path} is UTF-16. Save it as CSV UTF-8 and import that.")
    if not sample.strip():
        raise ImportFailed(f"{path} is empty.")
    if sample[:2] == b"PK":
        raise ImportFailed(f"{path} is a spreadsheet or archive. Save the sheet as CSV UTF-8.")
    codec = encoding or _likely_encoding(sample)
    try:
        head = sample.removeprefix(_BOM).splitlines()[0].decode(codec)
    except LookupError as error:
        raise ImportFailed(f"There is no encoding {codec!r}.") from error
    except UnicodeDecodeError as error:
        raise ImportFailed(f"The header of {path} is not {codec}.") from error
    delimiter = max(",;\t|", key=head.count)
    columns = [name.strip() for name in next(csv.reader([head], delimiter=delimiter))]
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise ImportFailed(f"{path} has several columns named {', '.join(twice)}.")
    return RowFile(path, columns, codec, delimiter)


def _likely_encoding(sample: bytes) -> str:
    """UTF-8, unless more lines of the sample can only be GB18030.

    Chinese in UTF-8 often happens to be readable as GB18030 too, never the other way round.
    """
    if sample.startswith(_BOM):
        return "utf-8"
    lines = [line for line in sample.splitlines()[:-1] or [sample] if not line.isascii()]
    others = [line for line in lines if not _is_in(line, "utf-8")]
    chinese = sum(_is_in(line, "gb18030") for line in others)
    return "gb18030" if chinese > len(lines) - len(others) else "utf-8"


def _is_in(line: bytes, codec: str) -> bool:
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _opened(path: Path) -> BinaryIO:
    file = path.open("rb")
    if file.read(2) != b"\x1f\x8b":
        file.seek(0)
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path, "rb"))


def _csv_pieces(source: RowFile) -> Iterator[Piece]:
    broken: deque[Broken] = deque()

    def skip(row: Any) -> str:
        broken.append(Broken(row.number, Problem.COLUMN_COUNT, row.text))
        return "skip"

    with _opened(source.path) as file:
        numbers = _Numbers(2, broken)
        lines = _WholeLines(file)
        try:
            for batch in _csv_reader(source, lines, skip):
                yield numbers.piece(list(batch.columns))
        except pa.ArrowInvalid as error:
            if "too short" in str(error):
                return  # a header and nothing else
            lines.fault = error
        if lines.fault is not None:
            broken.append(
                Broken(_after(numbers.next, broken), Problem.UNREADABLE, str(lines.fault))
            )
        yield numbers.piece([pa.array([], pa.binary()) for _ in source.columns], last=True)


def _after(reached: int, broken: Iterable[Broken]) -> int:
    """The first row number that is neither read nor broken."""
    return max([reached + len(list(broken)), *(item.row + 1 for item in broken)])


class _WholeLines(RawIOBase):
    """A file that may break off: it then ends with its last whole line, and `fault` says why.

    Half a line could pass for a whole one, with half an amount in it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ready = b""
        self._tail = b""
        self.fault: Exception | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._ready and self._more(max(size, 1)):
            pass
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def _more(self, size: int) -> bool:
        try:
            chunk = self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            self.fault = error
            return False
        if not chunk:
            self._ready, self._tail = self._tail, b""
            return False
        lines, end, self._tail = (self._tail + chunk).rpartition(b"\n")
        self._ready = lines + end
        return True


def _csv_reader(source: RowFile, file: RawIOBase, skip: Any) -> Any:
    names = [str(place) for place in range(len(source.columns))]
    return pa_csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=pa_csv.ReadOptions(
            # Row numbers are known only without threads.
            use_threads=False,
            block_size=_BLOCK,
            column_names=names,
            skip_rows=1,
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=source.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=False,  # they count as rows in every spreadsheet
            invalid_row_handler=skip,
        ),
        convert_options=pa_csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.binary()),
            strings_can_be_null=False,
        ),
    )


@dataclass(slots=True)
class _Numbers:
    """Gives rows their numbers, leaving out those of broken rows."""

    next: int
    broken: deque[Broken]

    def piece(self, columns: list[ArrowArray], *, last: bool = False) -> Piece:
        first, end = self.next, self.next + len(columns[0])
        between: list[Broken] = []
        while self.broken and (last or self.broken[0].row < end):
            between.append(self.broken.popleft())
            end += 1
        self.next = end
        gone = np.array([item.row for item in between], dtype=np.int64)
        return Piece(np.setdiff1d(np.arange(first, end), gone), columns, between)


def _parquet_pieces(source: RowFile) -> Iterator[Piece]:
    reached = 1
    try:
        with pq.ParquetFile(source.path) as file:
            for batch in file.iter_batches(ROWS_A_PIECE):
                yield Piece(np.arange(reached, reached + len(batch)), list(batch.columns), [])
                reached += len(batch)
    except (pa.ArrowInvalid, OSError) as error:
        nothing = [pa.nulls(0) for _ in source.columns]
        fault = Broken(reached, Problem.UNREADABLE, str(error))
        yield Piece(np.empty(0, np.int64), nothing, [fault])
