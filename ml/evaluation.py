"""How good probabilities are: ranking, calibration and lift, with ties counted right.

Every function takes outcomes (1.0 = fell silent) and scores of equal length. Where only one
outcome occurs, rankings mean nothing and the answer is NaN.
"""

from dataclasses import dataclass

import numpy as np

from ml.arrays import F64, I64, Numbers
from ml.bootstrap import DRAWS, ECE_BINS, Bootstrap, interval


@dataclass(frozen=True)
class Metrics:
    """The five figures of a back-test, plus what they were taken over."""

    roc_auc: float
    pr_auc: float
    brier: float
    ece: float
    lift: float
    members: int
    base_rate: float


def measure(outcome: F64, probability: F64) -> Metrics:
    """All figures of one set of predictions."""
    return Metrics(
        roc_auc=roc_auc(outcome, probability),
        pr_auc=pr_auc(outcome, probability),
        brier=brier(outcome, probability),
        ece=ece(outcome, probability),
        lift=lift(outcome, probability),
        members=len(outcome),
        base_rate=float(np.mean(outcome)),
    )


def _steps(outcome: F64, score: F64, weight: F64) -> tuple[F64, F64]:
    """Weighted positives and negatives at each distinct score, from the highest down."""
    _, group = np.unique(-score, return_inverse=True)
    return (
        np.bincount(group, weights=outcome * weight).astype(np.float64),
        np.bincount(group, weights=(1 - outcome) * weight).astype(np.float64),
    )


def roc_auc(outcome: F64, score: F64, weight: F64 | None = None) -> float:
    """P(a silent member scores above an active one), ties counted one half."""
    positive, negative = _steps(outcome, score, np.ones(len(score)) if weight is None else weight)
    total = positive.sum() * negative.sum()
    if total == 0:
        return float("nan")
    below = negative.sum() - np.cumsum(negative)
    return float((positive * (below + negative / 2)).sum() / total)


def pr_auc(outcome: F64, score: F64) -> float:
    """Average precision: precision at each distinct score, weighted by the recall it adds."""
    positive, negative = _steps(outcome, score, np.ones(len(score)))
    if positive.sum() == 0:
        return float("nan")
    hits = np.cumsum(positive)
    precision = hits / (hits + np.cumsum(negative))
    return float((precision * positive).sum() / positive.sum())


def brier(outcome: F64, probability: F64) -> float:
    """Mean squared difference between probability and outcome."""
    return float(np.mean((probability - outcome) ** 2))


def bins(probability: F64, number: int = ECE_BINS) -> I64:
    """A bin for each member: `number` bins of equal size by rank, equal scores kept together.

    A run of equal scores goes to the bin of its middle rank, so that the order of the rows does
    not matter; bins may then differ in size or be empty.
    """
    _, group, size = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(size) - (size + 1) / 2
    return np.minimum((middle * number / len(probability)).astype(np.int64), number - 1)[group]


def ece(outcome: F64, probability: F64, number: int = ECE_BINS) -> float:
    """Expected calibration error over ten bins of equal frequency (see `bins`).

    The mean over members of |mean probability - share of silent members| of their bin.
    """
    group = bins(probability, number)
    gap = np.bincount(group, weights=probability - outcome, minlength=number)
    return float(np.abs(gap).sum() / len(outcome))


def lift(outcome: F64, score: F64, share: float = 0.1) -> float:
    """Share of silent members among the top `share` by score, over their share among all.

    Where a run of equal scores straddles the border, it counts with the share that fits.
    """
    positive, negative = _steps(outcome, score, np.ones(len(score)))
    if positive.sum() == 0:
        return float("nan")
    size = positive + negative
    room = max(len(outcome) * share, 1.0)
    taken = np.clip(room - (np.cumsum(size) - size), 0, size)
    return float((positive * taken / size).sum() / room / outcome.mean())


@dataclass(frozen=True)
class Gain:
    """A difference of mean ROC AUC with its 95% interval."""

    mean: float
    low: float
    high: float


def paired_gain(
    cutoffs: list[tuple[Numbers, F64, F64, F64]], *, draws: int = DRAWS, seed: int = 0
) -> Gain:
    """How much better the first score ranks than the second: a paired bootstrap over members.

    Each cutoff is (members, outcome, first score, second score). A draw takes members with
    replacement, the same ones at every cutoff, and averages the AUC over cutoffs.
    """
    everybody = np.unique(np.concatenate([members for members, *_ in cutoffs]))
    boot = Bootstrap(everybody, draws=draws, seed=seed)
    drawn = np.mean(
        [
            boot.figures(members, outcome, first)["roc_auc"]
            - boot.figures(members, outcome, second)["roc_auc"]
            for members, outcome, first, second in cutoffs
        ],
        axis=0,
    )
    seen = [
        roc_auc(outcome, first) - roc_auc(outcome, second) for _, outcome, first, second in cutoffs
    ]
    told = interval(float(np.mean(seen)), drawn)
    return Gain(told.value, told.low, told.high)
