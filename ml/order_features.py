"""Columns that order-days give: recency, windows, intervals, trends, basket and habit."""

from typing import Final

import numpy as np

from ml.arrays import F64, I64
from ml.history import Days, running

WINDOWS: Final = (7, 14, 30, 60, 90, 180, 365)
_WEEKS: Final = 12

Columns = dict[str, F64]


def ratio(numerator: F64 | I64, denominator: F64 | I64) -> F64:
    """Quotient, NaN where the denominator is not positive."""
    answer = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=answer, where=np.asarray(denominator) > 0)
    return answer


def trend(recent: F64 | I64, earlier: F64 | I64, expected: float = 1.0) -> F64:
    """Log of recent over `expected` times earlier, both raised by a half so that zeros count."""
    return np.log((recent + 0.5) / (expected * earlier + 0.5))


def windows(days: Days) -> Columns:
    """Order-days and spend (whole currency units) in each window, and trends between windows."""
    end = days.start[1:]
    paid = running(days.fen)
    since = {window: days.since(window) for window in WINDOWS}
    orders: dict[int, I64] = {window: end - first for window, first in since.items()}
    spend = {window: (paid[end] - paid[first]) / 100 for window, first in since.items()}
    columns: Columns = {}
    for window in WINDOWS:
        columns[f"orders_{window}"] = orders[window].astype(np.float64)
        columns[f"spend_{window}"] = spend[window]
    columns["orders_31_60"] = (orders[60] - orders[30]).astype(np.float64)
    columns["spend_31_60"] = spend[60] - spend[30]
    columns["orders_trend_30_60"] = trend(orders[30], columns["orders_31_60"])
    columns["orders_trend_30_90"] = trend(orders[30], orders[90], 1 / 3)
    columns["orders_trend_90_180"] = trend(orders[90], orders[180] - orders[90])
    columns["spend_trend_30_90"] = trend(
        np.maximum(spend[30], 0.0), np.maximum(spend[90], 0.0), 1 / 3
    )
    columns["orders_last_season_365"] = (days.since(320) - since[365]).astype(np.float64)
    return columns


def rhythm(days: Days) -> Columns:
    """Recency, intervals between order-days, and recency against the member's own rhythm.

    Intervals need two order-days, their spread three; below that the columns are NaN.
    """
    first, end = days.start[:-1], days.start[1:]
    number = end - first
    some, several = number > 0, number > 1
    recency = np.full(days.size, np.nan)
    recency[some] = days.age[end[some] - 1]
    gap = np.zeros(len(days.day), dtype=np.int64)
    gap[1:] = np.diff(days.day)
    gap[first[some]] = 0
    total, squares = running(gap), running(gap * gap)
    intervals = np.maximum(number - 1, 0)
    mean = ratio(total[end] - total[first], intervals)
    variance = ratio(squares[end] - squares[first], intervals) - mean**2
    sd = np.where(number > 2, np.sqrt(np.maximum(variance, 0)), np.nan)
    last = np.full(days.size, np.nan)
    last[several] = gap[end[several] - 1]
    smallest, median, largest = _ranked(days, gap)
    return {
        "recency": recency,
        "interval_mean": mean,
        "interval_median": median,
        "interval_sd": sd,
        "interval_cv": ratio(sd, mean),
        "interval_min": smallest,
        "interval_max": largest,
        "interval_last": last,
        "recency_in_intervals": ratio(recency, mean),
        "recency_in_medians": ratio(recency, median),
        "recency_z": (recency - mean) / (sd + 3.0),
        "days_until_due": median - recency,
        "last_in_intervals": ratio(last, mean),
        "single_order": (number == 1).astype(np.float64),
    }


def _ranked(days: Days, gap: I64) -> tuple[F64, F64, F64]:
    """Smallest, median and largest interval of each member, by one sort of all intervals."""
    first, number = days.start[:-1], np.diff(days.start)
    span = int(gap.max(initial=0)) + 2
    keys = days.owner * span + gap
    keys[first[number > 0]] += span - 1  # a first order has no interval: behind the real ones
    ranked = np.sort(keys) % span
    has = number > 1
    intervals = number[has] - 1
    answers = np.full((3, days.size), np.nan)
    start = first[has]
    low, high = ranked[start + (intervals - 1) // 2], ranked[start + intervals // 2]
    answers[0, has] = ranked[start]
    answers[1, has] = (low + high) / 2
    answers[2, has] = ranked[start + intervals - 1]
    return answers[0], answers[1], answers[2]


def weeks(days: Days) -> Columns:
    """Slope of order-days over the last twelve weeks (a week, per week) and weeks with orders."""
    end, since = days.start[1:], days.since(_WEEKS * 7)
    week = np.clip((days.age - 1) // 7, 0, None)
    spread = ((np.arange(_WEEKS) - (_WEEKS - 1) / 2) ** 2).sum()
    pull = running(_WEEKS - 1 - 2 * week)  # twice the distance from the middle: whole numbers
    fresh = np.ones(len(week), dtype=np.int64)
    fresh[1:] = (week[1:] != week[:-1]) | (np.diff(days.owner) != 0)
    kinds = running(fresh)
    return {
        "orders_slope_84": np.where(end > since, (pull[end] - pull[since]) / (2 * spread), 0.0),
        "active_weeks_84": (kinds[end] - kinds[since]).astype(np.float64),
    }


def basket(days: Days) -> Columns:
    """Size of an order-day: money, items, products; share of discounts and refunds."""
    first, end = days.start[:-1], days.start[1:]
    some = end > first
    number = end - first
    money = days.fen / 100
    mean = ratio(days.total(money), number)
    last, largest = np.full((2, days.size), np.nan)
    last[some] = money[end[some] - 1]
    if some.any():
        largest[some] = np.maximum.reduceat(money, first[some])
    year = days.since(365)
    paid, refund, discount = (running(c) for c in (days.fen, days.refund, days.discount))
    items, products = running(days.items), running(days.products)
    gross = paid[end] - paid[year] + refund[end] - refund[year]
    return {
        "basket_mean": mean,
        "basket_last": last,
        "basket_max": largest,
        "basket_sd": days.spread(money, mean),
        "basket_last_in_means": ratio(last, mean),
        "items_mean": ratio(items[end] - items[first], number),
        "products_mean": ratio(products[end] - products[first], number),
        "discount_share": ratio(
            discount[end] - discount[year], gross + discount[end] - discount[year]
        ),
        "refund_share": ratio(refund[end] - refund[year], gross),
        "refund_90": (refund[end] - refund[days.since(90)]) / 100,
    }


def habit(days: Days) -> Columns:
    """When a member orders: share of weekends, of the favourite weekday, and hour of the day."""
    first, end = days.start[:-1], days.start[1:]
    number = end - first
    weekday = (days.day + 3) % 7  # day 0 of the epoch was a Thursday; Monday is 0
    table = np.bincount(days.owner * 7 + weekday, minlength=days.size * 7).reshape(-1, 7)
    hour = ratio(days.total(days.hour), number)
    return {
        "weekend_share": ratio(table[:, 5] + table[:, 6], number),
        "weekday_share": ratio(table.max(axis=1), number),
        "hour_mean": hour,
        "hour_sd": days.spread(days.hour, hour),
    }
