"""Logistic regression on squashed, standardised columns, by Newton's method."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import solve

from ml.arrays import F32, F64, sigmoid

_ROUNDS: Final = 30
_REACH: Final = 4.0
_MOST_ROWS: Final = 50_000


@dataclass(frozen=True, eq=False)
class Logistic:
    """Weights for standardised columns, with what standardises them.

    A value x becomes sign(x) log(1 + |x|), less `mean`, over `sd`, within four sd; unknown values
    become 0, the mean.
    """

    mean: F64
    sd: F64
    weight: F64
    intercept: float

    def log_odds(self, values: F32) -> F64:
        """Log-odds of falling silent for each row."""
        return self.standard(values) @ self.weight + self.intercept

    def standard(self, values: F32) -> F64:
        """The columns as the weights take them."""
        return _standard(values, self.mean, self.sd)


def _squash(values: F32) -> F64:
    wide = values.astype(np.float64)
    return np.sign(wide) * np.log1p(np.abs(wide))


def _standard(values: F32, mean: F64, sd: F64) -> F64:
    scaled = (_squash(values) - mean) / sd
    return np.clip(np.nan_to_num(scaled, nan=0.0), -_REACH, _REACH)


def fit(values: F32, outcome: F64, *, penalty: float = 10.0) -> Logistic:
    """The weights of least penalised log-loss; `penalty` is half the weight of |w|^2.

    The intercept is not penalised. Columns need not be independent. Of very many rows every
    n-th is taken: 50,000 settle so few weights.
    """
    stride = -(-len(values) // _MOST_ROWS)
    values, outcome = values[::stride], outcome[::stride]
    squashed = _squash(values)
    known = ~np.isnan(squashed)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, squashed, 0).sum(axis=0) / number
    spread = np.where(known, squashed - mean, 0)
    sd = np.sqrt((spread**2).sum(axis=0) / number)
    sd = np.where(sd > 1e-9, sd, 1.0)
    design = np.column_stack([_standard(values, mean, sd), np.ones(len(values))])
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 1e-6
    weight = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        chance = sigmoid(design @ weight)
        slope = design.T @ (chance - outcome) + ridge * weight
        curve = (design * (chance * (1 - chance) + 1e-9)[:, None]).T @ design + np.diag(ridge)
        step = np.asarray(solve(curve, slope, assume_a="pos"), dtype=np.float64)
        weight -= step
        if np.abs(step).max() < 1e-6:
            break
    return Logistic(mean, sd, weight[:-1], float(weight[-1]))
