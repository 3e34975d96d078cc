"""Raw values of a file made into values of ours, or into the problem they have.

Columns repeat themselves: each distinct value of a piece is read once, in plain Python, and rows
take their value by index.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cli.importing.arrow import ArrowArray
from cli.importing.reasons import NUMBERS, Problem

Parsed = str | int | None
Parser = Callable[[object], Parsed | Problem]

MICRO: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,15}(\.0*)?", re.ASCII)
_GROUPED: Final = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", re.ASCII)
_NUMBER: Final = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,2})?", re.IGNORECASE | re.ASCII
)
_ABSURD: Final = 10**12
_LOCAL_FORMATS: Final = (
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y年%m月%d日 %H:%M:%S",
    "%Y年%m月%d日 %H:%M",
    "%Y年%m月%d日",
    "%Y-%m-%d %H:%M",  # without leading zeros, which the ISO form requires
    "%Y-%m-%d %H:%M:%S",
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column's distinct values, read, and for each row which of them it has."""

    values: list[Parsed]
    problems: NDArray[np.int16]
    index: NDArray[np.int64]

    def faults(self) -> NDArray[np.int16]:
        """For each row the number of its problem, 0 for none."""
        return self.problems[self.index]

    def blanks(self) -> NDArray[np.bool_]:
        """Rows without a value that have no problem either."""
        missing = np.array([value is None for value in self.values], dtype=bool)
        return missing[self.index] & (self.faults() == 0)

    def numbers(self) -> NDArray[np.int64]:
        """Each row's number; 0 where there is none."""
        numbers = [value if isinstance(value, int) else 0 for value in self.values]
        return np.array(numbers, dtype=np.int64)[self.index]

    def texts(self, rows: NDArray[np.int64]) -> ArrowArray:
        """The texts of these rows, null where there is none."""
        return pa.array(self.values, pa.string()).take(pa.array(self.index[rows]))


def read_column(raw: ArrowArray, parse: Parser) -> Column:
    """Read a raw column of any Arrow type."""
    distinct, index = distinct_values(raw)
    values: list[Parsed] = []
    problems = np.zeros(len(distinct), dtype=np.int16)
    for place, value in enumerate(distinct):
        result = parse(value)
        if isinstance(result, Problem):
            problems[place] = NUMBERS[result]
            result = None
        values.append(result)
    return Column(values, problems, index)


def distinct_values(raw: ArrowArray) -> tuple[list[Any], NDArray[np.int64]]:
    """A column's distinct values as Python values, and which of them each row has."""
    if pa.types.is_dictionary(raw.type):
        raw = raw.dictionary_decode()
    if pa.types.is_timestamp(raw.type):
        # Nanoseconds have no Python type, and nobody buys so fast.
        raw = raw.cast(pa.timestamp("us", raw.type.tz), safe=False)
    if pa.types.is_nested(raw.type):
        raw = pa.array([str(value) for value in raw.to_pylist()], pa.string())
    encoded = raw.dictionary_encode(null_encoding="encode")
    index = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), index


@dataclass(frozen=True, slots=True)
class Reading:
    """How the values of one file are to be read."""

    encoding: str
    zone: ZoneInfo
    date_formats: tuple[str, ...]
    # Instants after this one cannot be true.
    latest: datetime

    def text(self, longest: int) -> Parser:
        """A parser of trimmed text; blank is None."""

        def parse(value: object) -> str | Problem | None:
            text = self.plain(value)
            if isinstance(text, str) and len(text) > longest:
                return Problem.TOO_LONG
            return text

        return parse

    def plain(self, value: object) -> str | Problem | None:
        """A value as trimmed text: 13085 and 13085.0 are both "13085"."""
        if isinstance(value, bytes):
            try:
                value = value.decode(self.encoding)
            except UnicodeDecodeError:
                return Problem.ENCODING
        elif isinstance(value, float):
            if value != value:
                return None
            value = int(value) if value.is_integer() else value
        if value is None:
            return None
        text = str(value).strip()
        return Problem.NUL_BYTE if "\0" in text else text or None

    def customer(self, longest: int) -> Parser:
        """A parser of customer numbers, which spreadsheets like to turn into 13085.0."""
        texts = self.text(longest)

        def parse(value: object) -> Parsed | Problem:
            text = texts(value)
            return re.sub(r"^([0-9]+)\.0$", r"\1", text) if isinstance(text, str) else text

        return parse

    def one_of(self, allowed: type[StrEnum]) -> Parser:
        """A parser of the values of a StrEnum, however they are written."""
        names = {str(item) for item in allowed}

        def parse(value: object) -> Parsed | Problem:
            text = self.plain(value)
            if not isinstance(text, str):
                return text
            name = re.sub(r"[\s-]+", "_", text).upper()
            return name if name in names else Problem.UNKNOWN_VALUE

        return parse

    def whole(self, largest: int) -> Parser:
        """A parser of whole numbers up to `largest`, either sign."""

        def parse(value: object) -> Parsed | Problem:
            text = self.plain(value)
            if not isinstance(text, str):
                return text
            if _GROUPED.fullmatch(text):
                text = text.replace(",", "")
            if not _WHOLE.fullmatch(text):
                return Problem.OUT_OF_RANGE if text.lstrip("+-").isdigit() else Problem.BAD_NUMBER
            number = int(text.partition(".")[0])
            return number if abs(number) <= largest else Problem.OUT_OF_RANGE

        return parse

    def money(self, value: object) -> Parsed | Problem:
        """An amount in millionths of the file's unit: ¥, £, $, € and grouping commas may be in it.

        >>> Reading("utf-8", ZoneInfo("UTC"), (), datetime.now(UTC)).money("￥1,234.5")
        1234500000
        """
        text = self.plain(value)
        if not isinstance(text, str):
            return text
        text = re.sub(r"^([+-]?)\s*[¥￥£$€]\s*", r"\1", text)
        if _GROUPED.fullmatch(text):
            text = text.replace(",", "")
        if not _NUMBER.fullmatch(text):
            return Problem.BAD_AMOUNT
        try:
            amount = Decimal(text)
        except InvalidOperation:
            return Problem.BAD_AMOUNT
        if abs(amount) >= _ABSURD:
            return Problem.OUT_OF_RANGE
        return int((amount * MICRO).to_integral_value())

    def instant(self, value: object) -> Parsed | Problem:
        """Microseconds since 1970 in UTC; a time without an offset is local to the file's zone.

        An hour that a clock shows twice is taken for the first of the two.
        """
        moment = self._moment(value)
        if not isinstance(moment, datetime):
            return moment
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            return Problem.DATE_OUT_OF_RANGE
        if not _EARLIEST <= moment <= self.latest:
            return Problem.DATE_OUT_OF_RANGE
        return (moment - _EPOCH) // timedelta(microseconds=1)

    def _moment(self, value: object) -> datetime | Problem | None:
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - local until zoned
        text = self.plain(value)
        if not isinstance(text, str):
            return text
        if not text.isdigit():  # 20240501 is a number to most exports, not a date
            try:
                return datetime.fromisoformat(text)
            except ValueError:
                pass
        for form in (*self.date_formats, *_LOCAL_FORMATS):
            try:
                return datetime.strptime(text, form)  # noqa: DTZ007 - local until zoned
            except ValueError:
                continue
        return Problem.BAD_DATE
