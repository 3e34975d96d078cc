"""Every column of the features once more, slowly: plain loops over one member's history."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np

from ml import facts as kinds
from ml.cnbd import Cnbd
from ml.expectations import COLUMNS, Expectations
from ml.facts import NEVER, Facts

NAN = float("nan")


@dataclass
class Order:
    at: datetime
    fen: int = 1000
    items: int = 1
    discount: int = 0
    products: int = 1
    refunds: list[tuple[datetime, int]] = field(default_factory=list)
    gone: datetime | None = None
    lines: list[tuple[int, int]] = field(default_factory=list)  # product, category (-1 unknown)


@dataclass
class Event:
    at: datetime
    kind: int
    seconds: int = 0


@dataclass
class History:
    orders: list[Order] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass
class Day:
    date: int
    hour: float
    paid: int = 0
    refund: int = 0
    discount: int = 0
    items: int = 0
    products: int = 0

    @property
    def net(self) -> float:
        return (self.paid - self.refund) / 100


def as_facts(histories: Sequence[History], utc_offset: int = 0) -> Facts:
    """The same histories as columns; refunds after the first in rows without amounts."""
    rows: list[list[int]] = []
    lines: list[tuple[int, int, int]] = []
    events: list[tuple[int, int, int, int]] = []
    for code, history in enumerate(histories):
        for order in history.orders:
            at, gone = stamp(order.at), NEVER if order.gone is None else stamp(order.gone)
            lines += [(len(rows), product, category) for product, category in order.lines]
            amounts = [order.fen, order.items, order.discount, order.products]
            for when, back in order.refunds or [(None, 0)]:
                back_at = NEVER if when is None else stamp(when)
                rows.append([code, at, *amounts, back, back_at, gone])
                amounts = [0, 0, 0, 0]
        events += [(code, stamp(e.at), e.kind, e.seconds) for e in history.events]
    order = np.array(rows, dtype=np.int64).reshape(-1, 9).T
    line = np.array(lines, dtype=np.int64).reshape(-1, 3).T
    event = np.array(events, dtype=np.int64).reshape(-1, 4).T
    return Facts(
        member_ids=np.arange(len(histories)),
        order_member=order[0], order_at=order[1], order_fen=order[2], order_items=order[3],
        order_discount_fen=order[4], order_products=order[5], order_refund_fen=order[6],
        order_refund_at=order[7], order_gone_at=order[8],
        line_order=line[0], line_product=line[1], line_category=line[2],
        event_member=event[0], event_at=event[1], event_kind=event[2], event_seconds=event[3],
        utc_offset=utc_offset,
    )  # fmt: skip


def stamp(at: datetime) -> int:
    return int(at.timestamp())


def features_of(
    history: History, as_of: datetime, zone: timezone, model: Expectations, horizon: int
) -> dict[str, float]:
    """Every column for one member."""
    today = as_of.astimezone(zone).toordinal()
    counted = [o for o in history.orders if o.at < as_of and (o.gone is None or o.gone >= as_of)]
    days = _days(counted, as_of, zone)
    answer = _windows(days, today) | _rhythm(days, today) | _weeks(days, today)
    answer |= _basket(days, today) | _habit(days) | _purchases(days, today, model, horizon)
    return answer | _breadth(counted, today, zone) | _events(history.events, as_of)


def _days(orders: list[Order], as_of: datetime, zone: timezone) -> list[Day]:
    days: dict[int, Day] = {}
    for order in sorted(orders, key=lambda o: o.at):
        local = order.at.astimezone(zone)
        seconds = local.hour * 3600 + local.minute * 60 + local.second
        day = days.setdefault(local.toordinal(), Day(local.toordinal(), seconds / 3600))
        day.paid += order.fen
        day.discount += order.discount
        day.items += order.items
        day.products += order.products
        day.refund += sum(fen for when, fen in order.refunds if when < as_of)
    return [days[date] for date in sorted(days)]


def _within(days: list[Day], today: int, window: int) -> list[Day]:
    return [day for day in days if today - day.date <= window]


def _log_ratio(recent: float, earlier: float, expected: float = 1.0) -> float:
    return math.log((recent + 0.5) / (expected * earlier + 0.5))


def _windows(days: list[Day], today: int) -> dict[str, float]:
    number: dict[int, int] = {}
    spend: dict[int, float] = {}
    answer: dict[str, float] = {}
    for window in (7, 14, 30, 60, 90, 180, 365):
        inside = _within(days, today, window)
        number[window], spend[window] = len(inside), sum(day.net for day in inside)
        answer[f"orders_{window}"] = number[window]
        answer[f"spend_{window}"] = spend[window]
    month_before = [day for day in days if 30 < today - day.date <= 60]
    answer["orders_31_60"] = len(month_before)
    answer["spend_31_60"] = sum(day.net for day in month_before)
    answer["orders_trend_30_60"] = _log_ratio(number[30], len(month_before))
    answer["orders_trend_30_90"] = _log_ratio(number[30], number[90], 1 / 3)
    answer["orders_trend_90_180"] = _log_ratio(number[90], number[180] - number[90])
    answer["spend_trend_30_90"] = _log_ratio(max(spend[30], 0), max(spend[90], 0), 1 / 3)
    last_year = [day for day in days if 320 < today - day.date <= 365]
    answer["orders_last_season_365"] = len(last_year)
    return answer


def _rhythm(days: list[Day], today: int) -> dict[str, float]:
    dates = [day.date for day in days]
    gaps = [later - earlier for earlier, later in pairwise(dates)]
    recency = today - dates[-1] if dates else NAN
    mean = statistics.fmean(gaps) if gaps else NAN
    median = statistics.median(gaps) if gaps else NAN
    sd = statistics.pstdev(gaps) if len(gaps) > 1 else NAN
    last = gaps[-1] if gaps else NAN
    return {
        "recency": recency,
        "interval_mean": mean,
        "interval_median": median,
        "interval_sd": sd,
        "interval_cv": sd / mean,
        "interval_min": min(gaps, default=NAN),
        "interval_max": max(gaps, default=NAN),
        "interval_last": last,
        "recency_in_intervals": recency / mean,
        "recency_in_medians": recency / median,
        "recency_z": (recency - mean) / (sd + 3),
        "days_until_due": median - recency,
        "last_in_intervals": last / mean,
        "single_order": float(len(dates) == 1),
    }


def _weeks(days: list[Day], today: int) -> dict[str, float]:
    """Week 0 are today and the seven days before it, week 1 the seven days before those."""
    number = [0] * 12
    for day in _within(days, today, 84):
        number[max(today - day.date - 1, 0) // 7] += 1
    return {
        "orders_slope_84": statistics.linear_regression(range(12), number[::-1]).slope,
        "active_weeks_84": sum(1 for orders in number if orders),
    }


def _part(of: float, whole: float) -> float:
    return of / whole if whole > 0 else NAN


def _basket(days: list[Day], today: int) -> dict[str, float]:
    nets = [day.net for day in days]
    year = _within(days, today, 365)
    gross, discount = sum(day.paid for day in year), sum(day.discount for day in year)
    mean = statistics.fmean(nets) if nets else NAN
    return {
        "basket_mean": mean,
        "basket_last": nets[-1] if nets else NAN,
        "basket_max": max(nets, default=NAN),
        "basket_sd": statistics.pstdev(nets) if len(nets) > 1 else NAN,
        "basket_last_in_means": _part(nets[-1], mean) if nets else NAN,
        "items_mean": statistics.fmean(day.items for day in days) if days else NAN,
        "products_mean": statistics.fmean(day.products for day in days) if days else NAN,
        "discount_share": _part(discount, gross + discount),
        "refund_share": _part(sum(day.refund for day in year), gross),
        "refund_90": sum(day.refund for day in _within(days, today, 90)) / 100,
    }


def _habit(days: list[Day]) -> dict[str, float]:
    weekdays = [datetime.fromordinal(day.date).weekday() for day in days]
    hours = [day.hour for day in days]
    return {
        "weekend_share": _part(sum(1 for w in weekdays if w >= 5), len(days)),
        "weekday_share": _part(max(Counter(weekdays).values(), default=0), len(days)),
        "hour_mean": statistics.fmean(hours) if hours else NAN,
        "hour_sd": statistics.pstdev(hours) if len(hours) > 1 else NAN,
    }


def _purchases(days: list[Day], today: int, model: Expectations, horizon: int) -> dict[str, float]:
    if not days:
        return dict.fromkeys(COLUMNS, NAN)
    x, age = len(days) - 1, today - days[0].date
    last = days[-1].date - days[0].date
    r, alpha, a, b = model.bgnbd.r, model.bgnbd.alpha, model.bgnbd.a, model.bgnbd.b
    alive = 1.0
    if x:
        alive = 1 / (1 + a / (b + x - 1) * ((alpha + age) / (alpha + last)) ** (r + x))
    none = ((alpha + age) / (alpha + age + horizon)) ** (r + x)
    return {
        "bgnbd_silent": 1 - alive * (1 - none),
        "bgnbd_alive": alive,
        "cnbd_silent": _cnbd(model.cnbd, x, last, age, horizon)[0],
        "cnbd_alive": _cnbd(model.cnbd, x, last, age, horizon)[1],
    }


def _cnbd(model: Cnbd, x: int, last: int, age: int, horizon: int) -> tuple[float, float]:
    """P(silent) and P(alive): the likelihoods of having left, and of staying without an order.

    The likelihood of k - 1 steps at most in a wait is a sum of Poisson terms, whose rate is
    gamma distributed; what all of them have in common is left out.
    """
    k, r, alpha, a, b = model.k, model.r, model.alpha, model.a, model.b

    def staying(until: int) -> float:
        steps = (
            (until - last) ** j / math.factorial(j)
            * math.prod(r + k * x + i for i in range(j))
            * ((alpha + last) / (alpha + until)) ** (r + k * x)
            / (alpha + until) ** j
            for j in range(k)
        )  # fmt: skip
        return (b + x) / (a + b + x) * sum(steps)

    leaving = a / (a + b + x)
    known = leaving + staying(age)
    return (leaving + staying(age + horizon)) / known, staying(age) / known


def _breadth(orders: list[Order], today: int, zone: timezone) -> dict[str, float]:
    aged = [(today - o.at.astimezone(zone).toordinal(), line) for o in orders for line in o.lines]
    year = [line for age, line in aged if age <= 365]
    lately = {category for age, (_, category) in aged if age <= 90 and category >= 0}
    named = Counter(category for _, category in year if category >= 0)
    products = {product for product, _ in year}
    return {
        "categories_90": len(lately),
        "categories_365": len(named),
        "products_365": len(products),
        "breadth_trend_365": _log_ratio(len(lately), len(named)),
        "favourite_share_365": _part(max(named.values(), default=0), named.total()),
        "repeat_share_365": _part(len(year) - len(products), len(year)),
    }


_NAMES = {
    "sessions": kinds.SESSION, "browses": kinds.BROWSE, "searches": kinds.SEARCH,
    "carts": kinds.CART, "shares": kinds.SHARE, "check_ins": kinds.CHECK_IN,
    "posts": kinds.GROUP_POST, "opens": kinds.MESSAGE_OPEN, "clicks": kinds.MESSAGE_CLICK,
    "group_leaves": kinds.GROUP_LEAVE, "late": kinds.LATE, "spoiled": kinds.SPOILED,
    "complaints": kinds.COMPLAINT, "coupons_granted": kinds.COUPON_GRANTED,
    "coupons_used": kinds.COUPON_USED, "coupons_expired": kinds.COUPON_EXPIRED,
}  # fmt: skip


def _events(events: list[Event], as_of: datetime) -> dict[str, float]:
    def within(first: int, last: int, kind: int | None = None) -> list[Event]:
        """Events from `last` up to `first` days before the cutoff, that instant left out."""
        begin, end = as_of - timedelta(days=last), as_of - timedelta(days=first)
        return [e for e in events if begin <= e.at < end and kind in (None, e.kind)]

    def usage(first: int, last: int) -> float:
        return sum(e.seconds for e in within(first, last)) / 60

    def slope(weekly: list[float]) -> float:
        oldest_first = statistics.linear_regression(range(8), weekly[::-1]).slope
        return oldest_first / (sum(weekly) / 8 + 0.5)

    answer: dict[str, float] = {
        "usage_28": usage(0, 28),
        "usage_29_56": usage(28, 56),
        "usage_trend_56": _log_ratio(usage(0, 28), usage(28, 56)),
        "usage_slope_56": slope([usage(7 * w, 7 * w + 7) for w in range(8)]),
    }
    for name, kind in _NAMES.items():
        if kind in (kinds.GROUP_LEAVE, *range(kinds.LATE, kinds.COUPON_EXPIRED + 1)):
            answer[f"{name}_90"] = len(within(0, 90, kind))
            continue
        recent, earlier = len(within(0, 28, kind)), len(within(28, 56, kind))
        answer[f"{name}_7"] = len(within(0, 7, kind))
        answer |= {f"{name}_28": recent, f"{name}_29_56": earlier}
        answer[f"{name}_trend_56"] = _log_ratio(recent, earlier)
    for name in ("sessions", "browses"):
        weekly = [len(within(7 * w, 7 * w + 7, _NAMES[name])) for w in range(8)]
        answer[f"{name}_slope_56"] = slope([float(number) for number in weekly])
        ages = [(as_of - e.at).total_seconds() for e in within(0, 90, _NAMES[name])]
        answer[f"days_since_{name[:-1]}_90"] = min(
            (math.ceil(age / 86_400) - 1 for age in ages), default=90
        )
    used, expired = answer["coupons_used_90"], answer["coupons_expired_90"]
    answer["coupon_use_share_90"] = _part(used, used + expired)
    opened = len(within(0, 90, kinds.MESSAGE_OPEN))
    answer["click_share_90"] = _part(len(within(0, 90, kinds.MESSAGE_CLICK)), opened)
    return answer


def zone_of(utc_offset: int) -> timezone:
    return timezone(timedelta(seconds=utc_offset))


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
