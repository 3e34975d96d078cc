"""Logistic regression on squashed, standardised columns, by Newton's method."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import solve

from ml.arrays import F32, F64, sigmoid

_ROUNDS: Final = 30
REACH: Final = 4.0
"""No standardised value counts for more than so many standard deviations."""
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
    return np.clip(np.nan_to_num(scaled, nan=0.0), -REACH, REACH)


def fit(values: F32, outcome: F64, *, penalty: float = 10.0) -> Logistic:
    """The weights of least penalised log-loss; `penalty` is half the weight of |w|^2.

    The intercept is not penalised. Columns need not be independent. Of very many rows every
    n-th is taken: 50,000 settle so few weights.
    """
    chosen = slice(None, None, stride_of(len(values)))
    values, outcome = values[chosen], outcome[chosen]
    number, total = totals(values)
    mean = total / np.maximum(number, 1)
    sd = deviation(number, squares(values, mean))
    rows = design(values, mean, sd)
    weight = newton(lambda weight: normal(rows, outcome, weight), rows.shape[1], penalty)
    return Logistic(mean, sd, weight[:-1], float(weight[-1]))


def stride_of(rows: int) -> int:
    """Every how many-th of so many rows is learned from."""
    return max(-(-rows // _MOST_ROWS), 1)


def totals(values: F32) -> tuple[F64, F64]:
    """How many known values each column has, and the sum of what `squash` makes of them."""
    squashed = _squash(values)
    known = ~np.isnan(squashed)
    return known.sum(axis=0).astype(np.float64), np.where(known, squashed, 0).sum(axis=0)


def squares(values: F32, mean: F64) -> F64:
    """The sum of each column's squared distances from its mean."""
    return np.nansum((_squash(values) - mean) ** 2, axis=0)


def deviation(number: F64, squared: F64) -> F64:
    """Standard deviations of columns from sums of squares; 1 where a column hardly varies."""
    sd = np.sqrt(squared / np.maximum(number, 1))
    return np.where(sd > 1e-9, sd, 1.0)


def design(values: F32, mean: F64, sd: F64) -> F64:
    """Rows as the weights take them, and a last column of ones for the intercept."""
    return np.column_stack([_standard(values, mean, sd), np.ones(len(values))])


def normal(rows: F64, outcome: F64, weight: F64) -> tuple[F64, F64]:
    """Slope and curvature of the log-loss of rows at some weights: they add up over rows."""
    chance = sigmoid(rows @ weight)
    slope = rows.T @ (chance - outcome)
    return slope, (rows * (chance * (1 - chance) + 1e-9)[:, None]).T @ rows


def newton(sums: Callable[[F64], tuple[F64, F64]], columns: int, penalty: float = 10.0) -> F64:
    """The weights of least penalised loss, by what `sums` says of the slope and curvature there."""
    ridge = np.full(columns, penalty)
    ridge[-1] = 1e-6
    weight = np.zeros(columns)
    for _ in range(_ROUNDS):
        slope, curve = sums(weight)
        slope, curve = slope + ridge * weight, curve + np.diag(ridge)
        step = np.asarray(solve(curve, slope, assume_a="pos"), dtype=np.float64)
        weight -= step
        if np.abs(step).max() < 1e-6:
            break
    return weight
