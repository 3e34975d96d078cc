"""What a file of orders looks like: its encoding, its separator, and which column is what."""

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from ml.errors import UnreadableFile

REQUIRED: Final = ("customer_id", "timestamp", "amount")
OPTIONAL: Final = ("quantity", "n_products", "invoice", "product", "category", "discount")
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "customer_id": (
        "customer",
        "客户编号",
        "客户号",
        "客户",
        "会员编号",
        "会员号",
        "会员",
        "用户编号",
        "用户",
        "顾客编号",
        "买家编号",
    ),
    "timestamp": (
        "datetime",
        "date",
        "time",
        "order_date",
        "order_time",
        "invoice_date",
        "下单时间",
        "订单时间",
        "支付时间",
        "交易时间",
        "下单日期",
        "时间",
        "日期",
    ),
    "amount": (
        "total",
        "line_total",
        "order_total",
        "实付金额",
        "支付金额",
        "订单金额",
        "成交金额",
        "消费金额",
        "金额",
        "小计",
    ),
    "quantity": ("qty", "数量", "件数"),
    "n_products": ("商品数", "商品种数"),
    "invoice": ("invoice_no", "发票号", "单据号"),
    "product": (
        "product_id",
        "product_code",
        "stock_code",
        "sku",
        "item",
        "item_id",
        "article",
        "商品编号",
        "商品编码",
        "商品货号",
        "货号",
        "商品",
        "商品名称",
        "品名",
    ),
    "category": (
        "category_id",
        "category_name",
        "product_category",
        "department",
        "品类",
        "类目",
        "商品类目",
        "商品分类",
        "分类",
        "类别",
    ),
    "discount": (
        "discount_amount",
        "discounts",
        "优惠金额",
        "折扣金额",
        "优惠",
        "减免金额",
        "立减金额",
    ),
}
"""Other names that columns go by, tried in this order after their own."""

_SAMPLE: Final = 1 << 20
# Python's reader of CSV takes no field longer than 131,072.
_LONGEST_HEAD: Final = 100_000
_TOLD: Final = 20
_TOLD_LETTERS: Final = 40
_SEPARATORS: Final = ",;\t|"
_CHARACTER: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


@dataclass(frozen=True)
class Layout:
    """How to read a file of text; `columns` gives each of our names its position."""

    names: tuple[str, ...]
    columns: Mapping[str, int]
    encoding: str
    separator: str

    @property
    def decimal_comma(self) -> bool:
        """True where 12,50 can only mean twelve and a half: commas separate nothing else."""
        return self.separator != ","


def look(path: Path, chosen: Mapping[str, str] | None = None) -> Layout:
    """The layout of a CSV file, gzipped or not; `chosen` names columns as the file calls them.

    Raises UnreadableFile that says what is wrong and how to mend it.
    """
    with path.open("rb") as raw:
        sample = bytes(unpacked(raw).read(_SAMPLE))
    _refuse_other_kinds(path, sample)
    encoding = _encoding(path, sample)
    text = sample.decode(encoding, "surrogateescape" if encoding != "utf-16" else "replace")
    head = text.lstrip("\ufeff").splitlines()[0] if text.strip("\ufeff \r\n\t") else ""
    if not head.strip():
        raise UnreadableFile(
            f"{path.name} is empty."
            if not text.strip("\ufeff \r\n\t")
            else f"{path.name} begins with an empty line; its first line must name the columns."
        )
    if len(head) > _LONGEST_HEAD:
        raise UnreadableFile(
            f"{path.name} begins with a line of {len(head):,} letters or more; its first line must "
            f"name the columns, in {_LONGEST_HEAD:,} at the most."
        )
    found = {one: _split(head, one) for one in _SEPARATORS}
    separator = max(_SEPARATORS, key=lambda one: (_fitting(found[one], chosen), len(found[one])))
    names = found[separator]
    return Layout(tuple(names), columns_of(path, names, chosen), encoding, separator)


