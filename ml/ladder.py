"""The kinds of model side by side, and which of them a platform's own past prefers."""

from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
from scipy.optimize import brentq

from ml import booster, logistic
from ml.arrays import F64, Numbers, logit, sigmoid
from ml.booster import Booster
from ml.features import Matrix
from ml.logistic import Logistic
from ml.samples import Rows

Rung = Literal["bgnbd", "logistic", "xgboost", "mean"]

RUNGS: Final[tuple[Rung, ...]] = ("bgnbd", "logistic", "xgboost", "mean")
"""From the simplest up: on few members the simple ones are hard to beat."""

_ROWS_FOR_MEAN: Final = 5_000


@dataclass(frozen=True, eq=False)
class Models:
    """Trained models that read the same columns `names`."""

    names: tuple[str, ...]
    logistic: Logistic
    booster: Booster

    def log_odds(self, matrix: Matrix, *, threads: int = 0) -> dict[Rung, F64]:
        """Log-odds of falling silent by each rung; "mean" is the mean of the other three."""
        values = matrix.only(self.names)
        answer: dict[Rung, F64] = {
            "bgnbd": logit(matrix.column("bgnbd_silent")),
            "logistic": self.logistic.log_odds(values),
            "xgboost": self.booster.log_odds(values, threads=threads),
        }
        answer["mean"] = (answer["bgnbd"] + answer["logistic"] + answer["xgboost"]) / 3
        return answer


def fit(rows: Rows, *, seed: int = 0, threads: int = 1) -> Models:
    """Train every kind that is trained on rows; BG/NBD comes with the features."""
    return Models(
        rows.names,
        logistic.fit(rows.values, rows.outcome),
        booster.fit(rows.values, rows.outcome, seed=seed, threads=threads),
    )


@dataclass(frozen=True, eq=False)
class Trial:
    """Log-odds of each rung at a past origin, by models that knew nothing after it."""

    members: Numbers
    outcome: F64
    log_odds: dict[Rung, F64]


def moved(log_odds: F64, rate: float) -> float:
    """What to add to log-odds so that the mean probability becomes `rate` (0 < rate < 1)."""
    low, high = -30 - float(log_odds.max()), 30 - float(log_odds.min())
    root = brentq(lambda by: float(sigmoid(log_odds + by).mean()) - rate, low, high)
    return cast("float", root)


def choose(trials: list[Trial], rows: int) -> Rung:
    """The simplest rung within one standard error of the best on past origins.

    Compared by log-loss after each has been given the right base rate, so that a drifting
    season does not decide which model ranks and spreads best; the error is that of the paired
    difference over members. Without trials, `rows` of training decide: few mean BG/NBD.
    """
    if not trials:
        return "mean" if rows >= _ROWS_FOR_MEAN else "bgnbd"
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
