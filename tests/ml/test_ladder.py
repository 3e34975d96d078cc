from dataclasses import replace

import numpy as np
import pytest

from ml import ladder
from ml.arrays import F64, sigmoid
from ml.ladder import EVEN, MIXED, RUNGS, Trial


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
    assert ladder.choose([trial(200, even)], 10_000) == "simple_mean"
    even |= {"simple_mean": 3.0}
    assert ladder.choose([trial(200, even)], 10_000) in ("bgnbd", "cnbd")


def test_a_wrong_base_rate_alone_does_not_decide():
    fair = trial(3000, {"xgboost": 0.1, "bgnbd": 0.8})
    drifted = dict(fair.log_odds)
    drifted["xgboost"] = fair.log_odds["xgboost"] + 2
    assert ladder.choose([Trial(fair.members, fair.outcome, drifted)], 10_000) == "xgboost"


def test_without_trials_the_number_of_rows_decides():
    assert ladder.choose([], 300) == "simple_mean"
    assert ladder.choose([], 50_000) == "mean"


def voices(
    members: int, *, sharp: float = 1.0, noise: tuple[float, ...] = (1.0,) * 4, seed: int = 0
) -> Trial:
    """A trial whose voices say `sharp` times the true odds, each with noise of its own."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.5, members)
    outcome = (random.uniform(size=members) < sigmoid(odds + 0.7)).astype(np.float64)
    said: dict[ladder.Rung, F64] = {
        rung: sharp * odds + random.normal(0, far, members)
        for rung, far in zip(MIXED, noise, strict=True)
    }
    return Trial(np.arange(members), outcome, ladder.mixed(said, EVEN))


def test_an_untried_mean_is_even_and_gives_the_models_of_buying_one_vote():
    assert ladder.weigh([]) == EVEN
    assert sum(EVEN) == pytest.approx(1)
    assert EVEN[0] + EVEN[1] == pytest.approx(EVEN[2]) == pytest.approx(EVEN[3])


def test_the_truest_voice_weighs_most_and_none_weighs_less_than_nothing():
    weights = ladder.weigh([voices(4000, noise=(3.0, 3.0, 0.1, 3.0), seed=n) for n in range(2)])
    assert weights[2] > 0.8
    assert all(0 <= weight < 0.2 for place, weight in enumerate(weights) if place != 2)


def test_timid_voices_are_spread_and_loud_ones_drawn_in():
    timid = ladder.weigh([voices(4000, sharp=0.5, noise=(0.1,) * 4)])
    loud = ladder.weigh([voices(4000, sharp=2.0, noise=(0.1,) * 4)])
    assert sum(timid) == pytest.approx(2, abs=0.25)
    assert sum(loud) == pytest.approx(0.5, abs=0.1)


def test_few_members_hardly_move_the_weights():
    weights = ladder.weigh([voices(60, noise=(3.0, 3.0, 0.1, 3.0))])
    assert np.abs(np.array(weights) - EVEN).max() < 0.15


def test_the_base_rate_of_an_origin_moves_no_weight():
    first, second = voices(3000, noise=(0.5,) * 4), voices(3000, noise=(0.5,) * 4, seed=1)
    drifted = replace(second, log_odds={r: o + 2 for r, o in second.log_odds.items()})
    plain, moved = ladder.weigh([first, second]), ladder.weigh([first, drifted])
    assert np.allclose(plain, moved, atol=0.02)


def test_a_trial_is_judged_by_weights_that_never_saw_it():
    trials = [voices(2000, noise=(2.0, 2.0, 0.3, 2.0), seed=seed) for seed in range(3)]
    shuffled = np.random.default_rng(0).permutation(trials[0].outcome)
    other = ladder.tested([replace(trials[0], outcome=shuffled), *trials[1:]])
    tested = ladder.tested(trials)
    assert tested[0].log_odds["mean"].tobytes() == other[0].log_odds["mean"].tobytes()
    assert tested[1].log_odds["mean"].tobytes() != other[1].log_odds["mean"].tobytes()
    assert tested[0].outcome is trials[0].outcome


@pytest.mark.parametrize("rate", [0.01, 0.4, 0.99])
def test_moved_reaches_the_rate(rate: float):
    odds = np.random.default_rng(0).normal(3, 4, 500)
    assert sigmoid(odds + ladder.moved(odds, rate)).mean() == pytest.approx(rate, abs=1e-6)
