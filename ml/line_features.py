"""Columns that order lines give: how many products and categories, and how often the same ones."""

import numpy as np

from ml.arrays import DAY, F64, I64, Bools, Numbers
from ml.facts import Facts
from ml.history import gathered
from ml.order_features import Columns, ratio, trend

_YEAR = 365
_QUARTER = 90


def breadth(facts: Facts, as_of: int, members: Numbers) -> Columns:
    """Breadth of what `members` (codes, ascending) bought, from orders that count at `as_of`.

    A category that is not known is none. Shares are NaN without lines in the window, counts 0.
    """
    size = len(members)
    facts = facts.in_order()
    if not len(facts.line_order):
        counts = np.zeros(size), np.zeros(size), np.zeros(size)
        return _columns(*counts, np.zeros(size, np.int64), np.full(size, np.nan))
    lines = facts.starts[1]
    line, owner = gathered(lines, members)
    order = facts.line_order[line]
    at = facts.order_at[order]
    today = (as_of + facts.utc_offset) // DAY
    age = today - (at + facts.utc_offset) // DAY
    seen = (at < as_of) & (facts.order_gone_at[order] >= as_of) & (age <= _YEAR)
    line, owner, recent = line[seen], owner[seen], age[seen] <= _QUARTER
    category = facts.line_category[line]
    known = category >= 0
    kinds, most = _distinct(owner[known], category[known], size)
    late = recent & known
    kinds_lately, _ = _distinct(owner[late], category[late], size)
    products, _ = _distinct(owner, facts.line_product[line], size)
    number = np.bincount(owner, minlength=size)
    named = np.bincount(owner[known], minlength=size)
    return _columns(kinds_lately, kinds, products, number, ratio(most, named))


def _columns(lately: F64, kinds: F64, products: F64, lines: I64, favourite: F64) -> Columns:
    return {
        f"categories_{_QUARTER}": lately,
        f"categories_{_YEAR}": kinds,
        f"products_{_YEAR}": products,
        f"breadth_trend_{_YEAR}": trend(lately, kinds),
        f"favourite_share_{_YEAR}": favourite,
        f"repeat_share_{_YEAR}": ratio(lines - products, lines),
    }


def _distinct(owner: I64, thing: Numbers, size: int) -> tuple[F64, F64]:
    """For each member how many different things, and how often the most frequent one occurs."""
    most = np.zeros(size)
    if not len(owner):
        return np.zeros(size), most
    keys = (owner << 32) | (thing.astype(np.int64) & 0xFFFF_FFFF)
    keys.sort()
    first = np.flatnonzero(_changes(keys))
    whose = keys[first] >> 32
    times = np.diff(first, append=len(keys))
    groups = np.flatnonzero(_changes(whose))
    most[whose[groups]] = np.maximum.reduceat(times, groups)
    return np.bincount(whose, minlength=size).astype(np.float64), most


def _changes(sorted_keys: I64) -> Bools:
    answer = np.ones(len(sorted_keys), dtype=np.bool_)
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=answer[1:])
    return answer
