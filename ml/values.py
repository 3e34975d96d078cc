"""Columns of a file as numpy arrays: the fast way where a batch is clean, by the row where not."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import F64, I64, Bools


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


def numbers(column: Any) -> F64:
    """Doubles; NaN where the text is no finite number."""
    if _is_text(column):
        try:
            column = column.cast(pa.string()).cast(pa.float64())
        except pa.ArrowInvalid:
            return np.array([_number(value) for value in column.to_pylist()], dtype=np.float64)
    else:
        column = column.cast(pa.float64(), safe=False)
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _number(value: bytes | str | None) -> float:
    try:
        answer = float(_text(value))
    except ValueError:
        return float("nan")
    return answer if np.isfinite(answer) else float("nan")


def instants(column: Any) -> Instants:
    """Epoch seconds from timestamps, dates, or ISO 8601 text; a zone is honoured where given."""
    if _is_text(column):
        try:
            column = column.cast(pa.string()).cast(pa.timestamp("s"))
        except pa.ArrowInvalid:
            return _one_by_one(column.to_pylist())
    if not (pa.types.is_temporal(column.type)):
        return Instants(np.zeros(len(column), np.int64), np.ones(len(column), dtype=np.bool_))
    missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    seconds = column.cast(pa.timestamp("s", tz=zone), safe=False).cast(pa.int64())
    return Instants(np.asarray(pc.fill_null(seconds, 0), dtype=np.int64), missing)


def _one_by_one(values: list[Any]) -> Instants:
    seconds = np.zeros(len(values), dtype=np.int64)
    missing = np.ones(len(values), dtype=np.bool_)
    for row, value in enumerate(values):
        try:
            at = datetime.fromisoformat(_text(value))
        except ValueError:
            continue
        seconds[row] = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
        missing[row] = False
    return Instants(seconds, missing)


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
