"""The quick way to score beside the plain one, to the bit where that is promised."""

from dataclasses import replace

import numpy as np
import pytest

from ml import booster, features, scorer, together
from ml.arrays import F32, F64, sigmoid
from ml.artifact import Artifact
from ml.facts import Facts
from ml.features import Matrix
from ml.ladder import RUNGS, Rung
from ml.scorer import Linear, Scorer
from tests.ml.conftest import AS_OF

KNOWN = ("bgnbd_silent", "cnbd_silent", "recency")


@pytest.fixture(scope="module")
def matrix(facts: Facts, artifact: Artifact) -> Matrix:
    """Features with more unknown values than there were, rows of nothing else included."""
    built = features.build(facts, AS_OF, purchases=artifact.purchases)
    values = np.tile(built.values, (3, 1))
    gone = np.random.default_rng(5).uniform(size=values.shape) < 0.2
    gone[:, [built.names.index(name) for name in ("bgnbd_silent", "cnbd_silent", "recency")]] = (
        False
    )
    gone[: len(built.values)] = False
    values = np.where(gone, np.float32(np.nan), values)
    return Matrix(values, built.names, np.arange(len(values), dtype=np.int32))


@pytest.mark.parametrize("choice", RUNGS)
def test_scores_are_those_of_the_models_one_by_one(
    matrix: Matrix, artifact: Artifact, choice: Rung
):
    chosen = replace(artifact, choice=choice)
    said = Scorer(chosen).say(matrix)
    slow = artifact.models.log_odds(matrix, threads=1)[choice]
    assert np.abs(said.log_odds - slow).max() < 1e-5
    # The logistic model works in single precision here, the others as they do alone.
    assert np.abs(sigmoid(said.log_odds) - sigmoid(slow)).max() < 1e-6
    assert artifact.waits is not None
    days = artifact.waits.days(matrix.only(artifact.models.names), threads=1)
    assert said.days.tobytes() == days.tobytes()


def test_the_mean_weighs_its_voices_and_asks_no_other(matrix: Matrix, artifact: Artifact):
    weights = (0.0, 0.3, 0.0, 0.9)
    some = replace(artifact, choice="mean", models=artifact.models.weighing(weights))
    assert scorer.voices(some) == {"cnbd": 0.3, "xgboost": 0.9}
    slow = some.models.log_odds(matrix, threads=1)["mean"]
    assert np.abs(Scorer(some).say(matrix).log_odds - slow).max() < 1e-12


def test_neither_threads_nor_parts_nor_others_change_a_bit(
    matrix: Matrix, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
):
    quick = Scorer(replace(artifact, choice="mean"))
    whole = quick.say(matrix)
    alone = [
        quick.say(Matrix(matrix.values[row : row + 1], matrix.names, matrix.members[row : row + 1]))
        for row in range(0, len(matrix.members), 97)
    ]
    assert [float(one.log_odds[0]) for one in alone] == whole.log_odds[::97].tolist()
    monkeypatch.setattr(scorer, "_PART", 250)
    apart = quick.say(matrix, threads=3)
    assert apart.log_odds.tobytes() == whole.log_odds.tobytes()
    assert apart.days.tobytes() == whole.days.tobytes()


def test_a_model_without_waits_tells_none(matrix: Matrix, artifact: Artifact):
    assert np.isnan(Scorer(replace(artifact, waits=None)).say(matrix).days).all()


def test_a_column_that_hardly_varies_is_worked_on_in_double_precision(
    matrix: Matrix, artifact: Artifact
):
    models = artifact.models
    plain = Linear.of(models.logistic, models.names, matrix.names)
    assert plain.weight.dtype == np.float32
    sd = models.logistic.sd.copy()
    sd[models.names.index("recency")] = 1e-7
    steep = replace(models.logistic, sd=sd)
    exact = Linear.of(steep, models.names, matrix.names)
    assert exact.weight.dtype == np.float64
    slow = steep.log_odds(matrix.only(models.names))
    assert np.abs(exact.log_odds(matrix.values) - slow).max() < 1e-6


def test_few_columns_are_taken_out_of_wide_rows(matrix: Matrix, artifact: Artifact):
    names, linear = artifact.models.names[3:40], artifact.models.logistic
    few = replace(linear, mean=linear.mean[3:40], sd=linear.sd[3:40], weight=linear.weight[3:40])
    taken = Linear.of(few, names, matrix.names)
    assert taken.places is not None
    found = taken.log_odds(matrix.values)
    assert np.abs(found - few.log_odds(matrix.only(names))).max() < 1e-5


def holed(seed: int) -> tuple[F32, F64]:
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (3_000, 6)).astype(np.float32)
    likely = sigmoid((values[:, 0] * values[:, 1]).astype(np.float64))
    outcome = (random.uniform(size=3_000) < likely).astype(np.float64)
    # Unknown values that tell something, so that nodes of one column send them different ways.
    values[(random.uniform(size=3_000) < 0.5) & (outcome > 0), 0] = np.nan
    values[random.uniform(size=values.shape) < 0.2] = np.nan
    values[random.uniform(size=values.shape) < 0.02] = np.finfo(np.float32).max
    values[random.uniform(size=values.shape) < 0.02] = np.finfo(np.float32).min
    return values, outcome


@pytest.mark.parametrize("seed", range(3))
def test_joined_trees_have_the_bits_of_each_alone(seed: int):
    values, outcome = holed(seed)
    silent = booster.fit(values, outcome, seed=seed)
    days = np.exp(np.random.default_rng(seed).normal(3, 1, len(values)))
    waits = booster.fit_waits(values, days, outcome > 0, seed=seed)
    joined = together.join([silent, waits])
    columns = joined.places.tolist()
    assert len(columns) > len(set(columns)), "no column whose unknown values go both ways"
    margins = joined.margins(values).astype(np.float64)
    assert margins[:, 0].tobytes() == silent.log_odds(values).tobytes()
    assert margins[:, 1].tobytes() == waits.log_odds(values).tobytes()


def test_trees_that_never_split_are_joined_too():
    values, outcome = holed(0)
    flat = booster.fit(values[:20], outcome[:20])
    joined = together.join([flat])
    assert joined.margins(values)[:, 0].tobytes() == (
        flat.log_odds(values).astype(np.float32).tobytes()
    )
