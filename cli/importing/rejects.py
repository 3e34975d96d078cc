"""The file in which rows that were not taken are written aside, with the reason."""

import csv
import io
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from cli.importing.arrow import ArrowArray, ArrowTable
from cli.importing.checks import Checked, Rules
from cli.importing.files import RowFile
from cli.importing.reasons import NUMBERS, PROBLEMS
from cli.importing.values import distinct_values

_OURS: Final = ("row", "column", "reason", "reason_zh", "reason_en")
# Spreadsheets read UTF-8 as such only behind this mark.
_MARK: Final = b"\xef\xbb\xbf"


class RejectsFile:
    """A CSV: row number, column, reason (code, Chinese, English) and the row as it was."""

    def __init__(self, path: Path, source: RowFile, rules: Rules) -> None:
        """Nothing is written before `start`."""
        self.path = path
        self._source = source
        self._columns = [
            source.columns[rules.places[field.name]] if field.name in rules.places else field.name
            for field in rules.fields
        ]
        self.bytes = 0

    def size(self) -> int | None:
        """The size of what an earlier run left there; None for nothing."""
        return self.path.stat().st_size if self.path.exists() else None

    def start(self, kept: int) -> None:
        """Go on after the first `kept` bytes; with 0 a file of an earlier run goes."""
        self.bytes = kept
        if kept:
            os.truncate(self.path, kept)
        else:
            self.path.unlink(missing_ok=True)

    def encode(self, checked: Checked) -> tuple[bytes, int]:
        """A piece's bad rows as they will be written, and how many they are."""
        table = pa.concat_tables([self._bad(checked), self._broken(checked)])
        rows = io.BytesIO()
        if len(table):
            pa_csv.write_csv(table.sort_by("row"), rows, pa_csv.WriteOptions(include_header=False))
        return rows.getvalue(), len(table)

    def append(self, rows: bytes) -> None:
        """Put rows safely on the disk, before the progress is noted that includes them."""
        if not rows:
            return
        with self.path.open("ab") as file:
            file.write((b"" if self.bytes else self._head()) + rows)
            file.flush()
            os.fsync(file.fileno())
            self.bytes = file.tell()

    def _head(self) -> bytes:
        line = io.StringIO()
        csv.writer(line).writerow([*_OURS, *self._names()])
        return _MARK + line.getvalue().encode()

    def _names(self) -> list[str]:
        return [name if name not in _OURS else f"{name}_" for name in self._source.columns]

    def _bad(self, checked: Checked) -> ArrowTable:
        bad = checked.bad()
        ours = [
            checked.piece.rows[bad],
            _named(self._columns, checked.field[bad]),
            *_reasons(checked.fault[bad]),
        ]
        return self._table(ours, [self._shown(column, bad) for column in checked.piece.columns])

    def _broken(self, checked: Checked) -> ArrowTable:
        broken = checked.piece.broken
        fault = np.array([NUMBERS[item.problem] for item in broken], dtype=np.int64)
        nothing = pa.nulls(len(broken), pa.string())
        texts = pa.array([item.text.replace("\0", "\\x00") for item in broken], pa.string())
        ours = [np.array([item.row for item in broken], np.int64), nothing, *_reasons(fault)]
        return self._table(ours, [texts, *[nothing] * (len(self._source.columns) - 1)])

    def _table(self, ours: list[Any], originals: list[ArrowArray]) -> ArrowTable:
        return pa.table([*ours, *originals], names=[*_OURS, *self._names()])

    def _shown(self, raw: ArrowArray, rows: Any) -> ArrowArray:
        distinct, index = distinct_values(raw.take(pa.array(rows)))
        codec = self._source.encoding or "utf-8"
        texts = [_shown(value, codec) for value in distinct]
        return pa.array(texts, pa.string()).take(pa.array(index))


def _shown(value: object, codec: str) -> str | None:
    if isinstance(value, bytes):
        try:
            value = value.decode(codec)
        except UnicodeDecodeError:
            value = value.decode("ascii", "backslashreplace")
    return None if value is None else str(value).replace("\0", "\\x00")


def _named(names: list[str], chosen: Any) -> ArrowArray:
    return pa.array(names, pa.string()).take(pa.array(chosen))


def _reasons(fault: Any) -> list[ArrowArray]:
    reasons = [problem.value for problem in PROBLEMS]
    columns = zip(*((item.code, item.zh, item.en) for item in reasons), strict=True)
    return [_named(list(column), fault - 1) for column in columns]
