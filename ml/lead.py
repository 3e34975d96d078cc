"""Lead time: how long before a member counts as churned they were warned of, and how rightly.

A *silence* begins with each order and ends with the member's next one; a member counts as churned
on the day it has lasted `silent_days`. Members are scored every week. A warning is early when it
comes at least `early_days` before the day of churn, that is within the first
`silent_days - early_days` days of the silence: a silence is as risky as its highest score by then.
Silences are what is right or wrong about a warning, so they are what is counted, and only those
whose outcome the data show and all of whose early weeks were scored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml import evaluation
from ml.arrays import DAY, F64, I64, Bools
from ml.facts import Facts

SILENT_DAYS: Final = 90
EARLY_DAYS: Final = 45
WEEK: Final = 7 * DAY
PRECISION: Final = 0.8
_FEWEST: Final = 50

Scores = Mapping[str, F64]
"""Each model's probability for the rows of one matrix."""


@dataclass(frozen=True)
class Lead:
    """One model's warnings."""

    average_precision: float
    # At the threshold that reaches the stated precision with the most churners warned of.
    threshold: float
    recall: float
    median_days: float


@dataclass(frozen=True)
class LeadReport:
    """The warnings of every model over the same silences."""

    silent_days: int
    early_days: int
    precision: float
    weeks: int
    silences: int
    churned_share: float
    models: dict[str, Lead]


class Silences:
    """The silences of some weeks, as they are scored."""

    def __init__(
        self, facts: Facts, *, silent_days: int = SILENT_DAYS, early_days: int = EARLY_DAYS
    ) -> None:
        """Of facts in order; orders of one day are one."""
        day = (facts.order_at + facts.utc_offset) // DAY
        first = np.append(True, np.diff(facts.order_member) != 0)
        kept = first | np.append(True, np.diff(day) != 0)
        self._member = facts.order_member[kept].astype(np.int64)
        self._begun = facts.order_at[kept]
        last = np.append(np.diff(self._member) != 0, True)
        self._lasted = np.where(last, np.iinfo(np.int64).max, np.append(np.diff(self._begun), 0))
        self._end = int(facts.order_at.max())
        self._silent, self._early = silent_days * DAY, (silent_days - early_days) * DAY
        self._silent_days, self._early_days = silent_days, early_days
        # Each week's scores of the silences that were early then: places, instant, by model.
        self._weeks: list[tuple[int, I64, Scores]] = []

    def score(self, at: int, members: I64, scores: Scores) -> None:
        """What every model says at an instant of members in ascending order."""
        known = np.flatnonzero(self._begun < at)
        newest = np.full(int(self._member.max()) + 1, -1, dtype=np.int64)
        newest[self._member[known]] = known  # orders ascend: the last one stays
        place = newest[members]
        early = (place >= 0) & (at - self._begun[place] <= self._early)
        chosen = {model: score[early] for model, score in scores.items()}
        self._weeks.append((at, place[early], chosen))

    def report(self, precision: float = PRECISION) -> "LeadReport | None":
        """Every model's figures; None where under 50 silences are whole, or all end alike."""
        if not self._weeks:
            return None
        first, last = self._weeks[0][0], self._weeks[-1][0]
        # Whole: no week of its early part was left out, and its outcome is in the data.
        counted = (
            (self._begun >= first - WEEK)
            & (self._begun + self._early <= last + WEEK)
            & (self._begun + self._silent <= self._end)
        )
        scored = np.zeros(len(self._begun), dtype=bool)
        for _, places, _ in self._weeks:
            scored[places] = True
        counted &= scored
        churned = self._lasted >= self._silent
        outcome = churned[counted].astype(np.float64)
        if len(outcome) < _FEWEST or outcome.min() == outcome.max():
            return None
        models = {
            model: self._lead(model, counted, churned, precision) for model in self._weeks[0][2]
        }
        return LeadReport(
            self._silent_days,
            self._early_days,
            precision,
            len(self._weeks),
            len(outcome),
            float(outcome.mean()),
            models,
        )

    def _lead(self, model: str, counted: Bools, churned: Bools, precision: float) -> Lead:
        risk = np.full(len(self._begun), -np.inf)
        for _, places, scores in self._weeks:
            risk[places] = np.maximum(risk[places], scores[model])
        outcome, score = churned[counted].astype(np.float64), risk[counted]
        threshold, recall = _at_precision(outcome, score, precision)
        warned = np.full(len(self._begun), np.iinfo(np.int64).max)
        for at, places, scores in self._weeks:
            over = places[scores[model] >= threshold]
            warned[over] = np.minimum(warned[over], at)
        right = counted & churned & (risk >= threshold)
        days = (self._begun + self._silent - warned)[right] / DAY
        return Lead(
            evaluation.pr_auc(outcome, score),
            threshold,
            recall,
            float(np.median(days)) if right.any() else float("nan"),
        )


def _at_precision(outcome: F64, score: F64, precision: float) -> tuple[float, float]:
    """The lowest threshold at which so many warnings are right, and the share warned of there.

    Infinity and 0 where no threshold reaches it.
    """
    levels, group = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(group, weights=outcome))
    size = np.cumsum(np.bincount(group))
    good = np.flatnonzero(hits / size >= precision)
    if not len(good):
        return float("inf"), 0.0
    return float(-levels[good[-1]]), float(hits[good[-1]] / outcome.sum())


def weeks_of(cutoffs: Iterable[int], last: int) -> list[tuple[int, list[int]]]:
    """For each cutoff the weekly instants from it until the next one, none after `last`."""
    bounds = sorted(cutoffs)
    answer: list[tuple[int, list[int]]] = []
    at = bounds[0]
    for cutoff, end in zip(bounds, [*bounds[1:], last + 1], strict=True):
        weeks: list[int] = []
        while at < end and at <= last:
            weeks.append(at)
            at += WEEK
        answer.append((cutoff, weeks))
    return answer
