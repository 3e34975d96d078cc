"""A fitted effect as a sum of terms, each the weights of one model: stored as JSON, run anywhere.

Every learner of `ml.uplift` comes down to such a sum, so a model's file is readable text and needs
nothing of whatever fitted it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ml import logistic
from ml.arrays import F32, F64, Bools, sigmoid
from ml.errors import CorruptArtifact

FORMAT: Final = "linli-effect-1"


@dataclass(frozen=True, eq=False)
class Term:
    """`factor` times a model's value of members: a chance, or a regression's plain sum.

    `mark` tells a model that has the treatment among its columns whom to take for treated: all,
    none, or (None) that it has no such columns.
    """

    factor: float
    model: logistic.Logistic
    is_chance: bool
    mark: bool | None = None

    def of(self, values: F32) -> F64:
        """The term for each row of a matrix [members, columns]."""
        given = values
        if self.mark is not None:
            given = marked(values, np.full(len(values), self.mark))
        score = self.model.log_odds(given)
        return self.factor * (sigmoid(score) if self.is_chance else score)

    def scaled(self, by: float) -> "Term":
        """The same term, so many times."""
        return Term(self.factor * by, self.model, self.is_chance, self.mark)


@dataclass(frozen=True, eq=False)
class Effect:
    """A fitted model of an effect."""

    terms: tuple[Term, ...]

    def __call__(self, values: F32) -> F64:
        """The effect on each member of a matrix, in units of the outcome."""
        total = np.zeros(len(values))
        for term in self.terms:
            total += term.of(values)
        return total

    def plain(self) -> dict[str, Any]:
        """The model as JSON values."""
        return {
            "format": FORMAT,
            "terms": [
                {
                    "factor": term.factor,
                    "is_chance": term.is_chance,
                    "mark": term.mark,
                    "mean": term.model.mean.tolist(),
                    "sd": term.model.sd.tolist(),
                    "weight": term.model.weight.tolist(),
                    "intercept": term.model.intercept,
                }
                for term in self.terms
            ],
        }


def mean_of(effects: Sequence[Effect]) -> Effect:
    """The mean of several models, itself a model."""
    share = 1 / len(effects)
    return Effect(tuple(term.scaled(share) for effect in effects for term in effect.terms))


def from_plain(plain: dict[str, Any]) -> Effect:
    """The model that `plain` wrote. Raises CorruptArtifact where it is not one of this format."""
    try:
        if plain["format"] != FORMAT:
            raise CorruptArtifact(f"a model of another format: {plain['format']}")
        return Effect(tuple(_term(item) for item in plain["terms"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtifact(f"not a model of effects: {error}") from error


def _term(item: dict[str, Any]) -> Term:
    mean, sd, weight = (np.asarray(item[name], dtype=np.float64) for name in _ARRAYS)
    model = logistic.Logistic(mean, sd, weight, float(item["intercept"]))
    return Term(float(item["factor"]), model, bool(item["is_chance"]), item["mark"])


_ARRAYS: Final = ("mean", "sd", "weight")


def marked(values: F32, treated: Bools) -> F32:
    """The columns, each once more for the treated alone, and the treatment itself."""
    mark = treated.astype(np.float32)[:, None]
    return np.concatenate([values, values * mark, mark], axis=1)
