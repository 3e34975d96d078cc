"""Intervals by resampling members: all of a member's rows are drawn together, at every cutoff.

Rows of one member at several cutoffs are no independent evidence, so members are what is drawn
(the cluster bootstrap; Davison & Hinkley 1997, section 3.8). Every figure of every draw comes from
one product of two matrices: how often each member was drawn, and how many rows each member has at
each distinct score.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from ml.arrays import F64, I64, Numbers

DRAWS: Final = 1_000
FIGURES: Final = ("roc_auc", "pr_auc", "brier", "ece", "lift")
ECE_BINS: Final = 10
_UNITS: Final = 25_000
_LEVELS: Final = 2_048
# Of so many cells, numpy's passes over an array stay within a core's cache.
_CELLS: Final = 1 << 17


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval; NaN where the data say nothing."""

    value: float
    low: float
    high: float


def interval(value: float, drawn: F64) -> Interval:
    """The central 95% of the draws, moved so that their median is the figure itself.

    Resampling adds noise, which some figures take for error (ECE is never below zero, so noise
    only raises it); moving the draws takes that out and changes the others by next to nothing.
    """
    known = drawn[~np.isnan(drawn)]
    if not len(known) or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    low, middle, high = np.quantile(known, [0.025, 0.5, 0.975])
    return Interval(value, float(value + low - middle), float(value + high - middle))


class Bootstrap:
    """The same draws of the same members for every model and cutoff."""

    def __init__(self, everybody: Numbers, *, draws: int = DRAWS, seed: int = 0) -> None:
        """Of members without repeats, ascending.

        More than 25,000 members are dealt to as many groups at random, and groups are drawn:
        members are independent, so groups of them are too.
        """
        random = np.random.default_rng(seed)
        self._everybody = everybody
        self._unit = np.arange(len(everybody))
        units = max(min(len(everybody), _UNITS), 1)
        if len(everybody) > units:
            self._unit = random.permutation(len(everybody)) % units
        self.draws = draws
        # times[u, d]: how often unit u is in draw d.
        self._times = np.empty((units, draws), dtype=np.float32)
        for draw in range(draws):
            taken = random.integers(0, units, units)
            self._times[:, draw] = np.bincount(taken, minlength=units)

    def figures(self, members: Numbers, outcome: F64, score: F64) -> dict[str, F64]:
        """Every figure of `ml.evaluation` in every draw; NaN in draws with one outcome only.

        Beyond 2,048 distinct scores, neighbours in rank share a level.
        """
        unit, level, levels = self._units(members), *_levels(score)
        rows = csr_matrix((np.ones(len(level)), (level, unit)), (levels, len(self._times)))
        hits = csr_matrix((outcome, (level, unit)), (levels, len(self._times)))
        gaps = csr_matrix((score - outcome, (level, unit)), (levels, len(self._times)))
        squares = np.bincount(unit, weights=(score - outcome) ** 2, minlength=len(self._times))
        answer = {figure: np.empty(self.draws) for figure in FIGURES}
        step = max(_CELLS // levels, 16)
        for start in range(0, self.draws, step):
            times = self._times[:, start : start + step].astype(np.float64)
            size, hit, gap = rows @ times, hits @ times, gaps @ times
            here = slice(start, start + step)
            for figure, values in _ranked(size, hit).items():
                answer[figure][here] = values
            answer["brier"][here] = squares @ times / size.sum(axis=0)
            answer["ece"][here] = _ece(size, gap)
        return answer

    def shares(self, members: Numbers, part: Numbers, whole: Numbers) -> F64:
        """The share of `part` in `whole` (both booleans by row) in every draw; NaN of none."""
        unit, units = self._units(members), len(self._times)
        top = np.bincount(unit, weights=(part & whole).astype(np.float64), minlength=units)
        all_of = np.bincount(unit, weights=whole.astype(np.float64), minlength=units)
        number = all_of @ self._times
        return np.where(number > 0, (top @ self._times) / np.maximum(number, 1), np.nan)

    def _units(self, members: Numbers) -> I64:
        return self._unit[np.searchsorted(self._everybody, members)]


def _levels(score: F64) -> tuple[I64, int]:
    """The level of each row, the highest score first, and how many levels there are."""
    distinct, level = np.unique(-score, return_inverse=True)
    number = len(distinct)
    if number > _LEVELS:
        rank = np.argsort(np.argsort(-score, kind="stable"), kind="stable")
        return rank * _LEVELS // len(score), _LEVELS
    return level.astype(np.int64), number


def _ranked(size: F64, hit: F64, share: float = 0.1) -> dict[str, F64]:
    """ROC AUC, PR AUC and lift of draws in columns; rows are levels, the highest score first."""
    reached, hits = np.cumsum(size, axis=0), np.cumsum(hit, axis=0)
    every, silent = reached[-1], hits[-1]
    active = every - silent
    with np.errstate(divide="ignore", invalid="ignore"):
        below = active - (reached - hits) + (size - hit) / 2
        roc = (hit * below).sum(axis=0) / (silent * active)
        precision = hits / np.maximum(reached, 1)
        average = (hit * precision).sum(axis=0) / silent
        room = np.maximum(every * share, 1.0)
        taken = np.clip(room - (reached - size), 0, size) / np.maximum(size, 1)
        lift = (hit * taken).sum(axis=0) / room / (silent / every)
    return {"roc_auc": roc, "pr_auc": average, "lift": lift}


def _ece(size: F64, gap: F64) -> F64:
    """ECE of draws in columns, with bins of equal size by weighted rank from the lowest score."""
    every = size.sum(axis=0)
    middle = every - np.cumsum(size, axis=0) + (size - 1) / 2
    place = np.clip((middle * ECE_BINS / np.maximum(every, 1)).astype(np.int64), 0, ECE_BINS - 1)
    cell = place + np.arange(size.shape[1]) * ECE_BINS
    total = np.bincount(cell.ravel(), gap.ravel(), minlength=ECE_BINS * size.shape[1])
    return np.abs(total.reshape(-1, ECE_BINS)).sum(axis=1) / every
