"""Silences: the times between a member's orders, with what was said of them week by week.

A *silence* begins with each order and ends with the member's next one; a member counts as churned
on the day it has lasted `silent_days`. The first `silent_days - early_days` days of a silence are
early: a warning then comes at least `early_days` before the day of churn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.arrays import DAY, F64, I64, Bools
from ml.facts import NEVER, Facts

SILENT_DAYS: Final = 90
EARLY_DAYS: Final = 45
WEEK: Final = 7 * DAY

Scores = Mapping[str, F64]
"""Each model's probability for the rows of one matrix."""


@dataclass(frozen=True, eq=False)
class Week:
    """What every model said at an instant of the silences, by place, that had not churned yet."""

    at: int
    places: I64
    scores: Scores


class Silences:
    """Every silence, the earliest of each member first, and the weeks that were scored.

    `member`, `begun` and `woken` (instants of the order and of the next, or NEVER) and `churned`
    have one entry a silence; `silent` and `early` are the lengths in seconds.
    """

    def __init__(
        self, facts: Facts, *, silent_days: int = SILENT_DAYS, early_days: int = EARLY_DAYS
    ) -> None:
        """Of facts in order; orders of one day are one."""
        day = (facts.order_at + facts.utc_offset) // DAY
        first = np.append(True, np.diff(facts.order_member) != 0)
        kept = first | np.append(True, np.diff(day) != 0)
        self.member = facts.order_member[kept].astype(np.int64)
        self.begun = facts.order_at[kept]
        last = np.append(np.diff(self.member) != 0, True)
        self.woken = np.where(last, NEVER, np.append(self.begun[1:], 0))
        self.silent, self.early = silent_days * DAY, (silent_days - early_days) * DAY
        self.churned = self.woken - self.begun >= self.silent
        self.end = int(facts.order_at.max())
        self.weeks: list[Week] = []

    def score(self, at: int, members: I64, scores: Scores) -> None:
        """What every model says at an instant of members in ascending order; weeks ascend."""
        known = np.flatnonzero(self.begun < at)
        newest = np.full(int(self.member.max()) + 1, -1, dtype=np.int64)
        newest[self.member[known]] = known  # orders ascend: the last one stays
        place = newest[members]
        counts = (place >= 0) & (at - self.begun[place] < self.silent)
        chosen = {model: score[counts] for model, score in scores.items()}
        self.weeks.append(Week(at, place[counts], chosen))

    def whole(self) -> Bools:
        """Silences scored early, of which no week was left out and whose end the data show."""
        first, last = self.weeks[0].at, self.weeks[-1].at
        scored = np.zeros(len(self.begun), dtype=np.bool_)
        for week in self.weeks:
            scored[week.places[self._soon(week)]] = True
        closed = self.begun + self.silent <= min(last + WEEK, self.end)
        return scored & closed & (self.begun >= first - WEEK)

    def risk(self, model: str, *, early: bool) -> F64:
        """Each silence's highest score, in its early weeks or in all; minus infinity of none."""
        highest = np.full(len(self.begun), -np.inf)
        for week in self.weeks:
            used = self._soon(week) if early else slice(None)
            places, score = week.places[used], week.scores[model][used]
            highest[places] = np.maximum(highest[places], score)
        return highest

    def warned(self, model: str, thresholds: Sequence[float], *, early: bool) -> I64:
        """When each silence first reached the threshold of the week, or NEVER."""
        first = np.full(len(self.begun), NEVER, dtype=np.int64)
        for week, threshold in zip(self.weeks, thresholds, strict=True):
            over = week.scores[model] >= threshold
            if early:
                over &= self._soon(week)
            places = week.places[over]
            first[places] = np.minimum(first[places], week.at)
        return first

    def _soon(self, week: Week) -> Bools:
        return week.at - self.begun[week.places] <= self.early


def weeks_of(
    cutoffs: Iterable[int], last: int, *, first: int | None = None
) -> list[tuple[int, list[int]]]:
    """For each cutoff the weekly instants from it until the next one, none after `last`.

    Weeks are counted from the first cutoff, or from `first`, which is no earlier.
    """
    bounds = sorted(cutoffs)
    answer: list[tuple[int, list[int]]] = []
    at = bounds[0] if first is None else first
    for cutoff, end in zip(bounds, [*bounds[1:], last + 1], strict=True):
        weeks: list[int] = []
        while at < end and at <= last:
            weeks.append(at)
            at += WEEK
        answer.append((cutoff, weeks))
    return answer
