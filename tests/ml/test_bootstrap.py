"""Intervals: every draw equals what a loop over repeated rows gives, and clusters count as one."""

import time

import numpy as np
import pytest

from ml import bootstrap, evaluation
from ml.arrays import F64, I64
from ml.bootstrap import FIGURES, Bootstrap, interval


def rows_of(seed: int, members: int, cutoffs: int = 2) -> tuple[I64, F64, F64]:
    """Members' rows at some cutoffs, with many ties among the scores."""
    random = np.random.default_rng(seed)
    there = [np.flatnonzero(random.uniform(size=members) < 0.8) for _ in range(cutoffs)]
    member = np.concatenate(there)
    outcome = (random.uniform(size=len(member)) < 0.6).astype(np.float64)
    score = np.round(np.clip(outcome * 0.3 + random.uniform(0, 0.7, len(member)), 0, 1), 1 + seed)
    return member, outcome, score


def drawn_by_hand(boot: Bootstrap, draw: int, member: I64) -> I64:
    """The rows of a draw, each as often as its member was drawn."""
    times = boot._times[:, draw].astype(np.int64)  # pyright: ignore[reportPrivateUsage]
    return np.array([row for row, who in enumerate(member) for _ in range(times[who])])


@pytest.mark.parametrize("seed", range(4))
def test_a_draw_is_what_repeated_rows_give(seed: int) -> None:
    member, outcome, score = rows_of(seed, 60)
    boot = Bootstrap(np.arange(60), draws=25, seed=seed)
    fast = boot.figures(member, outcome, score)
    flagged, silent = score > 0.6, outcome > 0
    shares = boot.shares(member, flagged, silent)
    for draw in range(25):
        rows = drawn_by_hand(boot, draw, member)
        slow = evaluation.measure(outcome[rows], score[rows])
        for figure in FIGURES:
            assert fast[figure][draw] == pytest.approx(getattr(slow, figure), abs=1e-9), figure
        among = flagged[rows][silent[rows]]
        assert shares[draw] == pytest.approx(among.mean())


def test_rows_of_one_member_move_together() -> None:
    """Copies of the same rows at more cutoffs are no further evidence: intervals stay as wide."""
    member, outcome, score = rows_of(1, 400, cutoffs=1)
    boot = Bootstrap(np.arange(400), draws=300)
    once = boot.figures(member, outcome, score)
    copied = boot.figures(np.tile(member, 5), np.tile(outcome, 5), np.tile(score, 5))
    assert copied["roc_auc"] == pytest.approx(once["roc_auc"])


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Scores of members who repeat at three cutoffs: the true AUC lies within nineteen times of
    twenty, which intervals over rows would miss far more often."""
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(120):
        lasting = random.normal(size=250)
        outcome = (np.tile(lasting, 3) + random.normal(size=750) > 0).astype(np.float64)
        score = np.tile(lasting, 3) + 1.0
        boot = Bootstrap(np.arange(250), draws=200, seed=trial)
        drawn = boot.figures(np.tile(np.arange(250), 3), outcome, score)["roc_auc"]
        told = interval(evaluation.roc_auc(outcome, score), drawn)
        # x ranks x + noise > 0, both standard normal: 5/6 by Sheppard's orthant formula.
        covered += told.low <= 5 / 6 <= told.high
    assert 0.88 * 120 <= covered <= 120


def test_calibration_error_is_not_told_as_noise() -> None:
    """Resampling raises ECE; the interval stands around the figure all the same."""
    random = np.random.default_rng(3)
    score = random.uniform(0.05, 0.95, 800)
    outcome = (random.uniform(size=800) < score).astype(np.float64)
    drawn = Bootstrap(np.arange(800), draws=300).figures(np.arange(800), outcome, score)["ece"]
    told = interval(evaluation.ece(outcome, score), drawn)
    assert np.median(drawn) > told.value
    assert told.low < told.value < told.high


def test_many_members_are_dealt_to_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    member, outcome, score = rows_of(2, 3_000, cutoffs=1)
    alone = Bootstrap(np.arange(3_000), draws=400).figures(member, outcome, score)
    monkeypatch.setattr(bootstrap, "_UNITS", 300)
    monkeypatch.setattr(bootstrap, "_LEVELS", 200)
    dealt = Bootstrap(np.arange(3_000), draws=400).figures(member, outcome, score)
    for figure in ("roc_auc", "pr_auc", "brier", "lift"):
        assert dealt[figure].std() == pytest.approx(alone[figure].std(), rel=0.25), figure
        assert dealt[figure].mean() == pytest.approx(alone[figure].mean(), rel=0.01), figure


def test_one_outcome_says_nothing() -> None:
    drawn = Bootstrap(np.arange(5), draws=20).figures(
        np.arange(5), np.ones(5), np.linspace(0, 1, 5)
    )
    assert np.isnan(drawn["roc_auc"]).all()
    told = interval(float("nan"), drawn["roc_auc"])
    assert np.isnan([told.value, told.low, told.high]).all()


def test_a_thousand_draws_cost_seconds() -> None:
    member, outcome, _ = rows_of(0, 5_000, cutoffs=1)
    score = np.random.default_rng(0).uniform(size=len(member))
    boot = Bootstrap(np.arange(5_000), draws=1_000)
    before = time.process_time()
    boot.figures(member, outcome, score)
    assert time.process_time() - before < 3
