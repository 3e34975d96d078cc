"""The matrix a model sees: one row a member, one column a fact, all known before a cutoff."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml import expectations
from ml.arrays import F32, F64, I32
from ml.event_features import events
from ml.expectations import Expectations
from ml.facts import Facts
from ml.history import Days, fold
from ml.labels import population as everyone
from ml.line_features import breadth
from ml.order_features import Columns, basket, habit, rhythm, weeks, windows

_EXPECTED_MEMBERS: Final = 20_000
_PART: Final = 16_384
"""Members worked on at once: their rows stay in a core's cache, and memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Feature values [members, names] in float32; NaN where a fact is unknown."""

    values: F32
    names: tuple[str, ...]
    members: I32

    def column(self, name: str) -> F64:
        """One column in double precision; KeyError when there is none of that name."""
        if name not in self.names:
            raise KeyError(name)
        return self.values[:, self.names.index(name)].astype(np.float64)

    def only(self, names: tuple[str, ...]) -> F32:
        """The values of the named columns, in that order."""
        return np.ascontiguousarray(self.values[:, [self.names.index(name) for name in names]])


def days_needed(name: str) -> int:
    """How many days of history a column reaches back, from the number its name ends in."""
    found = re.search(r"_(\d+)$", name)
    return int(found.group(1)) if found else 0


def fit_expectations(facts: Facts, as_of: int, *, seed: int = 0) -> Expectations:
    """BG/NBD and CNBD-k as of an instant, of the members of `drawn_days`."""
    return expectations.fit(drawn_days(facts, as_of, seed=seed))


def drawn_days(facts: Facts, as_of: int, *, seed: int = 0) -> Days:
    """Order-days before `as_of` of all members with any, of 20,000 drawn by `seed` at most."""
    ordered = np.zeros(len(facts.member_ids), dtype=np.bool_)
    ordered[facts.order_member[facts.seen(as_of)]] = True
    return fold(facts, as_of, drawn(np.flatnonzero(ordered).astype(np.int32), seed=seed))


def drawn(members: I32, *, seed: int = 0) -> I32:
    """Those of the members to whom models of buying are fitted: 20,000 at the most."""
    return draw(members, _EXPECTED_MEMBERS, seed)


def draw(members: I32, most: int, seed: int) -> I32:
    """At most `most` of the members, ascending; the same ones for the same seed and members."""
    if len(members) <= most:
        return members
    chosen = np.random.default_rng(seed).choice(len(members), most, replace=False)
    return members[np.sort(chosen)]


def build(
    facts: Facts,
    as_of: int,
    population: I32 | None = None,
    *,
    purchases: Expectations | None = None,
    horizon_days: int = 45,
    threads: int = 1,
) -> Matrix:
    """Features of `population` (codes, ascending) from rows before `as_of` only.

    Without a population the members of `labels.population` are taken. `purchases` are the
    parameters behind the `bgnbd_*` and `cnbd_*` columns; without them they are fitted to the same
    rows.
    Orders of a member on one day count as one. Rows at or after `as_of` change no bit, and
    neither do other members' rows. Members are worked on by `threads` threads, part by part.
    """
    members = everyone(facts, as_of) if population is None else population
    if np.any(np.diff(members) <= 0):
        raise ValueError("the population must be ascending without repeats")
    facts = facts.in_order()
    if purchases is None:
        purchases = fit_expectations(facts, as_of)
    model = purchases

    def columns(start: int) -> Columns:
        return _columns(facts, as_of, members[start : start + _PART], model, horizon_days)

    starts = range(0, max(len(members), 1), _PART)
    first = columns(0)
    values = np.empty((len(members), len(first)), dtype=np.float32)

    def put(start: int) -> None:
        part = columns(start) if start else first
        for position, column in enumerate(part.values()):
            values[start : start + _PART, position] = column

    if threads == 1 or len(starts) == 1:
        for start in starts:
            put(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(put, starts))
    return Matrix(values, tuple(first), members.astype(np.int32))


def _columns(
    facts: Facts, as_of: int, members: I32, purchases: Expectations, horizon_days: int
) -> Columns:
    """All columns of some members, by name; each depends on their own facts alone."""
    days = fold(facts, as_of, members)
    columns = windows(days) | rhythm(days) | weeks(days) | basket(days) | habit(days)
    columns |= expectations.columns(days, purchases, horizon_days)
    return columns | breadth(facts, as_of, members) | events(facts, as_of, members)
