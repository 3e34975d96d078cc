"""Columns of what members did besides ordering and of what befell them: counts, slopes, shares."""

from typing import Final

import numpy as np

from ml import facts as kinds
from ml.arrays import DAY, F64, I64, Numbers
from ml.facts import KINDS, Facts
from ml.history import gathered
from ml.order_features import Columns, ratio, trend

_COUNTED: Final = {
    "sessions": kinds.SESSION,
    "browses": kinds.BROWSE,
    "searches": kinds.SEARCH,
    "carts": kinds.CART,
    "shares": kinds.SHARE,
    "check_ins": kinds.CHECK_IN,
    "posts": kinds.GROUP_POST,
    "opens": kinds.MESSAGE_OPEN,
    "clicks": kinds.MESSAGE_CLICK,
}
_BEFALLEN: Final = {
    "group_leaves": kinds.GROUP_LEAVE,
    "late": kinds.LATE,
    "spoiled": kinds.SPOILED,
    "complaints": kinds.COMPLAINT,
    "coupons_granted": kinds.COUPON_GRANTED,
    "coupons_used": kinds.COUPON_USED,
    "coupons_expired": kinds.COUPON_EXPIRED,
}
REACH: Final = 90
"""How many days back events are read; older ones change nothing."""

_WEEKS: Final = -(-REACH // 7)


def events(facts: Facts, as_of: int, members: Numbers) -> Columns:
    """Event columns for `members` (codes, ascending).

    Windows are 28 days against the 28 before them, as the signals of the product have it, with
    7 days and 8 weeks beside them; days are the 24 hours before `as_of` and so on. All zero
    without events.
    """
    facts = facts.in_order()
    size = len(members)
    rows, owner = gathered(facts.starts[2], members)
    age = (as_of - 1 - facts.event_at[rows]) // DAY
    near = (age >= 0) & (age < REACH)
    rows, owner, age = rows[near], owner[near], age[near]
    kind = facts.event_kind[rows]
    week = age // 7
    table = _table(kind, week, owner, size)
    usage = (
        np.bincount(
            week * size + owner, weights=facts.event_seconds[rows], minlength=_WEEKS * size
        ).reshape(_WEEKS, size)
        / 60
    )
    columns: Columns = {}
    for name, number in _COUNTED.items():
        columns[f"{name}_7"] = table[number, 0].astype(np.float64)
        columns |= _months(name, table[number].astype(np.float64))
    columns |= _months("usage", usage)
    for name, number in (("sessions", kinds.SESSION), ("browses", kinds.BROWSE)):
        columns[f"{name}_slope_56"] = _slope(table[number].astype(np.float64))
    columns["usage_slope_56"] = _slope(usage)
    for name, number in _BEFALLEN.items():
        columns[f"{name}_{REACH}"] = table[number].sum(axis=0).astype(np.float64)
    used, expired = columns[f"coupons_used_{REACH}"], columns[f"coupons_expired_{REACH}"]
    columns[f"coupon_use_share_{REACH}"] = ratio(used, used + expired)
    columns[f"click_share_{REACH}"] = ratio(
        table[kinds.MESSAGE_CLICK].sum(axis=0), table[kinds.MESSAGE_OPEN].sum(axis=0)
    )
    for name, number in (("session", kinds.SESSION), ("browse", kinds.BROWSE)):
        columns[f"days_since_{name}_{REACH}"] = _latest(owner, age, kind == number, size)
    return columns


def _table(kind: Numbers, week: I64, owner: I64, size: int) -> I64:
    """How many events [kind, week, member]; kinds that are not known are left out."""
    known = (kind >= 0) & (kind < KINDS)
    if not known.all():
        kind, week, owner = kind[known], week[known], owner[known]
    keys = (kind.astype(np.int64) * _WEEKS + week) * size + owner
    return np.bincount(keys, minlength=KINDS * _WEEKS * size).reshape(KINDS, _WEEKS, size)


def _months(name: str, weekly: F64) -> Columns:
    """The last 28 days, the 28 before, and the trend from these to those."""
    recent, earlier = weekly[:4].sum(axis=0), weekly[4:8].sum(axis=0)
    return {
        f"{name}_28": recent,
        f"{name}_29_56": earlier,
        f"{name}_trend_56": trend(recent, earlier),
    }


def _slope(weekly: F64) -> F64:
    """Weekly slope over eight weeks, relative to the weekly mean (0 where there was nothing)."""
    pulls = 3.5 - np.arange(8)
    slope = np.zeros(weekly.shape[1])
    for pull, week in zip(pulls, weekly, strict=False):
        slope += pull * week
    return slope / 42 / (weekly[:8].sum(axis=0) / 8 + 0.5)


def _latest(owner: I64, age: I64, chosen: np.ndarray, size: int) -> F64:
    """Days since the latest chosen event, capped at the reach of the features."""
    answer = np.full(size, float(REACH))
    np.minimum.at(answer, owner[chosen], age[chosen].astype(np.float64))
    return answer
