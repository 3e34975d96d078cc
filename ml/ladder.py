"""The kinds of model side by side, and which of them a platform's own past prefers."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from scipy.optimize import minimize

from ml import logistic, table
from ml.arrays import F64, Numbers, logit, moved, sigmoid
from ml.booster import Booster
from ml.features import Matrix
from ml.logistic import Logistic
from ml.samples import HERE, Learning, Rows
from ml.table import Table

Rung = Literal[
    "simple_mean",
    "bgnbd",
    "cnbd",
    "recency_frequency",
    "logistic_rfm",
    "logistic",
    "xgboost",
    "mean",
]

RUNGS: Final[tuple[Rung, ...]] = (
    "simple_mean",
    "bgnbd",
    "cnbd",
    "recency_frequency",
    "logistic_rfm",
    "mean",
    "logistic",
    "xgboost",
)
"""From the steadiest up: of few members models of few parameters are hard to beat, and a mean errs
less by chance than the models in it."""

MIXED: Final[tuple[Rung, ...]] = ("bgnbd", "cnbd", "logistic", "xgboost")
"""What "mean" is a mean of."""

SIMPLE: Final[tuple[Rung, ...]] = ("bgnbd", "cnbd", "logistic_rfm")
"""What "simple_mean" is the even mean of: models of four to six parameters each."""

EVEN: Final = (1 / 6, 1 / 6, 1 / 3, 1 / 3)
"""Their weights before any trial: the two models of buying are of one kind and share a vote."""

_ROWS_FOR_MEAN: Final = 5_000
_PULL: Final = 120.0
_PENALTY_RFM: Final = 30.0


@dataclass(frozen=True, eq=False)
class Models:
    """Trained models; `logistic` and `booster` read the same columns `names`.

    `logistic_rfm` reads those of `table.SHAPE`; models of older formats have none.
    """

    names: tuple[str, ...]
    table: Table
    logistic: Logistic
    booster: Booster
    weights: tuple[float, ...] = EVEN
    logistic_rfm: Logistic | None = None

    def log_odds(self, matrix: Matrix, *, threads: int = 0) -> dict[Rung, F64]:
        """Log-odds of falling silent by each rung; "mean" weighs those of `MIXED`.

        Models of older formats have neither "logistic_rfm" nor "simple_mean".
        """
        values = matrix.only(self.names)
        answer: dict[Rung, F64] = {
            "bgnbd": logit(matrix.column("bgnbd_silent")),
            "cnbd": logit(matrix.column("cnbd_silent")),
            "recency_frequency": logit(self.table.chance(matrix.only(table.COLUMNS))),
            "logistic": self.logistic.log_odds(values),
            "xgboost": self.booster.log_odds(values, threads=threads),
        }
        if self.logistic_rfm is not None:
            answer["logistic_rfm"] = self.logistic_rfm.log_odds(matrix.only(table.SHAPE))
            answer["simple_mean"] = np.mean([answer[rung] for rung in SIMPLE], axis=0)
        return mixed(answer, self.weights)

    def weighing(self, weights: tuple[float, ...]) -> "Models":
        """The same models in another mean."""
        return replace(self, weights=weights)


def fit(rows: Rows, *, seed: int = 0, threads: int = 1, by: Learning = HERE) -> Models:
    """Train every kind that is trained on rows; the models of buying come with the features.

    `by` says where the rows lie that the learned models are fitted to.
    """
    return Models(
        rows.names,
        table.fit(rows.shape[:, : len(table.COLUMNS)], rows.outcome),
        by.regress(rows),
        by.boost(rows, seed=seed, threads=threads),
        logistic_rfm=logistic.fit(rows.shape, rows.outcome, penalty=_PENALTY_RFM),
    )


def mixed(log_odds: dict[Rung, F64], weights: tuple[float, ...]) -> dict[Rung, F64]:
    """Log-odds with "mean" as the sum of those of `MIXED`, each times its weight.

    Weights that add up to more than one spread the probabilities: a mean of models that err each
    in its own way is too timid (Ranjan & Gneiting 2010, Combining probability forecasts). The
    spread leaves the mean probability as the even mean has it.
    """
    parts = np.stack([log_odds[rung] for rung in MIXED])
    answer = dict(log_odds)
    answer["mean"] = np.asarray(weights) @ parts
    return answer


@dataclass(frozen=True, eq=False)
class Trial:
    """Log-odds of each rung at a past origin, by models that knew nothing after it."""

    members: Numbers
    outcome: F64
    log_odds: dict[Rung, F64]


def weigh(trials: list[Trial]) -> tuple[float, ...]:
    """Weights of `MIXED` with the least log-loss on past origins, none below zero.

    Each origin has a base rate of its own, so that a drifting season does not decide. The weights
    are pulled to `EVEN` with the strength of some hundred members, so that few cannot move them.
    """
    if not trials:
        return EVEN
    even = np.array(EVEN)
    size = len(even)
    parts = [np.stack([trial.log_odds[rung] for rung in MIXED], axis=1) for trial in trials]

    def loss(theta: F64) -> tuple[float, F64]:
        off = theta[:size] - even
        value, slope = _PULL * float(off @ off), np.zeros(len(theta))
        slope[:size] = 2 * _PULL * off
        for place, (part, trial) in enumerate(zip(parts, trials, strict=True), start=size):
            said = part @ theta[:size] + theta[place]
            value += float(np.logaddexp(0, np.where(trial.outcome > 0, -said, said)).sum())
            over = sigmoid(said) - trial.outcome
            slope[:size] += over @ part
            slope[place] = over.sum()
        return value, slope

    start = np.concatenate([even, np.zeros(len(trials))])
    bounds = [(0.0, None)] * size + [(-30.0, 30.0)] * len(trials)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return tuple(float(weight) for weight in found.x[:size])


def tested(trials: list[Trial]) -> list[Trial]:
    """The trials with a "mean" whose weights were learned on the other trials only."""
    answer: list[Trial] = []
    for place, trial in enumerate(trials):
        weights = weigh(trials[:place] + trials[place + 1 :])
        answer.append(replace(trial, log_odds=mixed(trial.log_odds, weights)))
    return answer


def choose(trials: list[Trial], rows: int) -> Rung:
    """The steadiest rung within one standard error of the best on past origins.

    Compared by log-loss after each has been given the right base rate, so that a drifting
    season does not decide which model ranks and spreads best; the error is that of the paired
    difference over members. Without trials, `rows` of training decide: few mean the simple mean.
    """
    if not trials:
        return "mean" if rows >= _ROWS_FOR_MEAN else "simple_mean"
    members = np.concatenate([trial.members for trial in trials])
    losses = {
        rung: np.concatenate([_loss(trial.outcome, trial.log_odds[rung]) for trial in trials])
        for rung in RUNGS
    }
    best = min(RUNGS, key=lambda rung: float(losses[rung].mean()))
    for rung in RUNGS:
        if _excess(losses[rung] - losses[best], members) <= 0:
            return rung
    return best


def _loss(outcome: F64, log_odds: F64) -> F64:
    fair = log_odds + moved(log_odds, float(outcome.mean()))
    return np.logaddexp(0, np.where(outcome > 0, -fair, fair))


def _excess(difference: F64, members: Numbers) -> float:
    """The mean difference less its standard error, members taken as the independent units."""
    _, group = np.unique(members, return_inverse=True)
    total = np.bincount(group, weights=difference - difference.mean())
    error = float(np.sqrt((total**2).sum())) / len(difference)
    return float(difference.mean()) - error
