import numpy as np
import pytest

from ml import calibration, ladder
from ml.arrays import DAY, F64, sigmoid
from ml.ladder import RUNGS, Trial
from ml.samples import Past, Plan
from tests.ml.small_shop import START, shop


def trial(members: int, noise: dict[str, float], seed: int = 0) -> Trial:
    """Outcomes that follow known odds; each rung knows the odds with its own noise."""
    random = np.random.default_rng(seed)
    odds = random.normal(0.5, 1.5, members)
    outcome = (random.uniform(size=members) < sigmoid(odds)).astype(np.float64)
    said: dict[ladder.Rung, F64] = {
        rung: odds + random.normal(0, noise.get(rung, 1.0), members) for rung in RUNGS
    }
    return Trial(np.arange(members), outcome, said)


def test_the_clearly_better_rung_is_chosen():
    assert ladder.choose([trial(4000, {"xgboost": 0.1})], 10_000) == "xgboost"
    assert ladder.choose([trial(4000, {"mean": 0.1})], 10_000) == "mean"


def test_among_near_equals_the_simplest_is_chosen():
    even = dict.fromkeys(RUNGS, 0.05) | {"mean": 0.04}
    assert ladder.choose([trial(200, even)], 10_000) == "bgnbd"


def test_a_wrong_base_rate_alone_does_not_decide():
    fair = trial(3000, {"xgboost": 0.1, "bgnbd": 0.8})
    drifted = fair.log_odds | {"xgboost": fair.log_odds["xgboost"] + 2}
    assert ladder.choose([Trial(fair.members, fair.outcome, drifted)], 10_000) == "xgboost"


def test_without_trials_the_number_of_rows_decides():
    assert ladder.choose([], 300) == "bgnbd"
    assert ladder.choose([], 50_000) == "mean"


@pytest.mark.parametrize("rate", [0.01, 0.4, 0.99])
def test_moved_reaches_the_rate(rate: float):
    odds = np.random.default_rng(0).normal(3, 4, 500)
    assert sigmoid(odds + ladder.moved(odds, rate)).mean() == pytest.approx(rate, abs=1e-6)


@pytest.fixture(scope="module")
def past() -> Past:
    return Past(shop(days=800), Plan())


def test_corrections_go_half_the_way_to_their_rate(past: Past):
    as_of = START + 700 * DAY
    odds = np.zeros(10)
    rate = past.rate(as_of - 45 * DAY)
    assert 0 < rate < 1
    assert calibration.shift(past, as_of, odds, "none") == 0
    expected = ladder.moved(odds, rate) / 2
    assert calibration.shift(past, as_of, odds, "last_rate") == pytest.approx(expected)
    change = past.rate(as_of - 365 * DAY) - past.rate(as_of - 410 * DAY)
    season = calibration.shift(past, as_of, odds, "season")
    assert season == pytest.approx(ladder.moved(odds, rate + change) / 2)


def test_the_season_needs_more_than_a_year(past: Past):
    assert calibration.shift(past, START + 420 * DAY, np.zeros(10), "season") == 0


def test_a_correction_is_used_only_where_it_helped(past: Past):
    origin = START + 700 * DAY
    rate = past.rate(origin - 45 * DAY)
    random = np.random.default_rng(0)
    outcome = (random.uniform(size=500) < rate).astype(np.float64)
    off, right = np.full(500, -3.0), np.full(500, np.log(rate / (1 - rate)))
    assert calibration.choose(past, [(origin, outcome, off)]) != "none"
    opposite = (random.uniform(size=500) < 1 - rate).astype(np.float64)
    assert calibration.choose(past, [(origin, opposite, -right)]) == "none"
    assert calibration.choose(past, []) == "none"
