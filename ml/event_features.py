"""Columns that browsing, log-ins and messages give: counts, slopes and time in use."""

from collections.abc import Callable
from typing import Final

import numpy as np

from ml import facts as kinds
from ml.arrays import DAY, F64, I64
from ml.facts import Facts
from ml.order_features import Columns, trend

_COUNTED: Final = {
    "sessions": (kinds.SESSION,),
    "browses": (kinds.BROWSE,),
    "searches": (kinds.SEARCH,),
    "carts": (kinds.CART,),
    "shares": (kinds.SHARE,),
    "check_ins": (kinds.CHECK_IN,),
    "posts": (kinds.GROUP_POST,),
    "opens": (kinds.MESSAGE_OPEN,),
    "clicks": (kinds.MESSAGE_CLICK,),
}
_REACH: Final = 90


def events(facts: Facts, as_of: int, place: I64, size: int) -> Columns:
    """Event columns for `size` members; `place` maps member codes to rows, -1 for none.

    Windows are 28 days against the 28 before them, as the signals of the product have it, with
    7 days and 8 weeks beside them. Only the last 90 days are read. All zero without events.
    """
    seen = (facts.event_at < as_of) & (facts.event_at >= as_of - _REACH * DAY)
    rows = np.flatnonzero(seen & (place[facts.event_member] >= 0))
    owner = place[facts.event_member[rows]]
    age = (as_of - 1 - facts.event_at[rows]) // DAY  # 0 for the last 24 hours
    kind, seconds = facts.event_kind[rows], facts.event_seconds[rows]

    def count(young: int, old: int, wanted: tuple[int, ...], weights: I64 | None = None) -> F64:
        chosen = (age >= young) & (age < old) & np.isin(kind, wanted)
        weight = None if weights is None else weights[chosen]
        return np.bincount(owner[chosen], weights=weight, minlength=size).astype(np.float64)

    columns: Columns = {}
    for name, wanted in _COUNTED.items():
        columns[f"{name}_7"] = count(0, 7, wanted)
        columns[f"{name}_28"] = count(0, 28, wanted)
        columns[f"{name}_29_56"] = count(28, 56, wanted)
        columns[f"{name}_trend_56"] = trend(columns[f"{name}_28"], columns[f"{name}_29_56"])
    every = tuple(np.unique(kind).tolist())
    columns["usage_28"] = count(0, 28, every, seconds.astype(np.int64)) / 60
    columns["usage_29_56"] = count(28, 56, every, seconds.astype(np.int64)) / 60
    columns["usage_trend_56"] = trend(columns["usage_28"], columns["usage_29_56"])
    columns["group_leaves_90"] = count(0, 90, (kinds.GROUP_LEAVE,))
    columns |= _slopes(count)
    columns["days_since_session_90"] = _latest(owner, age, kind == kinds.SESSION, size)
    columns["days_since_browse_90"] = _latest(owner, age, kind == kinds.BROWSE, size)
    return columns


def _slopes(count: Callable[[int, int, tuple[int, ...]], F64]) -> Columns:
    """Weekly slope over eight weeks, relative to the weekly mean (0 where there was nothing)."""
    answer: Columns = {}
    pulls = np.array([(3.5 - week) / 42 for week in range(8)])
    for name in ("sessions", "browses"):
        table = np.stack([count(7 * w, 7 * w + 7, _COUNTED[name]) for w in range(8)])
        answer[f"{name}_slope_56"] = (pulls @ table) / (table.mean(axis=0) + 0.5)
    return answer


def _latest(owner: I64, age: I64, chosen: np.ndarray, size: int) -> F64:
    """Days since the latest chosen event, capped at the reach of the features."""
    answer = np.full(size, float(_REACH))
    np.minimum.at(answer, owner[chosen], age[chosen].astype(np.float64))
    return answer
