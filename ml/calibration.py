"""Keeping probabilities honest while the base rate drifts.

Most of the calibration error on order files is a moving base rate, so the only correction is an
addition to the log-odds. Three are known: none, half the way to the rate of the last closed
window, and half the way to that rate plus last year's change over the same season. A correction
is used only where it made past origins better.
"""

from typing import Final, Literal

import numpy as np

from ml.arrays import DAY, F64, sigmoid
from ml.evaluation import brier
from ml.ladder import moved
from ml.samples import Past

Correction = Literal["none", "last_rate", "season"]

CORRECTIONS: Final[tuple[Correction, ...]] = ("none", "last_rate", "season")
_STRENGTH: Final = 0.5
_YEAR: Final = 365
_SEASON_FLOOR: Final = 60


def shift(past: Past, as_of: int, log_odds: F64, kind: Correction) -> float:
    """What `kind` adds to the log-odds of the population at `as_of`.

    Reads outcomes of windows closed by `as_of` only. 0 where the history is too short for the
    kind.
    """
    rate = _target(past, as_of, kind)
    if not 0 < rate < 1 or not len(log_odds):
        return 0.0
    return _STRENGTH * moved(log_odds, rate)


def _target(past: Past, as_of: int, kind: Correction) -> float:
    closed = as_of - past.plan.horizon_days * DAY
    if kind == "none":
        return float("nan")
    rate = past.rate(closed)
    if kind == "last_rate":
        return rate
    first = int(past.facts.order_at.min())
    if closed - _YEAR * DAY - first < _SEASON_FLOOR * DAY:
        return float("nan")
    change = past.rate(as_of - _YEAR * DAY) - past.rate(closed - _YEAR * DAY)
    return float(np.clip(rate + change, 0.01, 0.99))


def choose(past: Past, trials: list[tuple[int, F64, F64]]) -> Correction:
    """The correction of least mean Brier score over past (origin, outcome, log-odds)."""
    if not trials:
        return "none"

    def cost(kind: Correction) -> float:
        scores = [
            brier(outcome, sigmoid(log_odds + shift(past, origin, log_odds, kind)))
            for origin, outcome, log_odds in trials
        ]
        return float(np.mean(scores))

    return min(CORRECTIONS, key=cost)
