"""Triggers found from rises, against rises whose outcome is known from how they were made."""

import numpy as np
import pytest

from ml.arrays import DAY
from ml.facts import NEVER
from ml.following import FEWEST, Rises, find

NOW = 1_800_000_000 // DAY * DAY
HORIZON = 45


def made(count: int, *, seed: int = 1, days: int = 140, tilt: float = 0.0) -> Rises:
    """Rises from zero whose chance of silence is their score and `tilt`, waits cut at NOW."""
    dice = np.random.default_rng(seed)
    score = dice.uniform(0.3, 0.95, count)
    at = NOW - dice.integers(1, days, count) * DAY
    silent = dice.random(count) < np.clip(score + tilt, 0, 1)
    woken = at + (dice.random(count) * HORIZON * DAY).astype(np.int64)
    woken = np.where(silent | (woken >= NOW), NEVER, woken)
    return Rises(np.zeros(count), score, at, woken)


def found(rises: Rises, precision: float) -> float | None:
    answer = find(rises, now=NOW, horizon_days=HORIZON, precision=precision)
    return None if answer is None else answer.trigger


@pytest.mark.parametrize("tilt", [-0.15, 0.0, 0.1])
def test_the_stated_share_is_right_whatever_scores_promise(tilt: float) -> None:
    # Above a level t the mean score of rises spread evenly up to .95 is (t + .95) / 2.
    level = found(made(40_000, tilt=tilt), 0.75)
    assert level == pytest.approx(2 * (0.75 - tilt) - 0.95, abs=0.05)


def test_a_trigger_ascends_with_the_precision_asked_for() -> None:
    levels = [found(made(20_000), precision) for precision in (0.65, 0.7, 0.75, 0.8, 0.85)]
    assert all(level is not None for level in levels)
    assert levels == sorted(levels, key=lambda level: level or 0.0)


def test_what_changed_four_weeks_ago_counts_and_not_what_was_before() -> None:
    old, new = made(20_000, tilt=0.25), made(20_000, seed=2, tilt=-0.1)
    since = NOW - 28 * DAY
    recent, past = new.at >= since - HORIZON * DAY, old.at < since - HORIZON * DAY
    # Old rises ended before those weeks began: nothing of them is in the calendar looked at.
    both = Rises(
        *(
            np.concatenate((getattr(old, name)[past], getattr(new, name)[recent]))
            for name in ("before", "score", "at", "woken")
        )
    )
    early = Rises(new.before[recent], new.score[recent], new.at[recent], new.woken[recent])
    assert found(both, 0.75) == found(early, 0.75) is not None


def test_a_rise_that_was_higher_before_passes_no_lower_trigger() -> None:
    rises = made(20_000)
    again = Rises(np.full(20_000, 0.6), rises.score, rises.at, rises.woken)
    higher = Rises(*(getattr(again, name)[again.score > 0.6] for name in vars(again)))
    answer = find(higher, now=NOW, horizon_days=HORIZON, precision=0.3)
    assert answer is not None
    assert answer.trigger > 0.6


def test_few_rises_say_nothing_and_later_ones_are_not_seen() -> None:
    assert found(made(FEWEST - 1, days=20), 0.5) is None
    future = made(5_000)
    assert (
        found(Rises(future.before, future.score, future.at + 200 * DAY, future.woken), 0.5) is None
    )
    nothing = np.empty(0)
    whole = np.empty(0, dtype=np.int64)
    assert found(Rises(nothing, nothing, whole, whole), 0.5) is None
    assert found(made(5_000, tilt=-0.9), 0.7) is None, "alerts are hardly ever right"


def test_the_share_is_what_a_plain_count_says_where_every_horizon_is_over() -> None:
    rises = made(3_000, days=80)
    over = rises.at <= NOW - HORIZON * DAY
    closed = Rises(*(getattr(rises, name)[over] for name in vars(rises)))
    answer = find(closed, now=NOW - 1, horizon_days=HORIZON, precision=0.6)
    assert answer is not None
    chosen = closed.score >= answer.trigger
    assert answer.share == pytest.approx(float((closed.woken[chosen] == NEVER).mean()), abs=0.06)
    assert 0 < answer.error < 0.1
    assert answer.rises <= int(chosen.sum())