def columns_of(
    path: Path, names: Sequence[str], chosen: Mapping[str, str] | None = None
) -> dict[str, int]:
    """The position of each of our columns; case, blanks, hyphens and underscores do not count.

    Raises UnreadableFile where a needed column is missing or two have the same name.
    """
    chosen = chosen or {}
    unknown = sorted(set(chosen) - {*REQUIRED, *OPTIONAL})
    absent = sorted({name for name in chosen.values() if name not in names})
    if unknown or absent:
        raise UnreadableFile(
            f"{path.name}: there is no column {', '.join(unknown or absent)}. Columns to name are "
            f"{', '.join((*REQUIRED, *OPTIONAL))}; the file has {_listed(names)}."
        )
    places = {ours: _place(path, ours, names, chosen) for ours in (*REQUIRED, *OPTIONAL)}
    missing = [ours for ours in REQUIRED if places[ours] is None]
    if missing:
        raise UnreadableFile(
            f"{path.name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}. "
            f"Needed are {', '.join(REQUIRED)}; the file has {_listed(names)}. "
            f"Rename the column in the first line, or say --column {missing[0]}=NAME."
        )
    return {ours: place for ours, place in places.items() if place is not None}


def unread(names: Sequence[str], columns: Mapping[str, int]) -> tuple[str, ...]:
    """The columns of a file that are none of ours, the first twenty, each cut to forty letters.

    What is no letter, such as a terminal's orders, becomes a question mark.
    """
    used = set(columns.values())
    others = [name for place, name in enumerate(names) if place not in used and name]
    return tuple(_readable(name) for name in others[:_TOLD])


def _listed(names: Sequence[str]) -> str:
    told = [_readable(name) for name in names[:_TOLD] if name]
    if len(names) > _TOLD:
        told.append(f"and {len(names) - _TOLD:,} more")
    return ", ".join(told) or "none"


def _readable(name: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in name[:_TOLD_LETTERS])


def _place(path: Path, ours: str, names: Sequence[str], chosen: Mapping[str, str]) -> int | None:
    if ours in chosen:
        return list(names).index(chosen[ours])
    plain = [_plain(name) for name in names]
    for name in (ours, *NAMES[ours]):
        number = plain.count(_plain(name))
        if number > 1:
            raise UnreadableFile(
                f"{path.name} has {number} columns named {name}; rename all but the one that is "
                f"the {ours}."
            )
        if number:
            return plain.index(_plain(name))
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).lower()


def _split(head: str, separator: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([head], delimiter=separator))]


def _fitting(names: list[str], chosen: Mapping[str, str] | None) -> int:
    known = {_plain(name) for ours in REQUIRED for name in (ours, *NAMES[ours])}
    known |= {_plain(name) for name in (chosen or {}).values()}
    return sum(_plain(name) in known for name in names)


def _refuse_other_kinds(path: Path, sample: bytes) -> None:
    if sample[:2] == b"PK":
        raise UnreadableFile(
            f"{path.name} is a spreadsheet or an archive. Save the sheet as CSV UTF-8 or unpack it."
        )
    if sample[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise UnreadableFile(f"{path.name} is in UTF-32. Save it as CSV UTF-8.")
    head = sample[:4096]
    marked = sample[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if not marked and head.count(b"\0") > len(head) / 10:
        raise UnreadableFile(
            f"{path.name} is no text: it is full of NUL bytes. If it is UTF-16 or a table of "
            "another program, save it as CSV UTF-8."
        )


def _encoding(path: Path, sample: bytes) -> str:
    """UTF-16 by its mark; UTF-8, unless more lines of the sample can only be GB18030.

    Chinese in UTF-8 often happens to be readable as GB18030 too, never the other way round.
    """
    if sample[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    lines = [line for line in sample.splitlines()[:-1] or [sample] if not line.isascii()]
    others = [line for line in lines if not _is_in(line, "utf-8")]
    chinese = sum(_is_in(line, "gb18030") for line in others)
    return "gb18030" if chinese > len(lines) - chinese else "utf-8"


def _is_in(line: bytes, codec: str) -> bool:
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def unpacked(raw: BinaryIO) -> Any:
    """The bytes of a file, unzipped where they begin as gzip does, whatever the name says."""
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return pa.input_stream(raw, compression="gzip" if packed else None)


class Recoded(io.RawIOBase):
    """Bytes of another encoding as UTF-8; what is not of that encoding stays as it is."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        errors = "surrogateescape" if encoding != "utf-16" else "replace"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._ready = b""

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to so many bytes; none at the end."""
        while not self._ready:
            chunk = bytes(self._stream.read(max(size, 1)))
            text = self._decoder.decode(chunk, final=not chunk)
            self._ready = text.encode("utf-8", "surrogateescape")
            if not chunk:
                break
        given, self._ready = self._ready[:size], self._ready[size:]
        return given
