"""Drift: indices against a slow oracle, chance, and references that are none."""

import json
import math
import time
from typing import Any

import numpy as np
import pytest

from ml import drift
from ml.arrays import DAY
from ml.artifact import Artifact
from ml.drift import Sample
from ml.facts import Facts
from ml.scoring import score
from tests.ml.conftest import AS_OF


def slow_counts(values: list[float], edges: list[float]) -> list[int]:
    counts = [0] * (len(edges) + 2)
    for value in values:
        if math.isnan(value) or math.isinf(value):
            counts[0] += 1
        else:
            counts[1 + sum(edge <= value for edge in edges)] += 1
    return counts


def slow_psi(then: list[int], now: list[int]) -> float:
    total = 0.0
    for first, second in zip(then, now, strict=True):
        p = (first + 0.5) / (sum(then) + 0.5 * len(then))
        q = (second + 0.5) / (sum(now) + 0.5 * len(now))
        total += (q - p) * math.log(q / p)
    return total


def columns(seed: int, members: int = 500, shift: float = 0.0) -> Sample:
    random = np.random.default_rng(seed)
    values = np.empty((members, 5), dtype=np.float32)
    values[:, 0] = random.normal(shift, 1, members)
    values[:, 1] = random.poisson(0.4, members)  # most of them 0: fewer bins
    values[:, 2] = np.where(
        random.uniform(size=members) < 0.3, np.nan, random.uniform(size=members)
    )
    values[:, 3] = 7.0
    values[:, 4] = np.nan
    return Sample(values, ("normal", "counts", "gaps", "constant", "unknown"))


def uniform(seed: int, members: int = 500) -> Any:
    return np.random.default_rng(seed).uniform(size=members)


@pytest.mark.parametrize("seed", range(5))
def test_indices_are_those_of_a_slow_count(seed: int) -> None:
    then, now = columns(seed), columns(seed + 100, members=310, shift=0.8)
    known = json.loads(json.dumps(drift.reference(then, uniform(1))))
    found = drift.compare(known, now, uniform(2, 310))
    for place, name in enumerate(then.names):
        bins = known["features"][name]
        counts = slow_counts(then.values[:, place].tolist(), bins["edges"])
        assert counts == bins["counts"]
        expected = slow_psi(counts, slow_counts(now.values[:, place].tolist(), bins["edges"]))
        assert found.features[name] == pytest.approx(expected, abs=1e-12)
    assert found.features["normal"] > 0.25
    assert found.features["counts"] < 0.1
    assert abs(found.features["constant"]) < 1e-3
    assert abs(found.features["unknown"]) < 1e-3


def test_a_column_that_is_suddenly_unknown_is_seen() -> None:
    then = columns(1)
    values = then.values.copy()
    values[:200, 0] = np.nan
    known = drift.reference(then, uniform(1))
    found = drift.compare(known, Sample(values, then.names), uniform(1))
    assert found.features["normal"] > 0.25
    assert found.score == pytest.approx(0, abs=1e-12)


def test_chance_alone_passes_its_limit_once_in_a_thousand_times() -> None:
    random = np.random.default_rng(5)
    over, small = 0, 0
    for _ in range(2_000):
        then = random.multinomial(80, [0.1] * 10)
        now = random.multinomial(120, [0.1] * 10)
        index = drift.psi(then, now)
        over += index > drift.chance(80, 120, 10)
        small += index > 0.25
    assert over <= 10
    assert small > 100, "a fixed limit alone would cry wolf on small platforms"


def test_nobody_gives_no_index() -> None:
    known = drift.reference(columns(1), uniform(1))
    found = drift.compare(
        known, Sample(np.empty((0, 5), np.float32), columns(1).names), uniform(1, 0)
    )
    assert math.isnan(found.score)
    assert math.isnan(found.chance)
    assert all(math.isnan(index) for index in found.features.values())


@pytest.mark.parametrize(
    "absurd",
    [
        {},
        {"features": {}, "score": {"edges": [1, 2], "counts": [1]}},
        {"features": {}, "score": {"edges": [2, 1], "counts": [1, 1, 1, 1]}},
        {"features": {}, "score": {"edges": [1], "counts": [1, -1, 1]}},
        {"features": {}, "score": {"edges": "many", "counts": None}},
        {"features": [], "score": None},
    ],
)
def test_an_absurd_reference_is_said(absurd: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        drift.compare(absurd, columns(1), uniform(1))


def test_a_model_has_not_drifted_on_the_day_it_was_made(facts: Facts, artifact: Artifact) -> None:
    seen = drift.sample(artifact, facts, as_of=AS_OF)
    said = score(artifact, facts, as_of=AS_OF, reasons_for=0).probability
    known = drift.reference(seen, said)
    assert set(known["features"]) == set(artifact.manifest()["features"])
    same = drift.compare(known, seen, said)
    assert abs(same.score) < 1e-9
    assert max(map(abs, same.features.values())) < 1e-9
    later = AS_OF + 19 * DAY
    moved = drift.compare(
        known,
        drift.sample(artifact, facts, as_of=later),
        score(artifact, facts, as_of=later, reasons_for=0).probability,
    )
    assert 0 < moved.score < 1


def test_sixty_columns_of_50000_members_take_tenths_of_a_second() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(50_000, 60)).astype(np.float32)
    seen = Sample(values, tuple(f"c{number}" for number in range(60)))
    said = random.uniform(size=50_000)
    known = drift.reference(seen, said)
    started = time.process_time()
    drift.compare(known, seen, said)
    assert time.process_time() - started < 1.0
