"""Thresholds of warnings: in hindsight, set once, or following the drift from week to week.

How many of those warned of will churn can only be counted once their silences have lasted to the
day of churn, three months later, when the season has turned. What follows the drift is a period
life table, as demographers read a year's mortality from a year's deaths: the chance to go on being
silent from one week of silence to the next is taken from the last four weeks of the calendar alone,
over silences of every age, and these chances are multiplied from the age at the warning to the day
of churn. Silences enter at their warning and leave at the end of the data (Preston, Heuveline &
Guillot 2001, chapter 3; left truncation as in Kaplan & Meier's product limit).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ml.arrays import DAY, F64, I64, Bools
from ml.lifetimes import by_week, spent_by_week
from ml.silences import WEEK, Silences

Kind = Literal["hindsight", "fixed", "following"]
"""Chosen knowing how everything ended; set once from silences that had ended by the first week; or
set anew each week from what the four weeks before showed."""

FEWEST: Final = 50
_RECENT: Final = 28 * DAY
_CANDIDATES: Final = 40
_FEWEST_WARNED: Final = 20


def at_precision(outcome: F64, score: F64, precision: float) -> float:
    """The lowest threshold at which so many of the warnings are right; infinity where none is.

    >>> at_precision(np.array([1.0, 1, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6]), 0.75)
    0.6
    """
    levels, group = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(group, weights=outcome))
    size = np.cumsum(np.bincount(group))
    good = np.flatnonzero(hits / size >= precision - 1e-12)
    return float(-levels[good[-1]]) if len(good) else float("inf")


def fixed(
    silences: Silences, risk: F64, whole: Bools, precision: float, *, at: int
) -> list[float] | None:
    """One threshold for every week: what reached the precision over silences ended by `at`.

    `risk` is the highest early score of each silence. None where under 50 had ended.
    """
    known = whole & (silences.begun + silences.silent <= at)
    if known.sum() < FEWEST:
        return None
    threshold = at_precision(silences.churned[known].astype(np.float64), risk[known], precision)
    return [threshold if week.at >= at else float("inf") for week in silences.weeks]


def following(
    silences: Silences, model: str, precisions: Sequence[float], *, since: int
) -> dict[float, list[float]] | None:
    """For each precision a threshold for each week from `since` on, infinity before.

    The lowest of forty candidates that the life table of the four weeks before trusts, by a
    standard error, to be right so often; infinity where none is. None where no week knew enough.
    """
    early = _Early(silences, model)
    found: dict[float, list[float]] = {precision: [] for precision in precisions}
    known = False
    for week in silences.weeks:
        levels, trust = np.empty(0), np.empty(0)
        if week.at >= since:
            recent = early.known(week.at)
            levels = recent.candidates()
            trust = np.array([recent.trusted(level) for level in levels])
            known |= bool((trust > -np.inf).any())
        for precision, thresholds in found.items():
            good = np.flatnonzero(trust >= precision)
            thresholds.append(float(levels[good[0]]) if len(good) else float("inf"))
    return found if known else None


class _Early:
    """The early scores of every silence in the order of their weeks, as highest so far."""

    def __init__(self, silences: Silences, model: str) -> None:
        self._silent, self._early = silences.silent, silences.early
        self._begun, self._woken = silences.begun, silences.woken
        # The first weekly instant after each order.
        self._first: I64 = self._begun + 1 + (silences.weeks[0].at - self._begun - 1) % WEEK
        scores = np.full((len(self._begun), silences.early // WEEK + 1), -np.inf)
        for week in silences.weeks:
            soon = week.at - self._begun[week.places] <= silences.early
            places = week.places[soon]
            scores[places, (week.at - self._first[places]) // WEEK] = week.scores[model][soon]
        self._highest = np.maximum.accumulate(scores, axis=1)

    def known(self, at: int) -> "_Known":
        """What four weeks had shown at an instant."""
        recent = (self._first < at) & (self._begun + self._silent > at - _RECENT)
        return _Known(
            at,
            self._silent,
            self._begun[recent],
            self._woken[recent],
            self._first[recent],
            self._highest[recent],
        )


@dataclass(frozen=True, eq=False)
class _Known:
    """Silences that were under way in the four weeks before an instant."""

    at: int
    silent: int
    begun: I64
    woken: I64
    first: I64
    highest: F64

    def candidates(self) -> F64:
        """Levels, ascending, of what was said by then."""
        week = np.minimum((self.at - self.first - 1) // WEEK, self.highest.shape[1] - 1)
        said = self.highest[np.arange(len(week)), week]
        said = said[said > -np.inf]
        if not len(said):
            return np.empty(0)
        return np.unique(np.quantile(said, np.linspace(0.1, 0.995, _CANDIDATES), method="lower"))

    def trusted(self, level: float) -> float:
        """The share of right warnings at a level by the life table, less a standard error.

        Minus infinity where under twenty were warned of, or no silence was seen at some age.
        """
        week = (self.highest < level).sum(axis=1)
        warned = self.first + week * WEEK
        ends = np.minimum(np.minimum(self.woken, self.begun + self.silent), self.at)
        # A silence that ended before its warning came was never warned of.
        there = (week < self.highest.shape[1]) & (warned < ends)
        since = self.at - _RECENT
        entered = np.maximum(warned, since)
        ages = (warned - self.begun)[there & (warned >= since)]
        survival = self._survival(entered, ends, there & (ends > entered))
        if len(ages) < _FEWEST_WARNED or survival is None:
            return float("-inf")
        share = float(np.mean(survival[-1] / survival[ages // DAY]))
        return share - float(np.sqrt(share * (1 - share) / len(ages)))

    def _survival(self, entered: I64, left: I64, seen: Bools) -> F64 | None:
        """The chance to be silent still, by day of silence; None where an age was not seen.

        The days of a week of silence share a chance, since days alone are few.
        """
        last = self.silent // DAY
        weeks = -(-last // 7)
        from_age, to_age = (entered - self.begun)[seen], (left - self.begun)[seen]
        ended = (self.woken[seen] == left[seen]) & (self.woken[seen] < self.at)
        spent = spent_by_week(from_age, to_age, last)
        first = int(from_age.min() // WEEK) if len(from_age) else weeks
        if first >= weeks or (spent[first:] < 1).any():
            return None
        ends = by_week(to_age[ended], last)
        daily = np.repeat(ends / np.maximum(spent, 1), 7)[:last]
        return np.exp(-np.append(0, np.cumsum(daily)))
