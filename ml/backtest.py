"""What models would have been worth: the same past cutoffs for the product and the baselines."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml import baselines, evaluation
from ml.arrays import DAY, F64, I32, sigmoid
from ml.errors import TooLittleHistory
from ml.evaluation import Gain, Metrics
from ml.facts import Facts
from ml.features import Matrix
from ml.lead import EARLY_DAYS, LeadReport, Silences, weeks_of
from ml.samples import Past, Plan
from ml.training import Progress, train_on

_BASELINES: Final = ("logistic_rich", "bgnbd", "logistic", "recency_frequency", "rfm", "recency")
MODELS: Final = ("product", "xgboost", "lightgbm", *_BASELINES)
"""The product as it would be deployed, its boosted trees alone, LightGBM's where that is installed,
and the baselines."""

_FIGURES: Final = ("roc_auc", "pr_auc", "brier", "ece", "lift")
_CUTOFFS: Final = 4
_APART: Final = 45


@dataclass(frozen=True, eq=False)
class Test:
    """One cutoff: who was at stake, what happened, and what each model had said."""

    __test__ = False  # the word is the domain's; pytest must not collect it

    cutoff: int
    members: I32
    outcome: F64
    probability: dict[str, F64]
    metrics: dict[str, Metrics]
    choice: str
    correction: str
    trained_on: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Report:
    """All cutoffs, the mean figures of each model, and the gain over the best baseline."""

    horizon_days: int
    active_days: int
    tests: list[Test]
    mean: dict[str, dict[str, float]]
    best_baseline: str
    gain: Gain
    lead: LeadReport | None = None


def default_cutoffs(facts: Facts, horizon_days: int) -> list[int]:
    """Up to four cutoffs 45 days apart, the last so that its window closes with the data.

    The data end at the beginning of the day of the last order, since that day may be incomplete.
    Only cutoffs with a closed training window before them are given, the earliest first.
    """
    if not len(facts.order_at):
        return []
    offset = facts.utc_offset
    end = (int(facts.order_at.max()) + offset) // DAY * DAY - offset
    grid = [end - (horizon_days + k * _APART) * DAY for k in range(_CUTOFFS)]
    past = Past(facts, Plan(horizon_days=horizon_days))
    return [cutoff for cutoff in reversed(grid) if past.cutoffs(cutoff)]


def backtest(
    facts: Facts,
    *,
    horizon_days: int = 45,
    active_days: int = 180,
    cutoffs: list[int] | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Train and test every model at each cutoff as if nothing after it were known.

    `progress(done, total)` counts cutoffs. Raises TooLittleHistory when no cutoff can be tested,
    ValueError when the window of a given cutoff reaches past the data: members would look
    silent there who are not.
    """
    tested = cutoffs or default_cutoffs(facts, horizon_days)
    if not tested:
        raise TooLittleHistory(
            f"The orders span too few days to train on one closed window of {horizon_days} days "
            "and test on the next."
        )
    last = int(facts.order_at.max())
    if max(tested) + (horizon_days - 1) * DAY > last:
        raise ValueError(f"A window of {horizon_days} days after a cutoff ends past the data.")
    plan = Plan(horizon_days=horizon_days, active_days=active_days, seed=seed)
    past = Past(facts, plan)
    tests: list[Test] = []
    silences = Silences(past.facts)
    # Whoever churned must have had the time to, and be warned of early enough.
    latest = min(last - EARLY_DAYS * DAY, max(tested) + _APART * DAY)
    for number, (cutoff, weeks) in enumerate(weeks_of(tested, latest)):
        judged = _Judged(past, cutoff, threads)
        tests.append(judged.test())
        for week in weeks:
            matrix = past.matrix(week)
            silences.score(week, matrix.members.astype(np.int64), judged.said(matrix))
        if progress is not None:
            progress(number + 1, len(tested))
    models = [model for model in MODELS if model in tests[0].metrics]
    mean = {model: _mean([test.metrics[model] for test in tests]) for model in models}
    best = max(_BASELINES, key=lambda model: mean[model]["roc_auc"])
    pairs = [
        (test.members, test.outcome, test.probability["product"], test.probability[best])
        for test in tests
    ]
    gain = evaluation.paired_gain(pairs, seed=seed)
    return Report(horizon_days, active_days, tests, mean, best, gain, silences.report())


class _Judged:
    """Every model as it was trained at one cutoff."""

    def __init__(self, past: Past, cutoff: int, threads: int) -> None:
        self._past, self._cutoff, self._threads = past, cutoff, threads
        self._artifact = train_on(past, as_of=cutoff, threads=threads)
        train = [past.at(s) for s in self._artifact.about.cutoffs]
        self._others: dict[str, baselines.Said] = {
            "recency_frequency": baselines.recency_frequency(train),
            "logistic": baselines.logistic_rfm(train),
            "rfm": baselines.rfm(train),
            "recency": baselines.recency(train),
        }
        with suppress(ImportError):
            rows = past.rows(list(self._artifact.about.cutoffs))
            self._others["lightgbm"] = baselines.lightgbm(rows, seed=past.plan.seed)

    def said(self, matrix: Matrix) -> dict[str, F64]:
        """What each says of members."""
        artifact = self._artifact
        odds = artifact.models.log_odds(matrix, threads=self._threads)
        return {
            "product": sigmoid(odds[artifact.choice] + artifact.shift),
            "xgboost": sigmoid(odds["xgboost"]),
            "logistic_rich": sigmoid(odds["logistic"]),
            "bgnbd": sigmoid(odds["bgnbd"]),
            **{name: said(matrix) for name, said in self._others.items()},
        }

    def test(self) -> Test:
        """How they did on the whole population of the cutoff."""
        sample, about = self._past.whole(self._cutoff), self._artifact.about
        probability = self.said(sample.matrix)
        return Test(
            cutoff=self._cutoff,
            members=sample.matrix.members,
            outcome=sample.outcome,
            probability=probability,
            metrics={
                model: evaluation.measure(sample.outcome, p) for model, p in probability.items()
            },
            choice=self._artifact.choice,
            correction=about.correction,
            trained_on=about.cutoffs,
        )


def _mean(metrics: list[Metrics]) -> dict[str, float]:
    return {figure: float(np.mean([getattr(m, figure) for m in metrics])) for figure in _FIGURES}
