from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from ml import aft, booster
from ml.aft import LONGEST, Waited
from ml.arrays import DAY, F32, F64
from ml.artifact import Artifact
from ml.facts import NEVER, Facts
from ml.features import build
from ml.samples import Past, Plan
from ml.scoring import score
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import START, joined, shop


def slow_waits(facts: Facts, cutoff: int, as_of: int, member: int) -> tuple[float, bool]:
    """Row by row, in calendar time."""
    since, until = (datetime.fromtimestamp(at, UTC) for at in (cutoff, as_of))
    found = [
        datetime.fromtimestamp(int(at), UTC)
        for owner, at, gone in zip(
            facts.order_member, facts.order_at, facts.order_gone_at, strict=True
        )
        if owner == member and cutoff <= at < as_of and gone >= as_of
    ]
    end = min(found, default=until)
    return max((end - since).total_seconds() / 86_400, 0.5), bool(found)


def test_waits_equal_those_counted_by_hand(facts: Facts):
    gone = np.full(len(facts.order_at), NEVER)
    gone[::7] = facts.order_at[::7] + 3 * DAY
    some = replace(facts, order_gone_at=gone)
    cutoff = AS_OF - 60 * DAY
    members = np.arange(0, 400, 3, dtype=np.int32)
    seen = aft.waited(some, cutoff, AS_OF, members)
    told = zip(seen.days.tolist(), seen.came.tolist(), strict=True)
    assert list(told) == [slow_waits(some, cutoff, AS_OF, int(member)) for member in members]
    assert 0.1 < seen.came.mean() < 0.9


def test_orders_after_the_day_of_training_end_no_wait(facts: Facts):
    later = shop(members=400, seed=9)
    moved = replace(later, order_at=later.order_at % (30 * DAY) + AS_OF)
    cutoff, members = AS_OF - 60 * DAY, np.arange(400, dtype=np.int32)
    alone = aft.waited(facts, cutoff, AS_OF, members)
    together = aft.waited(joined(facts, moved), cutoff, AS_OF, members)
    assert alone.days.tobytes() == together.days.tobytes()
    assert alone.came.tobytes() == together.came.tobytes()


def concordance(days: F64, came: np.ndarray, told: F64) -> float:
    right, total = 0.0, 0
    for i in range(len(days)):
        for j in range(len(days)):
            later = days[j] > days[i] or (days[j] == days[i] and not came[j])
            if came[i] and later:
                total += 1
                right += 1.0 if told[j] > told[i] else 0.5 if told[j] == told[i] else 0.0
    return right / total


def test_concordance_equals_the_count_over_all_pairs():
    random = np.random.default_rng(0)
    days, told = random.integers(1, 30, 80).astype(float), random.integers(1, 20, 80).astype(float)
    came = random.uniform(size=80) < 0.6
    found = aft.measure(Waited(days, came), told, within=25)
    cut, ended = np.minimum(days, 25), came & (days < 25)
    assert found.concordance == pytest.approx(concordance(cut, ended, told))
    assert found.error == pytest.approx(np.abs(np.minimum(told, 25) - cut).mean())


def test_perfect_and_reversed_orders_of_waits():
    seen = Waited(np.arange(1.0, 51.0), np.ones(50, dtype=bool))
    assert aft.measure(seen, seen.days, 90).concordance == 1
    assert aft.measure(seen, seen.days, 90).error == 0
    assert aft.measure(seen, -seen.days, 90).concordance == 0
    assert aft.measure(seen, np.full(50, 7.0), 90).concordance == 0.5
    nobody = Waited(np.full(5, 90.0), np.zeros(5, dtype=bool))
    assert np.isnan(aft.measure(nobody, np.ones(5), 90).concordance)


def test_days_of_a_known_law_are_learned():
    random = np.random.default_rng(1)
    values: F32 = random.normal(0, 1, (6000, 3)).astype(np.float32)
    true = np.exp(3 + 0.8 * values[:, 0])
    days = true * np.exp(random.normal(0, 0.8, 6000))
    came = days < 60
    facts = Waited(np.minimum(days, 60), came)
    trees = booster.fit_waits(values[:4000], facts.days[:4000], came[:4000])
    told = aft.Waits(trees).days(values[4000:], threads=1)
    assert np.corrcoef(np.log(told), np.log(true[4000:]))[0, 1] > 0.95
    assert np.median(told / true[4000:]) == pytest.approx(1, abs=0.2)


def test_the_model_tells_waits_better_than_the_members_own_rhythm():
    facts = shop(members=1200, days=600, seed=11)
    past, cutoff, end = Past(facts, Plan()), START + 480 * DAY, START + 600 * DAY
    rows = past.rows(past.cutoffs(cutoff))
    model = aft.fit(past, rows, as_of=cutoff)
    matrix = past.whole(cutoff).matrix
    seen = aft.waited(facts, cutoff, end, matrix.members)
    ours = aft.measure(seen, model.days(matrix.only(rows.names), threads=1), 90)
    own = aft.measure(seen, aft.own_rhythm(matrix), 90)
    assert ours.concordance > max(own.concordance, 0.6) + 0.03
    assert ours.error < own.error


def test_own_rhythm_counts_from_the_last_order():
    at = START + np.array([0, 10, 20, 30, 55]) * DAY
    facts = Facts(
        member_ids=[0, 1],
        order_member=np.array([0, 0, 0, 0, 1]),
        order_at=at,
        order_fen=np.full(5, 100),
    )
    matrix = build(facts, START + 36 * DAY, np.array([0], dtype=np.int32))
    assert aft.own_rhythm(matrix).tolist() == [4.0]
    both = build(facts, START + 60 * DAY, np.array([0, 1], dtype=np.int32))
    assert aft.own_rhythm(both).tolist() == [0.0, 5.0]


def test_scores_tell_days_and_the_silent_wait_longer(facts: Facts, artifact: Artifact):
    scores = score(artifact, facts, as_of=AS_OF)
    days = scores.next_order_days
    assert days.shape == scores.probability.shape
    assert ((days >= 0.5) & (days <= LONGEST)).all()
    risk = np.argsort(scores.probability)
    assert np.median(days[risk[-50:]]) > 3 * np.median(days[risk[:50]])


def test_a_model_without_waits_tells_none(facts: Facts, artifact: Artifact):
    scores = score(replace(artifact, waits=None), facts, as_of=AS_OF)
    assert np.isnan(scores.next_order_days).all()


def test_odds_carried_to_longer_silences_fall_and_keep_their_own_horizon():
    random = np.random.default_rng(0)
    odds, told = random.normal(0.5, 2, 300), random.uniform(0.5, LONGEST, 300)
    days = [aft.lasting(odds, told, 45, np.full(300, length)) for length in (1, 20, 45, 60, 90)]
    assert all((sooner > later).all() for sooner, later in pairwise(days))
    assert np.allclose(days[2], odds)
    assert np.isfinite(days).all()
    # Each row by its own days, whatever the others are asked for.
    mixed = aft.lasting(odds, told, 45, np.where(np.arange(300) < 150, 20.0, 90.0))
    assert np.array_equal(mixed[:150], days[1][:150])
    assert np.array_equal(mixed[150:], days[4][150:])
