"""Names of the array types that cross module borders."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
Bools = NDArray[np.bool_]
Numbers = NDArray[Any]

DAY = 86_400
"""Seconds in a day."""


def logit(probability: F64) -> F64:
    """Log-odds of probabilities, kept finite by clipping at 1e-6 from either end."""
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def sigmoid(score: F64) -> F64:
    """Probabilities of log-odds, without overflow for large negative scores."""
    positive = 1 / (1 + np.exp(-np.abs(score)))
    return np.where(score >= 0, positive, 1 - positive)


def moved(log_odds: F64, rate: float) -> float:
    """What to add to log-odds so that the mean probability becomes `rate` (0 < rate < 1)."""
    low, high = -30 - float(log_odds.max()), 30 - float(log_odds.min())
    root = brentq(lambda by: float(sigmoid(log_odds + by).mean()) - rate, low, high)
    return cast("float", root)
