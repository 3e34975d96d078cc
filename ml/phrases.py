"""Sentences about a member's own numbers, each said only when the numbers bear it out.

A phrase takes the raw columns of one member and answers (code, Chinese, English), or None where
it would not be true or not worth saying. Percentages are rounded down, never up.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from ml.arrays import F64, Bools

Raw = dict[str, float]
Said = tuple[str, str, str]
Phrase = Callable[[Raw], Said | None]

_LEAST_FALL: Final = 10
_BASELINE: Final = 4


def fallen(recent: float, earlier: float) -> int:
    """By how many whole percent `recent` lies under `earlier`; 0 where it does not.

    >>> fallen(2, 5), fallen(5, 2), fallen(0, 0)
    (60, 0, 0)
    """
    if not earlier > 0 or recent >= earlier:
        return 0
    return min(math.floor(100 * (1 - max(recent, 0.0) / earlier) + 1e-6), 100)


def _fall(code: str, zh: str, en: str, recent: str, earlier: str, least: float = 1.0) -> Phrase:
    """A phrase "{what} in {window} fell by x%", for baselines of at least `least`."""

    def phrase(raw: Raw) -> Said | None:
        percent = fallen(raw[recent], raw[earlier]) if raw[earlier] >= least else 0
        if percent < _LEAST_FALL:
            return None
        return code, f"{zh}减少{percent}%", f"{en} fell by {percent}%"

    return phrase


def silence(raw: Raw) -> Said | None:
    """How long the member has not ordered, from a week up."""
    days = raw["recency"]
    if not days >= 7:
        return None
    return "no_order", f"已{days:.0f}天没有下单", f"No order for {days:.0f} days"


def record(raw: Raw) -> tuple[str, str, str]:
    """How often the member ordered lately: true of everybody, said where nothing else is."""
    days = raw["orders_180"]
    return (
        "order_days",
        f"近180天有{days:.0f}天下过单",
        f"Ordered on {days:.0f} of the last 180 days",
    )


def is_past_rhythm(recency: F64, usual: F64, spread: F64) -> Bools:
    """Who is over their usual interval (days); two intervals are needed to speak of usual.

    >>> is_past_rhythm(np.array([30.0, 11.0]), np.array([10.0, 10.0]), np.array([2.0, 2.0]))
    array([ True, False])
    """
    late = (recency > 1.2 * usual) & (recency > usual + 2)
    return late & (usual >= 1) & ~np.isnan(spread)


def _rhythm(raw: Raw) -> Said | None:
    usual, gap, spread = raw["interval_median"], raw["recency"], raw["interval_sd"]
    if math.isnan(spread) or not gap > max(1.2 * usual, usual + 2) or usual < 1:
        return None
    often = ("每天", "day") if usual < 1.5 else (f"约{usual:.0f}天", f"{usual:.0f} days")
    return (
        "past_own_rhythm",
        f"通常{often[0]}下一单，这次已隔{gap:.0f}天",
        f"Usually orders about every {often[1]}; it has now been {gap:.0f} days",
    )


def _single(raw: Raw) -> Said | None:
    if not raw["single_order"] > 0:
        return None
    return "single_order", "记录中只在一天下过单", "Has ordered on a single day only"


def _rare(raw: Raw) -> Said | None:
    number = raw["orders_180"]
    if not 1 <= number <= 3:
        return None
    return (
        "few_orders",
        f"近180天只有{number:.0f}天下过单",
        f"Ordered on only {number:.0f} of the last 180 days",
    )


def _stopped(raw: Raw) -> Said | None:
    before = raw["orders_31_60"]
    if raw["orders_30"] > 0 or not before >= 1:
        return None
    return (
        "orders_stopped",
        f"近30天没有下单，此前30天有{before:.0f}天下过单",
        f"No order in the last 30 days, after ordering on {before:.0f} of the 30 days before",
    )


def _less_spent(raw: Raw) -> Said | None:
    """Spending fell; left to other phrases where there was no order at all."""
    return _SPEND_FELL(raw) if raw["orders_30"] > 0 else None


_SPEND_FELL: Final = _fall(
    "spend_fell", "近30天消费", "Spending in the last 30 days", "spend_30", "spend_31_60"
)


def _small_basket(raw: Raw) -> Said | None:
    percent = fallen(raw["basket_last"], raw["basket_mean"])
    if math.isnan(raw["basket_sd"]) or percent < 2 * _LEAST_FALL:
        return None
    return (
        "smaller_basket",
        f"最近一次下单金额比自己的平均低{percent}%",
        f"The last order was {percent}% below the member's own average",
    )


def _refund(raw: Raw) -> Said | None:
    if not raw["refund_90"] > 0:
        return None
    return "refund", "近90天的订单有退款", "Had a refund on an order of the last 90 days"


def _discounts(raw: Raw) -> Said | None:
    percent = math.floor(100 * raw["discount_share"]) if raw["discount_share"] >= 0.3 else 0
    if not percent:
        return None
    return (
        "discounts",
        f"近一年订单金额的{percent}%由优惠抵扣",
        f"Discounts covered {percent}% of the last year's order value",
    )


def _faults(code: str, zh: str, en: str, column: str) -> Phrase:
    """A phrase about a number of orders, from one up."""

    def phrase(raw: Raw) -> Said | None:
        number = raw[column]
        if not number >= 1:
            return None
        orders = "order" if number == 1 else "orders"
        return code, zh.format(f"{number:.0f}单"), en.format(f"{number:.0f} {orders}")

    return phrase


def _coupons_expired(raw: Raw) -> Said | None:
    """Coupons ran out unused, and none was used meanwhile."""
    number = raw["coupons_expired_90"]
    if not number >= 1 or raw["coupons_used_90"] > 0:
        return None
    coupons = "coupon" if number == 1 else "coupons"
    return (
        "coupons_expired",
        f"近90天有{number:.0f}张优惠券过期未用",
        f"{number:.0f} {coupons} expired unused in the last 90 days",
    )


def _narrower(raw: Raw) -> Said | None:
    """Fewer categories lately than the year had; said of members who still order."""
    lately, year = raw["categories_90"], raw["categories_365"]
    if not (year >= 3 and 1 <= lately <= year / 2):
        return None
    return (
        "fewer_categories",
        f"近90天只买过{lately:.0f}个品类，近一年买过{year:.0f}个",
        f"Bought from {lately:.0f} of the {year:.0f} categories of the last year "
        "in the last 90 days",
    )


def _left_group(raw: Raw) -> Said | None:
    if not raw["group_leaves_90"] > 0:
        return None
    return "left_group", "近90天退出过社群", "Left a group in the last 90 days"


def _quiet(code: str, zh: str, en: str, column: str) -> Phrase:
    """A phrase "no {what} for n days", for a column of days capped at its reach of 90."""

    def phrase(raw: Raw) -> Said | None:
        days = raw[column]
        if not 7 <= days < 90:
            return None
        return code, f"已{days:.0f}天没有{zh}", f"No {en} for {days:.0f} days"

    return phrase


PHRASES: Final[dict[str, tuple[Phrase, ...]]] = {
    "silence": (silence,),
    "rhythm": (_rhythm,),
    "trend": (
        _fall(
            "orders_fell",
            "近30天下单",
            "Orders in the last 30 days",
            "orders_30",
            "orders_31_60",
            2,
        ),
        _stopped,
    ),
    "frequency": (_single, _rare),
    "spend": (_less_spent,),
    "basket": (_small_basket,),
    "refund": (_refund,),
    "discount": (_discounts,),
    "delivery": (
        _faults("complaint", "近期有{}被投诉", "{} with a complaint lately", "complaints_90"),
        _faults(
            "spoiled",
            "近90天有{}商品损坏",
            "{} with spoiled goods in the last 90 days",
            "spoiled_90",
        ),
        _faults("late", "近90天有{}配送迟到", "{} delivered late in the last 90 days", "late_90"),
    ),
    "coupons": (_coupons_expired,),
    "breadth": (_narrower,),
    "logins": (
        _fall(
            "logins_fell",
            "近28天登录",
            "Log-ins in the last 28 days",
            "sessions_28",
            "sessions_29_56",
            _BASELINE,
        ),
        _quiet("no_login", "登录", "log-in", "days_since_session_90"),
    ),
    "usage": (
        _fall(
            "usage_fell",
            "近28天使用时长",
            "Time spent in the last 28 days",
            "usage_28",
            "usage_29_56",
            _BASELINE,
        ),
    ),
    "browsing": (
        _fall(
            "browsing_fell",
            "近28天浏览",
            "Browsing in the last 28 days",
            "browses_28",
            "browses_29_56",
            _BASELINE,
        ),
        _quiet("no_browsing", "浏览", "browsing", "days_since_browse_90"),
    ),
    "messages": (
        _fall(
            "opens_fell",
            "近28天打开消息",
            "Messages opened in the last 28 days",
            "opens_28",
            "opens_29_56",
            2,
        ),
    ),
    "community": (
        _left_group,
        _fall(
            "posts_fell",
            "近28天社群发言",
            "Group posts in the last 28 days",
            "posts_28",
            "posts_29_56",
            2,
        ),
    ),
}
"""Groups of columns and what may be said for them, the more telling phrase first."""

READ: Final = (
    "recency",
    "orders_30",
    "orders_31_60",
    "orders_180",
    "single_order",
    "interval_median",
    "interval_sd",
    "spend_30",
    "spend_31_60",
    "basket_last",
    "basket_mean",
    "basket_sd",
    "refund_90",
    "discount_share",
    "complaints_90",
    "spoiled_90",
    "late_90",
    "coupons_expired_90",
    "coupons_used_90",
    "categories_90",
    "categories_365",
    "sessions_28",
    "sessions_29_56",
    "days_since_session_90",
    "usage_28",
    "usage_29_56",
    "browses_28",
    "browses_29_56",
    "days_since_browse_90",
    "opens_28",
    "opens_29_56",
    "posts_28",
    "posts_29_56",
    "group_leaves_90",
)
"""The columns that phrases read."""
