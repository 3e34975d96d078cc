"""Training, and the comparison with the model in force, on the workers of a cluster."""

from typing import Any

import numpy as np

from ml import rivals
from ml.arrays import F64, I32, sigmoid
from ml.artifact import Artifact
from ml.cluster.parts import Part, Parts
from ml.cluster.past import SPREAD_FROM, ClusterPast
from ml.samples import Past, Plan
from ml.scoring import score
from ml.training import Progress, train_on


def train(
    parts: Parts,
    *,
    horizon_days: int = 45,
    active_days: int = 180,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
    spread_from: int = SPREAD_FROM,
) -> Artifact:
    """`ml.training.train` of members in parts; raises what it raises, and NoCluster.

    Cutoffs, members drawn and models of buying are those of one machine. Below `spread_from` rows
    all else is too, bit for bit; from there on the regression differs by rounding, and trees by
    how rows lie on workers.
    """
    plan = Plan(horizon_days=horizon_days, active_days=active_days, seed=seed)
    past = ClusterPast(parts, plan, spread_from=spread_from)
    return train_on(past, as_of=parts.as_of, threads=threads, progress=progress)


def compare(
    parts: Parts, *, champion: Artifact, challenger: Artifact, threads: int = 1
) -> dict[str, Any] | None:
    """`ml.rivals.compare` of members in parts."""
    about = challenger.about
    plan = Plan(horizon_days=about.horizon_days, active_days=about.active_days, seed=about.seed)
    return rivals.compare_on(
        ClusterPast(parts, plan),
        champion=champion,
        challenger=challenger,
        as_of=parts.as_of,
        threads=threads,
        say=_say,
    )


def _say(past: Past, model: Artifact, cutoff: int, members: I32, threads: int) -> F64:
    if not isinstance(past, ClusterPast):
        raise TypeError("this past is not on the workers")
    parts = past.parts
    return np.concatenate(parts.each(said, model, cutoff, by_part=parts.split(members)))


def said(part: Part, members: I32, model: Artifact, at: int) -> F64:
    """Probabilities of some members of a part."""
    if not len(members):
        return sigmoid(np.empty(0))
    return score(
        model, part.facts, as_of=at, members=members, reasons_for=0, reasons_above=2.0, threads=1
    ).probability
