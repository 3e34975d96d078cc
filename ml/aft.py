"""When will a member order again: an accelerated failure time model of the days until then.

Waits that had not ended by the day of training are right-censored: it is known only that they are
longer. Evaluated beside what a person would reckon: the member's own median interval from the last
order on.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import log_ndtr

from ml.arrays import F32, F64, Bools
from ml.booster import WAIT_SCALE, Booster
from ml.features import Matrix
from ml.samples import Past, Rows
from ml.waited import SOONEST, Waited, waited

__all__ = [
    "LONGEST",
    "Timing",
    "Waited",
    "Waits",
    "fit",
    "lasting",
    "measure",
    "own_rhythm",
    "waited",
]

LONGEST: Final = 1_825.0
"""Five years: no wait is told longer."""

_MOST_PAIRED: Final = 3_000


@dataclass(frozen=True, eq=False)
class Waits:
    """Trees for the logarithm of the days until the next order."""

    trees: Booster

    def days(self, values: F32, *, threads: int = 0) -> F64:
        """The median of the days until each row's next order, from half a day to five years."""
        return self.within(self.trees.log_odds(values, threads=threads))

    def within(self, log_days: F64) -> F64:
        """The days that logarithms mean, from half a day to five years."""
        return np.clip(np.exp(np.clip(log_days, -20, 20)), SOONEST, LONGEST)


def fit(past: Past, rows: Rows, *, as_of: int, threads: int = 1) -> Waits:
    """Learn from rows of the past how long their members waited, as of an instant."""
    return Waits(past.boost_waits(rows, as_of=as_of, threads=threads))


def lasting(log_odds: F64, told: F64, horizon_days: int, days: F64) -> F64:
    """Log-odds of no order in so many `days`, from those of no order in `horizon_days`.

    `told` are the medians of `Waits.days`. A model's own odds are moved by as much as the odds of
    its waits differ between the two lengths of time: what both know stays as the model has it,
    and its horizon itself moves nothing.

    >>> odds, medians = np.array([0.4, 0.4]), np.array([20.0, 80.0])
    >>> np.round(lasting(odds, medians, 45, np.array([45.0, 45.0])), 2).tolist()
    [0.4, 0.4]
    >>> np.round(lasting(odds, medians, 45, np.array([90.0, 60.0])), 2).tolist()
    [-0.64, 0.01]
    """

    def odds(length: float | F64) -> F64:
        late = (np.log(told) - np.log(length)) / WAIT_SCALE
        return np.asarray(log_ndtr(late) - log_ndtr(-late), dtype=np.float64)

    return log_odds + odds(np.maximum(days, SOONEST)) - odds(horizon_days)


def own_rhythm(matrix: Matrix) -> F64:
    """Days until each member is due by the own median interval; of one order all members' median.

    Those overdue are due at once.
    """
    interval = matrix.column("interval_median")
    usual = float(np.nanmedian(interval)) if np.isfinite(interval).any() else LONGEST
    return np.maximum(
        np.where(np.isfinite(interval), interval, usual) - matrix.column("recency"), 0
    )


@dataclass(frozen=True)
class Timing:
    """How well days were told, over waits that are followed for `within` days at the most.

    `concordance` is Harrell's: of two members, is the one who waited longer told so. `error` is the
    mean absolute error in days, where longer waits count as `within`, told or come.
    """

    concordance: float
    error: float
    within: float


def measure(seen: Waited, told: F64, within: float) -> Timing:
    """Judge days told of members who were all followed for `within` days, if no order came before.

    Waits that did come are not judged alone: they are the short ones, and to say "at once" of
    everybody would do well there. Of very many members every n-th is paired.
    """
    came, days = seen.came & (seen.days < within), np.minimum(seen.days, within)
    error = np.abs(np.minimum(told, within) - days)
    stride = max(-(-len(told) // _MOST_PAIRED), 1)
    return Timing(
        _concordance(days[::stride], came[::stride], told[::stride]),
        float(error.mean()) if len(error) else float("nan"),
        within,
    )


def _concordance(days: F64, came: Bools, told: F64) -> float:
    """Among pairs of which one surely waited longer, the share told so; ties count half."""
    longer = (days[None, :] > days[:, None]) | (
        (days[None, :] == days[:, None]) & ~came[None, :] & came[:, None]
    )
    pairs = longer & came[:, None]
    difference = told[None, :] - told[:, None]
    right = (difference > 0) + 0.5 * (difference == 0)
    total = int(pairs.sum())
    return float(right[pairs].sum() / total) if total else float("nan")
