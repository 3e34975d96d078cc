"""The simple models a real one has to beat: recency alone, RFM scores, logistic regression."""

from typing import Final

import numpy as np

from ml import logistic
from ml.arrays import F32, F64, I64, sigmoid
from ml.samples import Rows, Sample

_RFM: Final = ("recency", "orders_365", "spend_365", "basket_mean", "orders_90")
_QUINTILES: Final = (0.2, 0.4, 0.6, 0.8)
_PRIOR: Final = 10.0


def stacked(samples: list[Sample], names: tuple[str, ...] = _RFM) -> Rows:
    """Rows of the named columns only, without the trainer's choice of columns."""
    return Rows(
        np.concatenate([sample.matrix.only(names) for sample in samples]),
        np.concatenate([sample.outcome for sample in samples]),
        names,
    )


def recency(train: list[Sample], test: Sample) -> F64:
    """Probability from days since the last order, by a logistic curve in its logarithm."""
    rows = stacked(train, ("recency",))
    model = logistic.fit(rows.values, rows.outcome)
    return sigmoid(model.log_odds(test.matrix.only(("recency",))))


def logistic_rfm(train: list[Sample], test: Sample) -> F64:
    """Logistic regression on five columns of recency, frequency and money."""
    rows = stacked(train)
    return sigmoid(logistic.fit(rows.values, rows.outcome).log_odds(test.matrix.only(_RFM)))


def rfm(train: list[Sample], test: Sample) -> F64:
    """The sum of three quintile scores (recency, order-days, spend in 180 days).

    Quintiles and the share of silent members at each sum come from the training cutoffs, the
    shares drawn towards the overall one by ten members' weight.
    """
    rows = stacked(train, _RFM[:3])
    edges = np.quantile(rows.values.astype(np.float64), _QUINTILES, axis=0)
    score = _score(rows.values, edges)
    size = np.bincount(score, minlength=13)
    silent = np.bincount(score, weights=rows.outcome, minlength=13)
    rate = (silent + _PRIOR * rows.outcome.mean()) / (size + _PRIOR)
    return rate[_score(test.matrix.only(_RFM[:3]), edges)]


def _score(values: F32, edges: F64) -> I64:
    """0 for the best customers (recent, frequent, generous) to 12 for the worst."""
    ranks = [np.searchsorted(edges[:, k], values[:, k].astype(np.float64)) for k in range(3)]
    return (ranks[0] + (4 - ranks[1]) + (4 - ranks[2])).astype(np.int64)
