"""The tiers of a fresh installation, what growth is made of, and when a run falls due.

Growth is 1 per yuan of net settled spend in the trailing 365 days, 1 per check-in and 20 per
successful invitation in the same window. The thresholds below are defaults of the `tier` table,
which staff may change: 2,000 is some 40 yuan a week for a year, 8,000 some 155.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from app.kernel.clock import DEFAULT_ZONE, business_day, day_start, month_start
from app.kernel.table import Json
from app.tiers.tables import MoveKind

GROWTH_WINDOW = timedelta(days=365)
GROWTH_PER_CHECK_IN = 1
GROWTH_PER_SHARING = 20
GRACE = timedelta(days=30)
# Nobody goes down so soon after going up.
PROTECTED = timedelta(days=90)
NOTICE_DAYS = (14, 3)


def _benefit(
    code: str, zh: str, en: str, quota: int | None = None, window: str | None = None
) -> Json:
    return {"code": code, "zh": zh, "en": en, "quota": quota, "window": window}


_BASIC = [_benefit("birthday-gift", "生日礼", "Birthday gift", 1, "YEAR")]
_GOLD = [
    *_BASIC,
    _benefit("priority-delivery", "优先配送时段", "Priority delivery slot", 4, "MONTH"),
    _benefit("new-product-trial", "新品试用", "New-product trial", 1, "MONTH"),
    _benefit("early-purchase", "限量商品提前购", "Early purchase of limited goods"),
]
_DIAMOND = [
    *_BASIC,
    _benefit("priority-delivery", "优先配送时段", "Priority delivery slot"),
    _benefit("new-product-trial", "新品试用", "New-product trial", 3, "MONTH"),
    _benefit("early-purchase", "限量商品提前购", "Early purchase of limited goods"),
    _benefit("vip-group", "VIP专属群", "VIP group"),
    _benefit("dedicated-service", "专属客服", "Dedicated service"),
    _benefit("offline-event", "线下活动名额", "Seat at offline events", 1, "MONTH"),
]

DEFAULT_TIERS: tuple[dict[str, Any], ...] = (
    {
        "code": "NORMAL",
        "rank": 1,
        "name_zh": "普通",
        "name_en": "Normal",
        "upgrade_at": 0,
        "retain_at": 0,
        "benefits": _BASIC,
    },
    {
        "code": "GOLD",
        "rank": 2,
        "name_zh": "黄金",
        "name_en": "Gold",
        "upgrade_at": 2_000,
        "retain_at": 1_500,
        "benefits": _GOLD,
    },
    {
        "code": "DIAMOND",
        "rank": 3,
        "name_zh": "钻石",
        "name_en": "Diamond",
        "upgrade_at": 8_000,
        "retain_at": 6_000,
        "benefits": _DIAMOND,
    },
)


def run_month(at: datetime) -> date:
    """The month whose run is due at an instant: the present one of the platform's zone."""
    return month_start(business_day(at, DEFAULT_ZONE))


def cutoff_of(month: date) -> datetime:
    """The instant a month's run looks from: the first of its first day in the platform's zone."""
    return day_start(month_start(month), DEFAULT_ZONE)


def parse_month(text: str) -> date:
    """The first day of a month written YYYY-MM. Raises ValueError.

    >>> parse_month("2026-11")
    datetime.date(2026, 11, 1)
    """
    year, dash, month = text.partition("-")
    if dash != "-" or len(year) != 4 or len(month) != 2 or not (year + month).isdecimal():
        raise ValueError(f"{text!r} is not a month like 2026-11")
    return date(int(year), int(month), 1)


@dataclass(frozen=True, slots=True)
class Why:
    """The figures of a move."""

    kind: MoveKind
    from_name: str
    to_name: str
    growth: int
    threshold: int


_REASONS: Mapping[MoveKind, tuple[str, str]] = {
    MoveKind.UPGRADE: (
        "近一年成长值{growth}，达到{to}的{threshold}",
        "growth of {growth} reaches the {threshold} of {to}",
    ),
    MoveKind.RECOVER: (
        "成长值回升至{growth}，保住{to}（需{threshold}）",
        "growth of {growth} is back above the {threshold} that keeps {to}",
    ),
    MoveKind.AT_RISK: (
        "成长值{growth}低于{from_}的保级线{threshold}，进入预警",
        "growth of {growth} is under the {threshold} that keeps {from_}: at risk",
    ),
    MoveKind.GRACE: (
        "成长值{growth}仍低于{from_}的保级线{threshold}，进入30天保护期",
        "growth of {growth} is still under the {threshold} that keeps {from_}: 30 days of grace",
    ),
    MoveKind.DOWNGRADE: (
        "保护期满，成长值{growth}低于{from_}的保级线{threshold}，降至{to}",
        "grace is over and growth of {growth} is under the {threshold} that keeps {from_}: "
        "down to {to}",
    ),
}


def reason_of(why: Why, *, chinese: bool) -> str:
    """A move's reason in plain words.

    >>> reason_of(Why(MoveKind.UPGRADE, "Normal", "Gold", 2100, 2000), chinese=False)
    'growth of 2100 reaches the 2000 of Gold'
    """
    text = _REASONS[why.kind][0 if chinese else 1]
    return text.format(
        growth=why.growth, threshold=why.threshold, to=why.to_name, from_=why.from_name
    )
