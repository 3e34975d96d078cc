"""Scores, reasons and drift of members in parts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from ml import drift, features, labels
from ml.arrays import F64, I32
from ml.artifact import Artifact
from ml.cluster.parts import Part, Parts
from ml.cluster.training import said
from ml.drift import Drift, Sample
from ml.explain import Reason
from ml.scoring import Scores
from ml.scoring import score as score_here

_TOGETHER: Final = 4
"""Parts whose reasons are brought here at once: they are the bulky ones."""


@dataclass(frozen=True, eq=False)
class PartScores:
    """Scores of a part's members: `keys` are those of `Facts.member_ids`, row by row.

    `of` says how many members have scores in all parts together.
    """

    keys: Any
    probability: F64
    reasons: list[list[Reason]]
    next_order_days: F64
    of: int

    def rows(self, start: int, end: int) -> "PartScores":
        """Those of some rows."""
        part = slice(start, end)
        return PartScores(
            self.keys[part],
            self.probability[part],
            self.reasons[part],
            self.next_order_days[part],
            self.of,
        )


def score(
    parts: Parts, artifact: Artifact, *, reasons_for: float = 0.2, reasons_above: float = 1.0
) -> Iterator[PartScores]:
    """`ml.scoring.score`, part by part; the riskiest are those of all parts together.

    Everything has been worked out on the workers before the first part is handed over.
    """
    if not parts.held:
        return
    scored = parts.spread(partial(_scored, artifact))
    every: list[F64] = parts.gather([parts.submit(_probability, part) for part in scored])
    chosen = _chosen(every, reasons_for, reasons_above)
    told = [
        parts.submit(_told, held, artifact, scores, rows, sum(map(len, every)))
        for held, scores, rows in zip(parts.held, scored, chosen, strict=True)
    ]
    parts.wait(told)
    for start in range(0, len(told), _TOGETHER):
        yield from parts.gather(told[start : start + _TOGETHER])


def _scored(artifact: Artifact, part: Part) -> Scores:
    at = part.as_of
    return score_here(artifact, part.facts, as_of=at, reasons_for=0, reasons_above=2.0, threads=1)


def _probability(scores: Scores) -> F64:
    return scores.probability


def _chosen(every: list[F64], share: float, above: float) -> list[I32]:
    """Of each part the rows that get reasons."""
    probability = np.concatenate(every)
    count = max(math.ceil(len(probability) * share), int((probability >= above).sum()))
    rows = np.sort(np.argsort(-probability, kind="stable")[:count])
    ends = np.cumsum([len(one) for one in every])
    pieces = np.split(rows, np.searchsorted(rows, ends[:-1]))
    return [
        (piece - begin).astype(np.int32)
        for piece, begin in zip(pieces, [0, *ends[:-1]], strict=True)
    ]


def _told(part: Part, artifact: Artifact, scores: Scores, rows: I32, of: int) -> PartScores:
    reasons: list[list[Reason]] = [[] for _ in range(len(scores.members))]
    if len(rows):
        found = score_here(
            artifact,
            part.facts,
            as_of=part.as_of,
            members=scores.members[rows],
            reasons_for=1.0,
            threads=1,
        )
        for row, told in zip(rows, found.reasons, strict=True):
            reasons[row] = told
    keys = np.asarray(part.facts.member_ids)[scores.members]
    return PartScores(keys, scores.probability, reasons, scores.next_order_days, of)


def _seen(part: Part, members: I32, artifact: Artifact, at: int) -> tuple[Sample, F64]:
    matrix = features.build(
        part.facts,
        at,
        members,
        purchases=artifact.purchases,
        horizon_days=artifact.about.horizon_days,
    )
    names = tuple(artifact.manifest()["features"])
    sample = Sample(matrix.only(names), names, matrix.members)
    return sample, said(part, members, artifact, at)


def _samples(parts: Parts, artifact: Artifact, seed: int) -> list[Any]:
    """What `ml.drift.sample` draws, left on the workers."""
    at, active = parts.as_of, artifact.about.active_days
    present: list[I32] = parts.each(_population, at, active)
    everybody = np.concatenate(
        [own + start for own, start in zip(present, parts.starts, strict=True)]
    ).astype(np.int32)
    drawn = features.draw(everybody, drift.MOST_MEMBERS, seed)
    return parts.spread(_seen, artifact, at, by_part=parts.split(drawn))


def _population(part: Part, at: int, active_days: int) -> I32:
    return labels.population(part.facts, at, active_days)


def _stacked(samples: tuple[tuple[Sample, F64], ...]) -> tuple[Sample, F64]:
    values = np.concatenate([sample.values for sample, _ in samples])
    return Sample(values, samples[0][0].names), np.concatenate([one for _, one in samples])


def _reference(*samples: tuple[Sample, F64]) -> dict[str, Any]:
    return drift.reference(*_stacked(samples))


def reference(parts: Parts, artifact: Artifact, *, seed: int = 0) -> dict[str, Any]:
    """`ml.drift.reference` of what a new model sees and says, made by one worker."""
    return parts.gather([parts.submit(_reference, *_samples(parts, artifact, seed))])[0]


def _compare(then: dict[str, Any], *samples: tuple[Sample, F64]) -> dict[str, float]:
    sample, _ = _stacked(samples)
    return drift.compare(then, sample, np.empty(0)).features


def features_drift(
    parts: Parts,
    artifact: Artifact,
    then: dict[str, Any],
    probability: F64,
    *,
    seed: int = 0,
) -> Drift:
    """`ml.drift.compare` of the night: features by one worker, the score here."""
    indices = parts.submit(_compare, then, *_samples(parts, artifact, seed))
    nothing = Sample(np.empty((0, 0), dtype=np.float32), ())
    found = drift.compare(then, nothing, probability)
    return replace(found, features=parts.gather([indices])[0])
