"""Why a row is not taken, for people and for machines."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code with its sentences."""

    code: str
    zh: str
    en: str


class Problem(Enum):
    """Everything that can be wrong with a row."""

    COLUMN_COUNT = Reason(
        "COLUMN_COUNT",
        "列数与表头不符",
        "the row has another number of columns than the header",
    )
    UNREADABLE = Reason(
        "UNREADABLE",
        "文件从此行起无法读取",
        "the file cannot be read from this row on",
    )
    ENCODING = Reason(
        "ENCODING",
        "文字编码与文件其余部分不同",
        "the text is in another encoding than the rest of the file",
    )
    NUL_BYTE = Reason(
        "NUL_BYTE",
        "含有空字节，无法保存",
        "the value holds a NUL byte, which cannot be stored",
    )
    TOO_LONG = Reason(
        "TOO_LONG",
        "内容过长",
        "the value is too long",
    )
    MISSING = Reason(
        "MISSING",
        "缺少必填内容",
        "a value is required here",
    )
    MISSING_CUSTOMER = Reason(
        "MISSING_CUSTOMER",
        "没有客户号，无法归属会员",
        "no customer is named, so the row belongs to no member",
    )
    BAD_DATE = Reason(
        "BAD_DATE",
        "不是有效的日期时间",
        "this is not a date and time",
    )
    DATE_OUT_OF_RANGE = Reason(
        "DATE_OUT_OF_RANGE",
        "日期早于1990年或在未来",
        "the date is before 1990 or in the future",
    )
    BAD_NUMBER = Reason(
        "BAD_NUMBER",
        "不是有效的整数",
        "this is not a whole number",
    )
    ZERO_QUANTITY = Reason(
        "ZERO_QUANTITY",
        "数量不能为零",
        "the quantity is zero",
    )
    NEGATIVE_QUANTITY = Reason(
        "NEGATIVE_QUANTITY",
        "数量为负；退货请用带退货规则的预设",
        "the quantity is negative; returns need a preset that knows them",
    )
    CONTRADICTION = Reason(
        "CONTRADICTION",
        "单号表示取消，但数量为正",
        "the invoice says cancelled, but the quantity is positive",
    )
    BAD_AMOUNT = Reason(
        "BAD_AMOUNT",
        "不是有效的金额",
        "this is not an amount of money",
    )
    NEGATIVE_AMOUNT = Reason(
        "NEGATIVE_AMOUNT",
        "金额为负，属于账务调整",
        "the amount is negative: an adjustment of the books, not a sale",
    )
    OUT_OF_RANGE = Reason(
        "OUT_OF_RANGE",
        "数值大得不合理",
        "the number is absurdly large",
    )
    UNKNOWN_VALUE = Reason(
        "UNKNOWN_VALUE",
        "不是允许的取值",
        "this is not one of the values allowed here",
    )


PROBLEMS = tuple(Problem)
"""Problems by number, for arrays; 0 in an array means none, n means PROBLEMS[n - 1]."""

NUMBERS = {problem: number for number, problem in enumerate(PROBLEMS, 1)}


class ImportFailed(Exception):
    """The file cannot be imported at all; the text says why and what to do."""
