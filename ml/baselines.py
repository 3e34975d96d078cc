"""The models a real one has to beat: recency, tables, RFM scores, logistic regression, other trees.

LightGBM stands among them where it is installed; the product does not need it.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import numpy as np

from ml import logistic, table
from ml.arrays import F32, F64, I64, sigmoid
from ml.features import Matrix
from ml.samples import Rows, Sample

Said = Callable[[Matrix], F64]
"""A fitted model: the probability of falling silent of each member of a matrix."""

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


def recency(train: list[Sample]) -> Said:
    """Probability from days since the last order, by a logistic curve in its logarithm."""
    rows = stacked(train, ("recency",))
    model = logistic.fit(rows.values, rows.outcome)
    return lambda matrix: sigmoid(model.log_odds(matrix.only(("recency",))))


def logistic_rfm(train: list[Sample]) -> Said:
    """Logistic regression on five columns of recency, frequency and money."""
    rows = stacked(train)
    model = logistic.fit(rows.values, rows.outcome)
    return lambda matrix: sigmoid(model.log_odds(matrix.only(_RFM)))


def recency_frequency(train: list[Sample]) -> Said:
    """The share of silent members in the ladder's table of recency by orders in 365 days."""
    rows = stacked(train, table.COLUMNS)
    model = table.fit(rows.values, rows.outcome)
    return lambda matrix: model.chance(matrix.only(table.COLUMNS))


def lightgbm(rows: Rows, *, seed: int = 0) -> Said:
    """LightGBM on the product's own columns, with settings as near to its trees' as there are.

    Raises ImportError where it is not installed.
    """
    library: Any = import_module("lightgbm")
    settings = {
        "objective": "binary",
        "num_leaves": 8,
        "learning_rate": 0.04,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5,
        "max_bin": 127,
        "num_threads": 1,
        "deterministic": True,
        "seed": seed,
        "verbosity": -1,
    }
    data = library.Dataset(rows.values, label=rows.outcome)
    trees = library.train(settings, data, num_boost_round=150)
    return lambda matrix: np.asarray(trees.predict(matrix.only(rows.names)), dtype=np.float64)


def rfm(train: list[Sample]) -> Said:
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
    return lambda matrix: rate[_score(matrix.only(_RFM[:3]), edges)]


def _score(values: F32, edges: F64) -> I64:
    """0 for the best customers (recent, frequent, generous) to 12 for the worst."""
    ranks = [np.searchsorted(edges[:, k], values[:, k].astype(np.float64)) for k in range(3)]
    return (ranks[0] + (4 - ranks[1]) + (4 - ranks[2])).astype(np.int64)
