"""How far the world has moved away from the one that a model learned from.

The population stability index of a column compares its distribution now with that on the day of
training, over bins: PSI = sum of (now - then) ln(now / then) over the bins' shares (Siddiqi 2006,
Credit Risk Scorecards, chapter 9). Below 0.1 little has moved, above 0.25 much. Samples of n and m
members from one distribution give an index of about (1/n + 1/m) times a chi-square variable of
bins - 1 degrees of freedom (Yurdakul & Naranjo 2020, Journal of Risk Model Validation 14(4)), so
that on small platforms chance alone passes 0.25: `chance` says where.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from scipy.special import chdtri

from ml import features, labels
from ml.arrays import F32, F64, I32, I64, Numbers
from ml.artifact import Artifact
from ml.facts import Facts

BINS: Final = 10
MOST_MEMBERS: Final = 50_000
"""Members drawn for distributions: of so many, chance moves an index by some 0.0004."""

_RARE: Final = 0.001

Plain = dict[str, Any]


@dataclass(frozen=True)
class Drift:
    """How far a night's score and features are from training; `chance` belongs to the score.

    An index is NaN where the reference says nothing of it.
    """

    members: int
    mean: float
    score: float
    chance: float
    features: dict[str, float]


@dataclass(frozen=True, eq=False)
class Sample:
    """Feature values [members, names] of members drawn from the population at an instant."""

    values: F32
    names: tuple[str, ...]
    members: I32 = field(default_factory=lambda: np.empty(0, np.int32))


def sample(artifact: Artifact, facts: Facts, *, as_of: int, seed: int = 0) -> Sample:
    """What the model sees of the population before `as_of`: 50,000 members of it at the most."""
    about = artifact.about
    everybody = labels.population(facts, as_of, about.active_days)
    matrix = features.build(
        facts,
        as_of,
        features.draw(everybody, MOST_MEMBERS, seed),
        purchases=artifact.purchases,
        horizon_days=about.horizon_days,
    )
    names = tuple(artifact.manifest()["features"])
    return Sample(matrix.only(names), names, matrix.members)


def reference(seen: Sample, probability: F64) -> Plain:
    """Distributions on the day of training, as plain values for a manifest.

    Each is the edges of its bins (tenths of the members; values that many share make bins wider)
    and how many members are in each bin, the first being those of whom nothing is known.
    """
    columns = {name: _bins(seen.values[:, place]) for place, name in enumerate(seen.names)}
    return {
        "members": len(probability),
        "mean": float(probability.mean()) if len(probability) else None,
        "score": _bins(probability),
        "features": columns,
    }


def compare(then: Plain, seen: Sample, probability: F64) -> Drift:
    """Tonight's scores and features beside those of training.

    Raises ValueError, KeyError or TypeError when `then` is no answer of `reference`.
    """
    known: dict[str, Plain] = then["features"]
    score: Plain = then["score"]
    return Drift(
        members=len(probability),
        mean=float(probability.mean()) if len(probability) else math.nan,
        score=_index(score, probability),
        chance=chance(sum(score["counts"]), len(probability), len(score["counts"])),
        features={
            name: _index(known[name], seen.values[:, place])
            for place, name in enumerate(seen.names)
            if name in known
        },
    )


def chance(then: int, now: int, bins: int) -> float:
    """The index that two samples of one distribution pass once in a thousand times."""
    if not then or not now or bins < 2:
        return math.nan
    return float((1 / then + 1 / now) * chdtri(bins - 1, _RARE))


def psi(then: Numbers, now: Numbers) -> float:
    """The index of two rows of counts over the same bins; NaN when one of them is empty.

    Half a member is added to each bin, so that an empty one does not make it infinite.
    """
    if not then.sum() or not now.sum():
        return math.nan
    first, second = ((part + 0.5) / (part.sum() + 0.5 * len(part)) for part in (then, now))
    return float(((second - first) * np.log(second / first)).sum())


def _bins(values: Numbers) -> Plain:
    known = values[np.isfinite(values)]
    inner = np.arange(1, BINS) / BINS
    # Taken from the values themselves: what many share lies on one side of an edge, always.
    edges = np.unique(np.quantile(known, inner, method="lower")) if len(known) else known[:0]
    edges = edges.astype(np.float64)
    return {"edges": edges.tolist(), "counts": _counts(values, edges).tolist()}


def _counts(values: Numbers, edges: F64) -> I64:
    """How many values are unknown, then how many lie below each edge and from the last one up."""
    known = values[np.isfinite(values)]
    place = np.searchsorted(edges.astype(values.dtype), known, side="right")
    counts = np.bincount(place, minlength=len(edges) + 1)
    return np.concatenate(([len(values) - len(known)], counts)).astype(np.int64)


def _index(then: Plain, values: Numbers) -> float:
    edges = np.asarray(then["edges"], dtype=np.float64)
    counts = np.asarray(then["counts"], dtype=np.int64)
    if edges.ndim != 1 or counts.shape != (len(edges) + 2,) or np.any(np.diff(edges) <= 0):
        raise ValueError("these are no bins")
    if counts.min() < 0:
        raise ValueError("a bin holds less than nobody")
    return psi(counts, _counts(values, edges))
