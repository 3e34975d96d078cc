from collections.abc import Callable

import numpy as np
import pytest

from ml import bgnbd, calibration, features
from ml.arrays import DAY, F64, logit, sigmoid
from ml.calibration import STRENGTH
from ml.facts import Facts
from ml.history import fold
from ml.labels import churned, population
from ml.samples import Past, Plan
from tests.ml.small_shop import START

DAYS = 700


def shop_in_season(pace: Callable[[F64], F64], *, members: int = 500, days: int = DAYS) -> Facts:
    """Members who order at their own rate times the pace of the day, and leave at random."""
    random = np.random.default_rng(3)
    rate = random.gamma(2.0, 0.01, members)
    joined = random.integers(0, days // 2, members)
    left = joined + random.exponential(900, members)
    day = np.arange(days)
    active = (day >= joined[:, None]) & (day < left[:, None])
    chance = np.clip(rate[:, None] * pace(day.astype(np.float64)), 0, 1) * active
    owner, at = np.nonzero(random.uniform(size=chance.shape) < chance)
    return Facts(
        member_ids=np.arange(members),
        order_member=owner.astype(np.int32),
        order_at=START + at * DAY + 3600,
        order_fen=np.full(len(owner), 1000),
    )


def slow_wave(day: F64) -> F64:
    return 1 + 0.6 * np.sin(2 * np.pi * day / 420)


@pytest.fixture(scope="module")
def waving() -> Past:
    return Past(shop_in_season(slow_wave), Plan())


@pytest.fixture(scope="module")
def steady() -> Past:
    return Past(shop_in_season(np.ones_like), Plan())


def surprise(past: Past, cutoff: int, days: int) -> float:
    """By search over a fine grid: what moves BG/NBD's mean to the share that fell silent."""
    members = population(past.facts, cutoff)
    model = features.fit_expectations(past.facts, cutoff).bgnbd
    odds = logit(bgnbd.silent(model, bgnbd.counts(fold(past.facts, cutoff, members)), days))
    rate = churned(past.facts, cutoff, days, members).mean()
    steps = np.arange(-3, 3, 0.001)
    return float(steps[np.argmin([abs(sigmoid(odds + step).mean() - rate) for step in steps])])


@pytest.mark.parametrize("days", [15, 45])
def test_a_surprise_moves_the_mean_to_what_came(waving: Past, days: int):
    cutoff = START + 500 * DAY
    assert waving.surprise(cutoff, days) == pytest.approx(surprise(waving, cutoff, days), abs=2e-3)


def test_a_movement_is_of_the_windows_that_closed_last(waving: Past):
    at = START + 600 * DAY
    learned = [at - (45 + 15 * k) * DAY for k in range(10)]
    assert waving.grid(at) == learned
    parts = [
        waving.surprise(at - days * DAY, days)
        - np.mean([waving.surprise(c, days) for c in learned])
        for days in (15, 30, 45)
    ]
    assert calibration.movement(waving, at) == pytest.approx(np.mean(parts))
    assert calibration.shift(waving, at, "level") == pytest.approx(STRENGTH * np.mean(parts))
    assert calibration.shift(waving, at, "none") == 0


def test_short_horizons_read_no_window_longer_than_theirs():
    past = Past(shop_in_season(slow_wave, members=200), Plan(horizon_days=14))
    at = START + 600 * DAY
    own = [past.surprise(c, 14) for c in past.grid(at)]
    expected = past.surprise(at - 14 * DAY, 14) - np.mean(own)
    assert calibration.movement(past, at) == pytest.approx(expected)


def test_a_slow_wave_is_followed_and_a_steady_rate_is_left_alone(waving: Past, steady: Past):
    as_of = START + 620 * DAY
    assert calibration.choose(waving, as_of) != "none"
    assert calibration.choose(steady, as_of) == "none"


def test_following_the_wave_brings_the_mean_nearer(waving: Past):
    wins, before, after = 0, [], []
    for day in range(540, 650, 15):
        at = START + day * DAY
        truth = waving.surprise(at, 45) - np.mean([waving.surprise(c, 45) for c in waving.grid(at)])
        said = calibration.shift(waving, at, calibration.choose(waving, at))
        before.append(abs(truth))
        after.append(abs(truth - said))
        wins += after[-1] < before[-1]
    assert wins >= 6
    assert np.mean(after) < 0.9 * np.mean(before)


def test_a_young_shop_is_not_corrected(waving: Past):
    as_of = START + 130 * DAY
    assert calibration.choose(waving, as_of) == "none"
    assert calibration.shift(waving, as_of, "season") == 0


def test_nothing_after_the_day_is_read():
    facts = shop_in_season(slow_wave, members=200)
    at = START + 560 * DAY
    whole, cut = Past(facts, Plan()), Past(facts.before(at), Plan())
    assert calibration.choose(whole, at) == calibration.choose(cut, at)
    for kind in calibration.CORRECTIONS:
        assert calibration.shift(whole, at, kind) == calibration.shift(cut, at, kind)


def test_spreading_keeps_the_mean_probability():
    even = np.random.default_rng(0).normal(0.8, 1.0, 2000)
    by = calibration.spread(even, 1.4 * even)
    assert sigmoid(1.4 * even + by).mean() == pytest.approx(sigmoid(even).mean(), abs=1e-6)
    assert calibration.spread(np.empty(0), np.empty(0)) == 0
