"""The only door to xgboost: train, predict, explain, and bytes."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xgboost as xgb

from ml.arrays import F32, F64, Bools

MAX_BIN: Final = 128
ROUNDS: Final = 150
PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.04,
    "min_child_weight": 50,
    "colsample_bytree": 0.3,
    "subsample": 0.8,
    "lambda": 5,
    "max_bin": MAX_BIN,
}
"""Measured on order files; deeper and longer boosters ranked worse there."""

WAIT_SCALE: Final = 1.2
WAIT_ROUNDS: Final = 60
WAITS: Final[dict[str, Any]] = {
    "objective": "survival:aft",
    "eval_metric": "aft-nloglik",
    "aft_loss_distribution": "normal",
    "aft_loss_distribution_scale": WAIT_SCALE,
    "eta": 0.13,
    "min_child_weight": 5,
}


@dataclass(frozen=True, eq=False)
class Booster:
    """Boosted trees for the log-odds of falling silent."""

    model: xgb.Booster

    def log_odds(self, values: F32, *, threads: int = 0) -> F64:
        """Log-odds for each row; `threads` 0 takes every core. Threads change no bit."""
        self.model.set_param({"nthread": threads})
        margin = self.model.inplace_predict(values, predict_type="margin", missing=np.nan)
        return np.asarray(margin, dtype=np.float64)

    def contributions(self, values: F32, *, threads: int = 0) -> F64:
        """Exact TreeSHAP values [rows, columns + 1] in log-odds; the last column is the bias."""
        self.model.set_param({"nthread": threads})
        matrix = xgb.DMatrix(values, missing=np.nan, nthread=threads or -1)
        return np.asarray(self.model.predict(matrix, pred_contribs=True), dtype=np.float64)

    def to_bytes(self) -> bytes:
        """The trees in xgboost's binary JSON."""
        return bytes(self.model.save_raw("ubj"))


def fit_waits(values: F32, days: F64, came: Bools, *, seed: int = 0, threads: int = 1) -> Booster:
    """Train for the logarithm of a wait in days; of waits not `came` to an end only a part is seen.

    An accelerated failure time model with normal errors of `WAIT_SCALE`: the median wait of a row
    is exp of its margin.
    """
    matrix = xgb.QuantileDMatrix(
        values,
        missing=np.nan,
        max_bin=MAX_BIN,
        nthread=threads,
        label_lower_bound=days,
        label_upper_bound=np.where(came, days, np.inf),
    )
    parameters = PARAMETERS | WAITS | {"seed": seed, "nthread": threads}
    return Booster(xgb.train(parameters, matrix, num_boost_round=WAIT_ROUNDS))


def from_bytes(data: bytes) -> Booster:
    """Trees from `to_bytes`; xgboost's own error if they are damaged."""
    model = xgb.Booster()
    model.load_model(bytearray(data))
    return Booster(model)


def fit(values: F32, outcome: F64, *, seed: int = 0, threads: int = 1) -> Booster:
    """Train on rows `values` with outcomes 0.0 or 1.0.

    The same rows, seed and number of threads give the same trees, bit for bit.
    """
    matrix = xgb.QuantileDMatrix(
        values, label=outcome, missing=np.nan, max_bin=MAX_BIN, nthread=threads
    )
    parameters = PARAMETERS | {"seed": seed, "nthread": threads}
    return Booster(xgb.train(parameters, matrix, num_boost_round=ROUNDS))
