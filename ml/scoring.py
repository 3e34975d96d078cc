"""Probabilities of falling silent for members as of now, with reasons for those most at risk."""

import math
import os
from dataclasses import dataclass

import numpy as np

from ml import explain, features, labels
from ml.arrays import F64, I32, sigmoid
from ml.artifact import Artifact
from ml.explain import Reason
from ml.facts import Facts
from ml.scorer import scorer


@dataclass(frozen=True, eq=False)
class Scores:
    """One entry a member: code, probability of no order in the horizon, and reasons.

    `reasons` are empty but for those most at risk, as was asked for. `next_order_days` is the
    median of the days until the next order (see `ml.aft`); NaN by models that cannot tell it.
    """

    members: I32
    probability: F64
    reasons: list[list[Reason]]
    next_order_days: F64


def score(
    artifact: Artifact,
    facts: Facts,
    *,
    as_of: int,
    reasons_for: float = 0.2,
    reasons_above: float = 1.0,
    members: I32 | None = None,
    threads: int = 0,
) -> Scores:
    """Score `members` (codes, ascending; by default all with a recent order) as of `as_of`.

    Rows at or after `as_of` are not seen. `reasons_for` is the share of members, from the
    riskiest down, who get up to three reasons, and everybody whose probability is
    `reasons_above` or more gets them too: an alert is never without. `threads` 0 takes every core.
    """
    if members is None:
        members = labels.population(facts, as_of, artifact.about.active_days)
    matrix = features.build(
        facts,
        as_of,
        members,
        purchases=artifact.purchases,
        horizon_days=artifact.about.horizon_days,
        threads=threads or os.cpu_count() or 1,
    )
    said = scorer(artifact).say(matrix, threads=threads or os.cpu_count() or 1)
    probability = sigmoid(said.log_odds + artifact.shift)
    reasons: list[list[Reason]] = [[] for _ in range(len(members))]
    riskiest = np.argsort(-probability, kind="stable")
    count = max(math.ceil(len(members) * reasons_for), int((probability >= reasons_above).sum()))
    chosen = riskiest[:count]
    told = explain.reasons(artifact, facts, matrix, chosen, as_of=as_of, threads=threads)
    for row, reason in zip(chosen, told, strict=True):
        reasons[row] = reason
    return Scores(matrix.members, probability, reasons, said.days)
