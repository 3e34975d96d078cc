"""All that a model says of many members, at little more than the cost of its trees.

What `Models.log_odds` and `Waits.days` answer, for the chosen rung alone: rows are worked on some
thousands at a time, so that they stay in a core's cache; the trees of both boosters are asked
together (`ml.together`); and the logistic model works in place instead of on copies.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ml import logistic, table, together
from ml.arrays import F32, F64, I64, Numbers, logit
from ml.artifact import Artifact
from ml.features import Matrix
from ml.ladder import MIXED, SIMPLE, Models, Rung
from ml.logistic import Logistic
from ml.together import Room, Together

_PART: Final = 8_192
_BLOCK: Final = 512
"""Rows of the logistic model at once: they fill half of a core's cache."""

_MOSTLY: Final = 0.75
_SINGLE: Final = float(np.finfo(np.float32).eps)
_ENOUGH: Final = 3e-6
"""Rounding of log-odds that changes no probability by a millionth."""


@dataclass(frozen=True, eq=False)
class Said:
    """Log-odds of silence before the model's shift, and median days until the next order."""

    log_odds: F64
    days: F64


@dataclass(frozen=True, eq=False)
class Linear:
    """A logistic model whose standardising lies in its bounds and weights.

    It works in single precision, unless a column that hardly varied makes rounding matter. Columns
    that it does not read have a weight of 0.
    """

    places: I64 | None
    low: Numbers
    high: Numbers
    mean: Numbers
    weight: Numbers
    intercept: float

    @classmethod
    def of(cls, model: Logistic, names: tuple[str, ...], matrix: tuple[str, ...]) -> "Linear":
        """The model of columns `names`, for rows whose columns are those of `matrix`.

        It takes its columns out of wide rows, and reads rows as they are where most are its own.
        """
        places = np.array([matrix.index(name) for name in names], dtype=np.int64)
        weight, reach = model.weight / model.sd, logistic.REACH * model.sd
        low, high = model.mean - reach, model.mean + reach
        start = model.intercept - float((weight * model.mean).sum())
        rounding = np.abs(weight) * np.maximum(np.abs(low), np.abs(high))
        exact = float(np.sqrt((rounding**2).sum())) * _SINGLE > _ENOUGH
        columns = [low, high, model.mean, weight]
        aside = None if len(names) > _MOSTLY * len(matrix) else places
        if aside is None:
            columns = [_laid_out(column, places, len(matrix)) for column in columns]
        kind = np.float64 if exact else np.float32
        low, high, mean, weight = (column.astype(kind) for column in columns)
        # Laid out for a whole block: numpy is slower with one row for all.
        return cls(
            aside, np.tile(low, (_BLOCK, 1)), np.tile(high, (_BLOCK, 1)), mean, weight, start
        )

    def log_odds(self, values: F32, room: "Block | None" = None) -> F64:
        """Log-odds of rows. Each row's bits are its own."""
        room = room or Block(self)
        answer = np.empty(len(values))
        for start in range(0, len(values), _BLOCK):
            rows = values[start : start + _BLOCK]
            size = len(rows)
            missing, squashed = room.missing[:size], room.squashed[:size]
            if self.places is not None:
                # "clip", because the default mode works in a copy of its own.
                rows = np.take(rows, self.places, axis=1, out=room.rows[:size], mode="clip")
            np.isnan(rows, out=missing)
            np.abs(rows, out=squashed)
            np.log1p(squashed, out=squashed)
            np.copysign(squashed, rows, out=squashed)
            np.minimum(squashed, self.high[:size], out=squashed)
            np.maximum(squashed, self.low[:size], out=squashed)
            np.copyto(squashed, self.mean, where=missing)
            # Not by BLAS, whose sums of a row depend on how many rows there are.
            answer[start : start + size] = np.einsum("ij,j->i", squashed, self.weight)
        return answer + self.intercept


def _laid_out(column: F64, places: I64, size: int) -> F64:
    wide = np.zeros(size)
    wide[places] = column
    return wide


class Block:
    """Memory that a logistic model works in: fresh pages cost more than filling them."""

    def __init__(self, model: Linear) -> None:
        """Room for a block of rows."""
        shape = model.low.shape
        self.rows = np.empty(shape if model.places is not None else (0, 0), dtype=np.float32)
        self.missing = np.empty(shape, dtype=np.bool_)
        self.squashed = np.empty(shape, dtype=model.low.dtype)


class Scorer:
    """A model made ready to score many members."""

    def __init__(self, artifact: Artifact) -> None:
        """Join the trees and lay out the weights; some 0.1 s."""
        self._models: Models = artifact.models
        self._voices = voices(artifact)
        self._waits = artifact.waits
        boosters = [self._models.booster] if "xgboost" in self._voices else []
        if artifact.waits is not None:
            boosters.append(artifact.waits.trees)
        self._trees: Together | None = together.join(boosters) if boosters else None
        linear: dict[Rung, tuple[Logistic | None, tuple[str, ...]]] = {
            "logistic": (self._models.logistic, self._models.names),
            "logistic_rfm": (self._models.logistic_rfm, table.SHAPE),
        }
        self._linear = {
            rung: (model, names)
            for rung, (model, names) in linear.items()
            if rung in self._voices and model is not None
        }

    def say(self, matrix: Matrix, *, threads: int = 1) -> Said:
        """Log-odds and days of every row. Threads change no bit, nor do other rows."""
        size = len(matrix.members)
        said = Said(np.empty(size), np.full(size, np.nan))

        def go_through(first: int) -> None:
            put = self._putting(matrix, said)
            for start in range(first, size, threads * _PART):
                put(slice(start, start + _PART))

        lanes = range(0, min(threads * _PART, size), _PART)
        if len(lanes) < 2:
            go_through(0)
        else:
            with ThreadPoolExecutor(len(lanes)) as pool:
                list(pool.map(go_through, lanes))
        return said

    def _putting(self, matrix: Matrix, said: Said) -> Callable[[slice], None]:
        """What scores one part after another, in memory of its own."""
        linear = {
            rung: Linear.of(model, names, matrix.names)
            for rung, (model, names) in self._linear.items()
        }
        blocks = {rung: Block(model) for rung, model in linear.items()}
        trees = None
        if self._trees is not None:
            trees = self._trees.reading(_places(matrix, self._models.names))
        room = None if trees is None else Room(min(_PART, len(matrix.members)), trees)

        def put(part: slice) -> None:
            values = matrix.values[part]
            margins = None if trees is None else trees.margins(values, room)
            total = np.zeros(len(values))
            for rung, weight in self._voices.items():
                if rung == "xgboost" and margins is not None:
                    total += weight * margins[:, 0].astype(np.float64)
                elif rung in linear:
                    total += weight * linear[rung].log_odds(values, blocks[rung])
                else:
                    rows = Matrix(values, matrix.names, matrix.members[part])
                    total += weight * _plain(self._models, rows, rung)
            said.log_odds[part] = total
            if margins is not None and self._waits is not None:
                said.days[part] = self._waits.within(margins[:, -1].astype(np.float64))

        return put


def _places(matrix: Matrix, names: tuple[str, ...]) -> I64:
    return np.array([matrix.names.index(name) for name in names], dtype=np.int64)


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


@lru_cache(maxsize=2)
def scorer(artifact: Artifact) -> Scorer:
    """The model made ready, which takes some 0.1 s, once for as long as it is in use."""
    return Scorer(artifact)
