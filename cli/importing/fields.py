"""What an import looks for in a file, and under which column names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cli.importing.reasons import ImportFailed


@dataclass(frozen=True, slots=True)
class Field:
    """Something a row may say: its name in `--map`, and the column names it goes by."""

    name: str
    says: str
    aliases: tuple[str, ...] = ()
    required: bool = True
    longest: int = 200


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a kind of export beforehand."""

    name: str
    source: str | None = None
    time_zone: str | None = None
    date_formats: tuple[str, ...] = ()
    # True where a negative quantity, or an invoice that starts with C, is a return.
    has_returns: bool = False


CUSTOMER: Final = Field(
    "customer_id",
    "the customer's number",
    ("customer", "customerid", "客户号", "客户编号", "会员号", "会员编号"),
    longest=64,
)
AT: Final = Field(
    "at",
    "when it happened",
    ("timestamp", "datetime", "date", "invoicedate", "orderdate", "下单时间", "时间", "日期"),
)
SKU: Final = Field(
    "sku",
    "the article's code",
    ("stockcode", "product", "商品编码", "商品编号", "货号"),
    longest=64,
)
CATEGORY: Final = Field(
    "category", "the article's category", ("类目", "分类", "品类"), required=False, longest=64
)
CHANNEL: Final = Field(
    "channel", "MINI_PROGRAM, APP or STORE", ("渠道",), required=False, longest=64
)
COMMUNITY: Final = Field(
    "community", "the customer's community", ("country", "小区", "社区"), required=False, longest=80
)

ORDER_FIELDS: Final = (
    CUSTOMER,
    Field(
        "order_no",
        "the order's number",
        ("order", "orderid", "invoice", "invoiceno", "订单号", "订单编号"),
        longest=64,
    ),
    AT,
    SKU,
    Field(
        "name",
        "the article's name",
        ("description", "productname", "商品名称", "商品", "名称"),
        required=False,
    ),
    Field("quantity", "how many", ("qty", "数量")),
    Field("unit_price", "the price of one", ("price", "unitprice", "单价", "价格"), required=False),
    Field("amount", "the price of the line", ("linetotal", "金额", "小计"), required=False),
    CATEGORY,
    CHANNEL,
    COMMUNITY,
)
EVENT_FIELDS: Final = (
    CUSTOMER,
    Field("event_id", "the event's own id", ("id", "事件编号", "事件号"), longest=128),
    AT,
    Field("kind", "what happened", ("event", "type", "事件", "类型")),
    Field("seconds", "how long it took", ("duration", "时长", "秒数"), required=False),
    Field(SKU.name, SKU.says, SKU.aliases, required=False, longest=64),
    CATEGORY,
    CHANNEL,
    Field("app_version", "the app's version", ("version", "版本"), required=False, longest=64),
    Field("touchpoint", "where in the app", ("触点", "入口"), required=False, longest=64),
    COMMUNITY,
)
PRESETS: Final = {
    "online-retail": Preset(
        name="online-retail",
        source="online-retail",
        time_zone="Europe/London",
        date_formats=("%m/%d/%Y %H:%M",),
        has_returns=True,
    )
}
PLAIN: Final = Preset(name="plain")


def preset_named(name: str | None) -> Preset:
    """The preset of this name.

    Raises ImportFailed naming those there are.
    """
    if name is None:
        return PLAIN
    if name not in PRESETS:
        raise ImportFailed(f"There is no preset {name!r}; there is: {', '.join(PRESETS)}.")
    return PRESETS[name]


def read_map(given: Iterable[str]) -> dict[str, str]:
    """The columns that `--map field=column,field=column` names.

    >>> read_map(["customer_id=客户号,at=时间", "sku = 货号"])
    {'customer_id': '客户号', 'at': '时间', 'sku': '货号'}
    """
    chosen: dict[str, str] = {}
    for part in ",".join(given).split(","):
        if not part.strip():
            continue
        field, sign, column = part.partition("=")
        if not (sign and field.strip() and column.strip()):
            raise ImportFailed(f"--map takes field=column, not {part!r}.")
        chosen[field.strip()] = column.strip()
    return chosen


def find_columns(
    present: Sequence[str], fields: Sequence[Field], chosen: Mapping[str, str]
) -> dict[str, int]:
    """Which column holds which field: by `--map` first, else by name.

    Names are compared without case, blanks and underscores. Raises ImportFailed that names what
    is missing, what is present and how to map it.
    """
    unknown = sorted(set(chosen) - {field.name for field in fields})
    if unknown:
        names = ", ".join(field.name for field in fields)
        raise ImportFailed(f"--map knows no field {', '.join(unknown)}; it knows {names}.")
    absent = sorted({column for column in chosen.values() if column not in present})
    if absent:
        raise ImportFailed(f"The file has no column {_listed(absent)}. {_present(present)}")
    by_name: dict[str, int] = {}
    for place, name in enumerate(present):
        by_name.setdefault(_plain(name), place)
    found: dict[str, int] = {}
    for field in fields:
        if field.name in chosen:
            found[field.name] = list(present).index(chosen[field.name])
            continue
        places = (by_name.get(_plain(name)) for name in (field.name, *field.aliases))
        place = next((place for place in places if place is not None), None)
        if place is not None:
            found[field.name] = place
    _require(found, fields, present)
    return found


def _require(found: Mapping[str, int], fields: Sequence[Field], present: Sequence[str]) -> None:
    missing = [field for field in fields if field.required and field.name not in found]
    names = [f"{field.name} ({field.says})" for field in missing]
    if any(field.name == "unit_price" for field in fields) and not {"unit_price", "amount"} & set(
        found
    ):
        names.append("unit_price (the price of one) or amount (the price of the line)")
    if not names:
        return
    example = names[0].partition(" ")[0]
    raise ImportFailed(
        f"The file lacks {len(names)} needed column(s): {'; '.join(names)}. {_present(present)} "
        f"Say which is which with --map {example}=NAME_IN_FILE."
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).lower()


def _present(columns: Sequence[str]) -> str:
    return f"It has: {_listed(columns)}." if columns else "It has no columns."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
