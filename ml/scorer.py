"""All that a model says of many members, at little more than the cost of its trees.

What `Models.log_odds` and `Waits.days` answer, for the chosen rung alone: rows are worked on some
thousands at a time, so that they stay in a core's cache; the trees of both boosters are asked
together (`ml.together`); and the logistic model works in place instead of on copies.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ml import logistic, table, together
from ml.arrays import F32, F64, I64, Bools, logit
from ml.artifact import Artifact
from ml.features import Matrix
from ml.ladder import MIXED, SIMPLE, Models, Rung
from ml.logistic import Logistic
from ml.together import Together

_PART: Final = 16_384
_BLOCK: Final = 512
"""Rows of the logistic model at once: in double precision they fill half of a core's cache."""


@dataclass(frozen=True, eq=False)
class Said:
    """Log-odds of silence before the model's shift, and median days until the next order."""

    log_odds: F64
    days: F64


@dataclass(frozen=True, eq=False)
class Linear:
    """A logistic model whose standardising lies in its bounds and weights."""

    low: F64
    high: F64
    mean: F64
    weight: F64
    intercept: float

    @classmethod
    def of(cls, model: Logistic) -> "Linear":
        """The same model; low and high are laid out for a whole block."""
        weight = model.weight / model.sd
        reach = logistic.REACH * model.sd
        low = np.tile(model.mean - reach, (_BLOCK, 1))
        high = np.tile(model.mean + reach, (_BLOCK, 1))
        start = model.intercept - float((weight * model.mean).sum())
        return cls(low, high, model.mean, weight, start)

    def log_odds(self, values: F32, missing: Bools) -> F64:
        """Log-odds of rows whose `missing` values are NaN. Each row's bits are its own."""
        answer = np.empty(len(values))
        room = np.empty((_BLOCK, values.shape[1]))
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            rows = len(block)
            squashed = np.abs(block, out=room[:rows])
            np.log1p(squashed, out=squashed)
            np.copysign(squashed, block, out=squashed)
            np.minimum(squashed, self.high[:rows], out=squashed)
            np.maximum(squashed, self.low[:rows], out=squashed)
            np.copyto(squashed, self.mean, where=missing[start : start + rows])
            # Not by BLAS, whose sums of a row depend on how many rows there are.
            np.einsum("ij,j->i", squashed, self.weight, out=answer[start : start + rows])
        return answer + self.intercept


class Scorer:
    """A model made ready to score many members."""

    def __init__(self, artifact: Artifact) -> None:
        self._models: Models = artifact.models
        self._voices = voices(artifact)
        self._waits = artifact.waits
        boosters = [self._models.booster] if "xgboost" in self._voices else []
        if artifact.waits is not None:
            boosters.append(artifact.waits.trees)
        self._trees: Together | None = together.join(boosters) if boosters else None
        self._linear = Linear.of(self._models.logistic)
        rfm = self._models.logistic_rfm
        self._rfm = None if rfm is None else Linear.of(rfm)

    def say(self, matrix: Matrix, *, threads: int = 1) -> Said:
        """Log-odds and days of every row. Threads change no bit, nor do other rows."""
        places = np.array([matrix.names.index(name) for name in self._models.names], np.int64)
        said = Said(np.empty(len(matrix.members)), np.full(len(matrix.members), np.nan))

        def put(part: slice) -> None:
            rows = Matrix(matrix.values[part], matrix.names, matrix.members[part])
            self._put(rows, places, Said(said.log_odds[part], said.days[part]))

        parts = list(_parts(len(matrix.members)))
        if threads == 1 or len(parts) < 2:
            for part in parts:
                put(part)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(put, parts))
        return said

    def _put(self, matrix: Matrix, places: I64, into: Said) -> None:
        values = np.take(matrix.values, places, axis=1)
        missing = np.isnan(values)
        margins = None if self._trees is None else self._trees.margins(values, missing)
        total = np.zeros(len(values))
        for rung, weight in self._voices.items():
            if rung == "xgboost" and margins is not None:
                total += weight * margins[:, 0].astype(np.float64)
            elif rung == "logistic":
                total += weight * self._linear.log_odds(values, missing)
            elif rung == "logistic_rfm" and self._rfm is not None:
                few = matrix.only(table.SHAPE)
                total += weight * self._rfm.log_odds(few, np.isnan(few))
            else:
                total += weight * _plain(self._models, matrix, rung)
        into.log_odds[:] = total
        if margins is not None and self._waits is not None:
            into.days[:] = self._waits.within(margins[:, -1].astype(np.float64))


def _plain(models: Models, matrix: Matrix, rung: Rung) -> F64:
    """Log-odds by the rungs that read a column or two."""
    if rung == "recency_frequency":
        return logit(models.table.chance(matrix.only(table.COLUMNS)))
    return logit(matrix.column(f"{rung}_silent"))


def voices(artifact: Artifact) -> dict[Rung, float]:
    """The kinds of model that have a say in the score, and their weights."""
    if artifact.choice == "simple_mean":
        return dict.fromkeys(SIMPLE, 1 / len(SIMPLE))
    if artifact.choice != "mean":
        return {artifact.choice: 1.0}
    weights = zip(MIXED, artifact.models.weights, strict=True)
    return {rung: weight for rung, weight in weights if weight}


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _PART) for start in range(0, rows, _PART))


@lru_cache(maxsize=2)
def scorer(artifact: Artifact) -> Scorer:
    """The model made ready, which takes some 0.1 s, once for as long as it is in use."""
    return Scorer(artifact)
