"""Lead time: how long before a member counts as churned they were warned of, and how rightly.

Members are scored every week, and warned of in the first week whose score reaches a threshold. A
warning is early when it comes at least `early_days` before the day of churn. Silences are what is
right or wrong about a warning, so they are what is counted: a silence is as risky as its highest
score by then. Only silences count whose end the data show and all of whose weeks were scored.
Intervals resample members, each with all of their silences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml import evaluation
from ml.arrays import DAY, F64, Bools
from ml.bootstrap import DRAWS, Bootstrap, Interval, interval
from ml.facts import NEVER
from ml.silences import WEEK, Silences
from ml.thresholds import FEWEST, Kind, at_precision, fixed, following

PRECISIONS: Final = (0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Rule:
    """Early warnings by thresholds of one kind: the share that was right, of churners reached."""

    kind: Kind
    precision: Interval
    recall: Interval


@dataclass(frozen=True, eq=False)
class Level:
    """One model's warnings where so many of them should be right.

    `rules` begins with the threshold chosen in hindsight and has the causal ones where there were
    closed weeks to set them from. The `any_…` figures count late warnings too, with a threshold in
    hindsight of their own: churners warned of before the day of churn, those warned of early, and
    the days ahead of each right warning, ascending.
    """

    precision: float
    threshold: float
    rules: tuple[Rule, ...]
    any_threshold: float
    any_recall: Interval
    any_early: Interval
    days: F64

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Days ahead of the lowest quarter, the half and the highest quarter of right warnings."""
        if not len(self.days):
            return (float("nan"), float("nan"), float("nan"))
        low, middle, high = np.quantile(self.days, [0.25, 0.5, 0.75])
        return float(low), float(middle), float(high)


@dataclass(frozen=True, eq=False)
class Lead:
    """One model's warnings: the average precision of early ones, and what precisions cost."""

    average_precision: Interval
    levels: tuple[Level, ...]

    def level(self, precision: float) -> Level:
        """The warnings at one of the precisions of the report."""
        return next(level for level in self.levels if level.precision == precision)


@dataclass(frozen=True, eq=False)
class LeadReport:
    """The warnings of every model over the same silences.

    `gains` is by how much the first model's average precision lies above each other's.
    """

    silent_days: int
    early_days: int
    precisions: tuple[float, ...]
    weeks: int
    silences: int
    churned_share: float
    models: dict[str, Lead]
    gains: dict[str, Interval]


def report(
    silences: Silences,
    *,
    precisions: Sequence[float] = PRECISIONS,
    since: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> LeadReport | None:
    """Every model's figures over the silences that began at most a week before `since`.

    Earlier weeks, if any were scored, only serve to set thresholds from. None where under 50
    silences are whole, or all end alike.
    """
    if not silences.weeks:
        return None
    start = silences.weeks[0].at if since is None else since
    counted = silences.whole() & (silences.begun >= start - WEEK)
    ends = set(silences.churned[counted].tolist())
    if counted.sum() < FEWEST or len(ends) < 2:
        return None
    counter = _Counter(silences, counted, start, draws, seed)
    models: dict[str, Lead] = {}
    drawn: dict[str, F64] = {}
    for model in silences.weeks[0].scores:
        models[model], drawn[model] = counter.lead(model, precisions)
    best, *others = models
    value = {model: lead.average_precision.value for model, lead in models.items()}
    return LeadReport(
        silences.silent // DAY,
        (silences.silent - silences.early) // DAY,
        tuple(precisions),
        sum(week.at >= start for week in silences.weeks),
        int(counted.sum()),
        float(silences.churned[counted].mean()),
        models,
        {
            model: interval(value[best] - value[model], drawn[best] - drawn[model])
            for model in others
        },
    )


class _Counter:
    """Counts every model's warnings over the same silences and the same draws of members."""

    def __init__(
        self, silences: Silences, counted: Bools, since: int, draws: int, seed: int
    ) -> None:
        self._silences, self._counted, self._since = silences, counted, since
        self._whole = silences.whole()
        self._member = silences.member[counted]
        self._churned = silences.churned[counted]
        self._boot = Bootstrap(np.unique(self._member), draws=draws, seed=seed)

    def lead(self, model: str, precisions: Sequence[float]) -> tuple[Lead, F64]:
        """A model's warnings, and the draws of its average precision."""
        early = self._silences.risk(model, early=True)
        ever = self._silences.risk(model, early=False)
        outcome = self._churned.astype(np.float64)
        drawn = self._boot.figures(self._member, outcome, early[self._counted])["pr_auc"]
        value = evaluation.pr_auc(outcome, early[self._counted])
        causal = following(self._silences, model, precisions, since=self._since) or {}
        levels = tuple(
            self._level(model, early, ever, precision, causal.get(precision))
            for precision in precisions
        )
        return Lead(interval(value, drawn), levels), drawn

    def _level(
        self, model: str, early: F64, ever: F64, precision: float, causal: list[float] | None
    ) -> Level:
        outcome, silences = self._churned.astype(np.float64), self._silences
        threshold = at_precision(outcome, early[self._counted], precision)
        rules = [self._rule("hindsight", early[self._counted] >= threshold)]
        once = fixed(silences, early, self._whole, precision, at=self._since)
        known: tuple[tuple[Kind, list[float] | None], ...] = (
            ("fixed", once),
            ("following", causal),
        )
        for kind, thresholds in known:
            if thresholds is not None:
                warned = silences.warned(model, thresholds, early=True)
                rules.append(self._rule(kind, warned[self._counted] < NEVER))
        any_threshold = at_precision(outcome, ever[self._counted], precision)
        at = silences.warned(model, [any_threshold] * len(silences.weeks), early=False)
        ahead = (silences.begun + silences.silent - at)[self._counted]
        reached = at[self._counted] < NEVER
        soon = reached & (ahead >= silences.silent - silences.early)
        return Level(
            precision,
            threshold,
            tuple(rules),
            any_threshold,
            self._share(reached, self._churned),
            self._share(soon, self._churned),
            np.sort(ahead[reached & self._churned] / DAY),
        )

    def _rule(self, kind: Kind, warned: Bools) -> Rule:
        return Rule(kind, self._share(self._churned, warned), self._share(warned, self._churned))

    def _share(self, part: Bools, whole: Bools) -> Interval:
        value = float(part[whole].mean()) if whole.any() else float("nan")
        return interval(value, self._boot.shares(self._member, part, whole))
