"""What partner systems report: rows as they come, and the verdict on each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app import members
from app.kernel.errors import Locale
from app.orders.tables import ActivityKind, Channel

LARGEST_BATCH = 1_000
LARGEST_ORDER = 500
"""Lines, and refunds, that one reported order may have."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Who a row is about: a member's id, or an identity of theirs."""

    member_id: UUID | None = None
    kind: members.IdentityKind | None = None
    app: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class ReportedLine:
    """One article; `paid_fen` is for the whole quantity, after discounts."""

    sku: str
    name: str
    quantity: int
    paid_fen: int
    category: str | None = None


@dataclass(frozen=True, slots=True)
class ReportedRefund:
    """Money that went back; `line_no` (from 1, in the order of the lines) if for one article."""

    refund_no: str
    amount_fen: int
    at: datetime
    line_no: int | None = None
    quantity: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ReportedOrder:
    """An order as far as its reporter knows it; what is not known yet is None.

    It may come again as it moves on. Lines may be left out then.
    """

    whose: Whose
    order_no: str
    channel: Channel
    placed_at: datetime
    lines: Sequence[ReportedLine] = ()
    refunds: Sequence[ReportedRefund] = ()
    discount_fen: int = 0
    leader_id: UUID | None = None
    paid_at: datetime | None = None
    settled_at: datetime | None = None
    cancelled_at: datetime | None = None
    promised_at: datetime | None = None
    delivered_at: datetime | None = None
    late: bool = False
    spoiled: bool = False
    complaint: bool = False


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """Something a member did."""

    whose: Whose
    event_id: str
    kind: ActivityKind
    at: datetime
    seconds: int = 0
    channel: Channel | None = None
    sku: str | None = None
    category: str | None = None
    app_version: str | None = None
    touchpoint: str | None = None


class VerdictStatus(StrEnum):
    """What became of a reported row."""

    STORED = "STORED"
    UPDATED = "UPDATED"
    DUPLICATE = "DUPLICATE"
    REJECTED = "REJECTED"


class Complaint(StrEnum):
    """Why a reported row was rejected."""

    MEMBER_UNKNOWN = "MEMBER_UNKNOWN"
    LEADER_UNKNOWN = "LEADER_UNKNOWN"
    BAD_TEXT = "BAD_TEXT"
    BAD_INSTANT = "BAD_INSTANT"
    BAD_NUMBER = "BAD_NUMBER"
    NO_LINES = "NO_LINES"
    TOO_MANY = "TOO_MANY"
    NOT_PAID = "NOT_PAID"
    ORDER_DIFFERS = "ORDER_DIFFERS"
    REFUND_EXCEEDS = "REFUND_EXCEEDS"
    REFUND_NO_TAKEN = "REFUND_NO_TAKEN"

    def message(self, locale: Locale) -> str:
        """The sentence for a person, in their language."""
        zh, en = _SAYS[self]
        return zh if locale == "zh-CN" else en


_SAYS = {
    Complaint.MEMBER_UNKNOWN: ("找不到该会员", "No member is known by this."),
    Complaint.LEADER_UNKNOWN: ("找不到该团长", "No member has the leader's id."),
    Complaint.BAD_TEXT: (
        "文本为空、过长或含有无法保存的字符",
        "A text is empty, too long or holds characters that cannot be stored.",
    ),
    Complaint.BAD_INSTANT: (
        "时间早于1990年、在未来或先后矛盾",
        "An instant is before 1990, in the future or before one that must precede it.",
    ),
    Complaint.BAD_NUMBER: (
        "数量或金额为负、为零或过大",
        "A quantity or amount is negative, zero or absurdly large.",
    ),
    Complaint.NO_LINES: ("新订单必须有明细", "An order that is not known yet needs its lines."),
    Complaint.TOO_MANY: (
        "明细或退款过多",
        f"An order has at most {LARGEST_ORDER} lines and as many refunds.",
    ),
    Complaint.NOT_PAID: (
        "未支付的订单不能结算或退款",
        "An order that was not paid cannot be settled or refunded.",
    ),
    Complaint.ORDER_DIFFERS: (
        "与已保存的同号订单明细不同",
        "An order with this number is stored with other lines.",
    ),
    Complaint.REFUND_EXCEEDS: (
        "退款超过实付金额或数量",
        "More would go back than was paid or bought.",
    ),
    Complaint.REFUND_NO_TAKEN: (
        "退款号已用于另一笔退款",
        "The refund's number is stored with another refund.",
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the row at `index`, and why if it was rejected."""

    index: int
    status: VerdictStatus
    complaint: Complaint | None = None
    order_id: UUID | None = field(default=None)
