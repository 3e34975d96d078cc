"""Reasons are the score's own parts: they add up to it, and are those of the slow exact way."""

import json
import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from ml import explain, features, ladder, scorer
from ml.artifact import Artifact
from ml.explain import GROUPS
from ml.facts import Facts
from ml.features import Matrix
from ml.ladder import RUNGS, Rung
from ml.scoring import score
from tests.ml.conftest import AS_OF

ALL = 400


@pytest.fixture(scope="module")
def matrix(facts: Facts, artifact: Artifact) -> Matrix:
    return features.build(facts, AS_OF, purchases=artifact.purchases)


@pytest.mark.parametrize("choice", RUNGS)
def test_parts_add_up_to_the_scores_log_odds(
    facts: Facts, matrix: Matrix, artifact: Artifact, choice: Rung
):
    chosen = replace(artifact, choice=choice)
    parts = explain.parts(chosen, facts, matrix, as_of=AS_OF, threads=1)
    said = scorer.Scorer(chosen).say(matrix).log_odds
    assert len(said) > ALL / 2
    assert np.abs(parts.start + parts.groups.sum(axis=1) - said).max() < 1e-4
    assert np.abs(parts.groups).max() > 0.5, "parts that say nothing add up to nothing"


def test_weights_of_reasons_are_parts_of_the_score(
    facts: Facts, matrix: Matrix, artifact: Artifact
):
    scores = score(artifact, facts, as_of=AS_OF, reasons_for=1.0)
    parts = explain.parts(artifact, facts, matrix, as_of=AS_OF, threads=1)
    for told, row in zip(scores.reasons, parts.groups, strict=True):
        ours = {round(value, 4) for value in row[:-1].tolist() if value > 0}
        assert {reason.weight for reason in told} <= ours | {0.0}


def test_reasons_come_in_the_order_asked_for_and_in_parts_of_any_size(
    facts: Facts, matrix: Matrix, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
):
    rows = np.random.default_rng(0).permutation(len(matrix.members))[:150]
    whole = explain.reasons(artifact, facts, matrix, rows, as_of=AS_OF, threads=1)
    monkeypatch.setattr(explain, "_PART", 40)
    assert explain.reasons(artifact, facts, matrix, rows, as_of=AS_OF, threads=1) == whole
    one = explain.reasons(artifact, facts, matrix, rows[5:6], as_of=AS_OF, threads=1)
    assert one == whole[5:6]


@pytest.mark.parametrize("choice", ["bgnbd", "cnbd", "recency_frequency"])
def test_silence_is_told_apart_from_how_often_they_ordered(
    facts: Facts, matrix: Matrix, artifact: Artifact, choice: Rung
):
    parts = explain.parts(
        replace(artifact, choice=choice), facts, matrix, as_of=AS_OF, threads=1
    ).groups
    place = {name: at for at, name in enumerate(GROUPS)}
    since = parts[:, place["silence"]] + parts[:, place["rhythm"]]
    recency = matrix.column("recency")
    edges = artifact.models.table.edges
    usual = edges[len(edges) // 2]
    assert (since[recency > usual] >= -1e-3).all(), "silence makes nobody likelier to order"
    assert np.abs(since[recency == usual]).max(initial=0) < 1e-3
    assert since[recency > 60].mean() > 0.5 + since[recency < 10].mean()
    rare = matrix.column("orders_365") <= 1
    often = parts[:, place["frequency"]]
    assert often[rare].mean() > often[~rare].mean() + 0.1


def test_members_without_orders_get_reasons_without_a_weight(facts: Facts, artifact: Artifact):
    """Nobody asks for them, but who does shall not stumble."""
    some = replace(artifact, choice="cnbd")
    members = np.arange(len(facts.member_ids), dtype=np.int32)
    asked = features.build(facts, AS_OF - 400 * 86_400, members, purchases=artifact.purchases)
    parts = explain.parts(some, facts, asked, as_of=AS_OF - 400 * 86_400, threads=1)
    assert np.isfinite(parts.groups).all()


# ---- the slow exact way: Shapley's own sum over all orders in which columns become known --------


def expected(tree: dict[str, Any], row: list[float], known: frozenset[int], node: int = 0) -> float:
    """A tree's value where only some columns are known: means over the rows of training below."""
    left, right = tree["left_children"][node], tree["right_children"][node]
    if left < 0:
        return tree["split_conditions"][node]
    column = tree["split_indices"][node]
    if column in known:
        value = row[column]
        goes_left = (
            bool(tree["default_left"][node])
            if math.isnan(value)
            else np.float32(value) < np.float32(tree["split_conditions"][node])
        )
        return expected(tree, row, known, left if goes_left else right)
    cover = tree["sum_hessian"]
    total = cover[left] + cover[right]
    return sum(cover[side] / total * expected(tree, row, known, side) for side in (left, right))


def shapley(tree: dict[str, Any], row: list[float], columns: int) -> np.ndarray:
    nodes = zip(tree["split_indices"], tree["left_children"], strict=True)
    used = sorted({column for column, left in nodes if left >= 0})
    worth = {
        frozenset(some): expected(tree, row, frozenset(some))
        for size in range(len(used) + 1)
        for some in combinations(used, size)
    }
    answer = np.zeros(columns)
    for column in used:
        for known, value in worth.items():
            if column in known:
                continue
            size = len(known)
            weight = math.factorial(size) * math.factorial(len(used) - size - 1)
            gain = worth[known | {column}] - value
            answer[column] += weight / math.factorial(len(used)) * gain
    return answer


def test_contributions_of_trees_are_shapley_values(matrix: Matrix, artifact: Artifact):
    models: ladder.Models = artifact.models
    document = json.loads(bytes(models.booster.model.save_raw("json")))
    trees = document["learner"]["gradient_booster"]["model"]["trees"]
    values = matrix.only(models.names)
    unknown = np.isnan(values).sum(axis=1)
    rows = [int(unknown.argmax()), int(unknown.argmin()), *range(0, len(values), len(values) // 4)]
    quick = models.booster.contributions(values[rows], threads=1)
    for place, row in enumerate(rows):
        told = values[row].tolist()
        slow = sum(shapley(tree, told, len(models.names)) for tree in trees)
        assert np.abs(quick[place, :-1] - slow).max() < 2e-5
