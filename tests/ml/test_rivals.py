"""Champion beside challenger: fair windows only, and intervals that a slow bootstrap gives too."""

from dataclasses import replace

import numpy as np
import pytest

from ml import evaluation, rivals
from ml.arrays import DAY, sigmoid
from ml.artifact import Artifact
from ml.facts import Facts
from ml.labels import churned, population
from ml.scoring import score
from ml.training import train
from tests.ml.small_shop import START, shop

OLD = START + 300 * DAY
NOW = START + 400 * DAY


@pytest.fixture(scope="module")
def shop_facts() -> Facts:
    return shop(members=500, days=420, seed=3)


@pytest.fixture(scope="module")
def old(shop_facts: Facts) -> Artifact:
    return train(shop_facts, as_of=OLD)


@pytest.fixture(scope="module")
def new(shop_facts: Facts) -> Artifact:
    return train(shop_facts, as_of=NOW)


def test_windows_are_closed_and_unknown_to_the_champion(
    shop_facts: Facts, old: Artifact, new: Artifact
) -> None:
    found = rivals.windows(shop_facts, champion=old, challenger=new, as_of=NOW)
    assert found == [NOW - (45 + 15 * k) * DAY for k in range(4)]
    assert all(OLD <= cutoff <= NOW - 45 * DAY for cutoff in found)
    young = train(shop_facts, as_of=NOW - 44 * DAY)
    assert rivals.windows(shop_facts, champion=young, challenger=new, as_of=NOW) == []
    assert rivals.compare(shop_facts, champion=young, challenger=new, as_of=NOW) is None
    just = train(shop_facts, as_of=NOW - 45 * DAY)
    assert len(rivals.windows(shop_facts, champion=just, challenger=new, as_of=NOW)) == 1


def test_models_of_other_horizons_are_not_compared(shop_facts: Facts, old: Artifact) -> None:
    other = train(shop_facts, as_of=NOW, horizon_days=30)
    assert rivals.compare(shop_facts, champion=old, challenger=other, as_of=NOW) is None


def test_the_figures_are_those_of_the_models_on_their_windows(
    shop_facts: Facts, old: Artifact, new: Artifact
) -> None:
    found = rivals.compare(shop_facts, champion=old, challenger=new, as_of=NOW)
    assert found is not None
    for window in found["windows"]:
        cutoff = window["cutoff"]
        members = population(shop_facts, cutoff)
        outcome = churned(shop_facts, cutoff, 45, members)
        said = score(old, shop_facts, as_of=cutoff).probability
        fresh = score(train(shop_facts, as_of=cutoff), shop_facts, as_of=cutoff).probability
        assert window["stand_in"]
        assert window["members"] == len(members)
        assert window["champion"]["brier"] == pytest.approx(evaluation.brier(outcome, said))
        assert window["challenger"]["roc_auc"] == pytest.approx(evaluation.roc_auc(outcome, fresh))
    gain = found["gain"]["brier"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert gain["mean"] == pytest.approx(found["champion"]["brier"] - found["challenger"]["brier"])
    again = rivals.compare(shop_facts, champion=old, challenger=new, as_of=NOW)
    assert again == found, "the same facts and seed give the same evidence"


def test_a_model_beside_itself_gains_nothing(shop_facts: Facts, old: Artifact) -> None:
    # Its windows lie after both, so it is tried as it is and not by a stand-in.
    found = rivals.compare(shop_facts, champion=old, challenger=old, as_of=NOW)
    assert found is not None
    assert not any(window["stand_in"] for window in found["windows"])
    assert found["gain"]["brier"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_a_spoilt_champion_loses_beyond_chance(
    shop_facts: Facts, old: Artifact, new: Artifact
) -> None:
    spoilt = replace(old, shift=old.shift + 2.0)
    found = rivals.compare(shop_facts, champion=spoilt, challenger=new, as_of=NOW)
    assert found is not None
    assert found["gain"]["brier"]["low"] > 0
    swapped = rivals.compare(
        shop_facts, champion=old, challenger=replace(old, shift=old.shift + 2.0), as_of=NOW
    )
    assert swapped is not None
    assert swapped["gain"]["brier"]["high"] < 0


def test_intervals_are_near_those_of_a_slow_bootstrap() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(size=600)
    outcome = (random.uniform(size=600) < sigmoid(truth)).astype(np.float64)
    first = sigmoid(truth * 0.3)
    second = sigmoid(truth)
    window = rivals.Window(0, np.arange(600, dtype=np.int32), outcome, first, second, True)
    found = rivals._gains([window], seed=0)["brier"]
    drawn = []
    for _ in range(1_000):
        rows = random.integers(0, 600, 600)
        gain = (first[rows] - outcome[rows]) ** 2 - (second[rows] - outcome[rows]) ** 2
        drawn.append(gain.mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found["low"] == pytest.approx(low, abs=0.004)
    assert found["high"] == pytest.approx(high, abs=0.004)
