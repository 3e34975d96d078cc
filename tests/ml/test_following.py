"""Triggers found from rises, against rises whose outcome is known from how they were made."""

from dataclasses import replace

import numpy as np
import pytest

from ml.answered import PRIOR, Actions, Effect, effect_of
from ml.arrays import DAY, I64, Bools
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
    return Rises(np.zeros(count), score, at, woken, np.full(count, NEVER))


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
            for name in ("before", "score", "at", "woken", "answered")
        )
    )
    early = Rises(*(getattr(new, name)[recent] for name in vars(new)))
    assert found(both, 0.75) == found(early, 0.75) is not None


def test_a_rise_that_was_higher_before_passes_no_lower_trigger() -> None:
    rises = made(20_000)
    again = replace(rises, before=np.full(20_000, 0.6))
    higher = Rises(*(getattr(again, name)[again.score > 0.6] for name in vars(again)))
    answer = find(higher, now=NOW, horizon_days=HORIZON, precision=0.3)
    assert answer is not None
    assert answer.trigger > 0.6


def test_few_rises_say_nothing_and_later_ones_are_not_seen() -> None:
    assert found(made(FEWEST - 1, days=20), 0.5) is None
    future = made(5_000)
    assert found(replace(future, at=future.at + 200 * DAY), 0.5) is None
    nothing = np.empty(0)
    whole = np.empty(0, dtype=np.int64)
    assert found(Rises(nothing, nothing, whole, whole, whole), 0.5) is None
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


TIMES = 2.0
ANSWERED_FROM = 0.6


def answered(count: int, *, held_share: float, seed: int = 3) -> tuple[Rises, Rises, Actions]:
    """Rises as they would have been, as they were with a playbook from .6 on, and its actions.

    Whoever is answered, a day after the rise, orders `TIMES` as often from then on.
    """
    dice = np.random.default_rng(seed)
    score = dice.uniform(0.3, 0.95, count)
    at = NOW - dice.integers(1, 140, count) * DAY
    # Orders at random: as many days to wait as leave the score's share silent at the horizon.
    wait = dice.exponential(1.0, count) * HORIZON / -np.log(score)
    held = dice.random(count) < held_share
    acted = (score >= ANSWERED_FROM) & (wait > 1)
    sooner = np.where(acted & ~held, 1 + (wait - 1) / TIMES, wait)

    def seen(days: np.ndarray) -> I64:
        woken = at + (days * DAY).astype(np.int64)
        return np.where((days >= HORIZON) | (woken >= NOW), NEVER, woken)

    def rises(woken: I64, since: I64) -> Rises:
        return Rises(np.zeros(count), score, at, woken, since)

    never = np.full(count, NEVER)
    since = np.where(acted & ~held, at + DAY, never)
    actions = Actions(
        (at + DAY)[acted], seen(sooner)[acted], held[acted], np.zeros(int(acted.sum()), np.int64)
    )
    return rises(seen(wait), never), rises(seen(sooner), since), actions


@pytest.mark.parametrize("held_share", [0.05, 0.3])
def test_members_who_were_brought_back_are_no_false_alarms(held_share: float) -> None:
    alone, helped, actions = answered(40_000, held_share=held_share)
    effect = effect_of(actions, now=NOW, horizon_days=HORIZON)
    assert abs(np.log(effect.times / TIMES)) < 3 * effect.error
    truth = find(alone, now=NOW, horizon_days=HORIZON, precision=0.7)
    told = find(helped, now=NOW, horizon_days=HORIZON, precision=0.7, effect=effect)
    crude = find(helped, now=NOW, horizon_days=HORIZON, precision=0.7)
    untouched = helped.answered == NEVER
    left_out = Rises(*(getattr(helped, name)[untouched] for name in vars(helped)))
    rest = find(left_out, now=NOW, horizon_days=HORIZON, precision=0.7)
    assert truth is not None
    assert told is not None
    assert told.trigger == pytest.approx(truth.trigger, abs=0.04)
    assert told.share == pytest.approx(truth.share, abs=0.03)
    assert crude is None or crude.trigger > truth.trigger + 0.08, "as they were: too strict"
    assert rest is None or rest.trigger > truth.trigger + 0.04, "left out: low scores stay behind"


def test_few_held_out_prove_little_and_nobody_held_out_proves_nothing() -> None:
    _, _, many = answered(40_000, held_share=0.3)
    some = _only(many, np.arange(len(many.at)) < 300)
    sure, unsure = (effect_of(one, now=NOW, horizon_days=HORIZON) for one in (many, some))
    assert unsure.error > 3 * sure.error
    assert unsure.error < PRIOR
    nobody = _only(many, ~many.held_out)
    assert effect_of(nobody, now=NOW, horizon_days=HORIZON) == Effect(1.0, PRIOR)
    none = _only(many, np.zeros(len(many.at), dtype=np.bool_))
    assert effect_of(none, now=NOW, horizon_days=HORIZON) == Effect(1.0, PRIOR)


def test_an_experiment_is_compared_with_itself_alone() -> None:
    """Another one without members held out, whose members order often, changes nothing."""
    _, _, first = answered(20_000, held_share=0.3)
    at = NOW - np.arange(1, 101) * DAY
    eager = Actions(at, at + 60, np.zeros(100, dtype=np.bool_), np.ones(100, dtype=np.int64))
    both = Actions(*(np.concatenate([getattr(first, n), getattr(eager, n)]) for n in vars(first)))
    alone, beside = (effect_of(one, now=NOW, horizon_days=HORIZON) for one in (first, both))
    assert beside == alone


def test_what_is_not_known_of_the_effect_widens_the_error() -> None:
    _, helped, _ = answered(5_000, held_share=0.3)
    errors: list[float] = []
    for error in (0.0, 0.5):
        effect = Effect(TIMES, error)
        one = find(helped, now=NOW, horizon_days=HORIZON, precision=0.7, effect=effect)
        assert one is not None
        errors.append(one.error)
    assert errors[1] > 2 * errors[0]


def _only(actions: Actions, chosen: Bools) -> Actions:
    return Actions(*(getattr(actions, name)[chosen] for name in vars(actions)))
