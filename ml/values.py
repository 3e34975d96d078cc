"""Columns of a file as numpy arrays: the fast way where a batch is clean, by the row where not."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import F64, I64, Bools

_EARLIEST: Final = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp())
_LATEST: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())
_MONEY: Final = re.compile(r"^([+-]?)\s*[¥￥£$€]\s*")
_GROUPED: Final = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+),[0-9]+")
_PLAIN: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_LOOSE: Final = re.compile(
    r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?([ T]\s*[0-9]{1,2}:.*)?"
)


@dataclass(frozen=True, eq=False)
class Texts:
    """Distinct words of a column and the code of each row; rows without a word have code -1."""

    words: list[bytes]
    codes: I64
    missing: Bools


@dataclass(frozen=True, eq=False)
class Instants:
    """Epoch seconds of each row (0 where there is none)."""

    seconds: I64
    missing: Bools


def texts(column: Any) -> Texts:
    """Keys of any type as bytes; whole floats (13085.0) become whole numbers. Blank is missing."""
    column = _decoded(column)
    if pa.types.is_floating(column.type):
        column = _whole(column)
    if not pa.types.is_binary(column.type):
        column = column.cast(pa.string()).cast(pa.binary())
    coded = column.dictionary_encode()
    codes = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    words = [bytes(word).strip() for word in coded.dictionary.to_pylist()]
    blank = np.array([word == b"" for word in words] + [True], dtype=np.bool_)
    missing = blank[codes]
    return Texts(words, np.where(missing, -1, codes), missing)


def _whole(column: Any) -> Any:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def numbers(column: Any, *, decimal_comma: bool = False) -> F64:
    """Doubles; NaN where the text is no finite number.

    Signs of money and grouping commas may stand in a text. With `decimal_comma` 1.234,50 is
    read as 1234.5, as where commas separate nothing else.
    """
    column = _decoded(column)
    if _is_text(column):
        try:
            column = column.cast(pa.string()).cast(pa.float64())
        except pa.ArrowInvalid:
            read = [_number(value, decimal_comma) for value in column.to_pylist()]
            return np.array(read, dtype=np.float64)
    else:
        column = column.cast(pa.float64(), safe=False)
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _number(value: bytes | str | None, decimal_comma: bool) -> float:
    text = _MONEY.sub(r"\1", _text(value))
    if decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    elif _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if not _PLAIN.fullmatch(text):
        return float("nan")
    answer = float(text)
    return answer if np.isfinite(answer) else float("nan")


def instants(column: Any) -> Instants:
    """Epoch seconds from timestamps, dates, or text; a zone is honoured where given.

    Text may be ISO 8601, also without leading zeros or with slashes (2026/3/1 8:05), compact
    (20260301) or Chinese (2026年3月1日 8:05). Day-first and month-first dates are refused: nobody
    can tell 3/4/2026 from 4/3/2026. So are years before 1900 and after 2199.
    """
    column = _decoded(column)
    if _is_text(column):
        try:
            column = column.cast(pa.string()).cast(pa.timestamp("s"))
        except pa.ArrowInvalid:
            return _one_by_one(column.to_pylist())
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        return Instants(np.zeros(len(column), np.int64), np.ones(len(column), dtype=np.bool_))
    missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    seconds = column.cast(pa.timestamp("s", tz=zone), safe=False).cast(pa.int64())
    return _within(np.asarray(pc.fill_null(seconds, 0), dtype=np.int64), missing)


def _one_by_one(values: list[Any]) -> Instants:
    seconds = np.zeros(len(values), dtype=np.int64)
    missing = np.ones(len(values), dtype=np.bool_)
    # Days repeat themselves, so each distinct text is read once.
    known: dict[Any, int | None] = {}
    for row, value in enumerate(values):
        if value not in known:
            known[value] = _instant(_text(value))
        at = known[value]
        if at is not None:
            seconds[row], missing[row] = at, False
    return _within(seconds, missing)


def _instant(text: str) -> int | None:
    found = _LOOSE.fullmatch(text)
    if found:
        year, month, day, rest = found.groups()
        clock = re.sub(r"^(\d):", r"0\1:", (rest or "").strip(" T"))
        text = f"{year}-{int(month):02}-{int(day):02} {clock}".strip()
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _within(seconds: I64, missing: Bools) -> Instants:
    absurd = (seconds < _EARLIEST) | (seconds >= _LATEST)
    return Instants(np.where(absurd, 0, seconds), missing | absurd)


def _decoded(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(column: Any) -> bool:
    kind = column.type
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_large_string(kind)
    )


def _text(value: bytes | str | None) -> str:
    if value is None:
        return ""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else value).strip()
