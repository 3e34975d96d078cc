"""Nothing after a cutoff is seen, and learning sees members exactly as scoring does."""

from dataclasses import fields, replace

import numpy as np
import pytest

from ml import features, training
from ml.arrays import DAY, sigmoid
from ml.artifact import Artifact
from ml.facts import COMPLAINT, NEVER, Facts
from ml.labels import population
from ml.samples import Past, Plan
from ml.scoring import score
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import shop


def rich(seed: int) -> Facts:
    """The small shop with lines, cancellations, and events of every kind on both sides of AS_OF."""
    facts, random = shop(seed=seed), np.random.default_rng(seed)
    orders, events = len(facts.order_at), len(facts.event_at)
    line = np.repeat(np.arange(orders), random.integers(0, 4, orders))
    at = facts.order_at + random.integers(-60, 120, orders) * DAY
    gone = np.where(
        random.uniform(size=orders) < 0.1, at + random.integers(1, 90, orders) * DAY, NEVER
    )
    back = np.where(
        random.uniform(size=orders) < 0.2, at + random.integers(0, 60, orders) * DAY, NEVER
    )
    return replace(
        facts,
        order_at=at,
        order_gone_at=gone,
        order_refund_fen=np.where(back < NEVER, facts.order_fen // 3, 0),
        order_refund_at=back,
        line_order=line,
        line_product=random.integers(0, 40, len(line)),
        line_category=random.integers(-1, 6, len(line)),
        event_at=facts.event_at + random.integers(-60, 120, events) * DAY,
        event_kind=random.integers(1, COMPLAINT + 4, events),
    )  # fmt: skip


def disturbed(facts: Facts, as_of: int, seed: int) -> Facts:
    """The same past with another future: rows at or after `as_of` changed, their refunds and
    cancellations moved, others added, and all rows shuffled."""
    random = np.random.default_rng(seed)
    other = rich(seed + 1)
    later = np.flatnonzero(other.order_at >= as_of)
    old, future = facts.order_at < as_of, facts.order_at >= as_of
    kept = np.concatenate([np.flatnonzero(old), np.flatnonzero(future)[::2]])
    columns = {
        name: np.concatenate([getattr(facts, name)[kept], getattr(other, name)[later]])
        for name in (f.name for f in fields(Facts))
        if name.startswith("order_")
    }
    place = np.full(len(facts.order_at), -1)
    place[kept] = np.arange(len(kept))
    lines = place[facts.line_order] >= 0
    past = np.arange(len(kept) + len(later)) < old.sum()
    size = len(past)
    columns["order_fen"] = np.where(past, columns["order_fen"], random.integers(0, 10**6, size))
    for name in ("order_refund_at", "order_gone_at"):
        moved = random.choice([as_of, as_of + DAY, NEVER], size)
        columns[name] = np.where(columns[name] >= as_of, moved, columns[name])
    unseen = columns["order_refund_at"] >= as_of
    columns["order_refund_fen"] = np.where(
        unseen, random.integers(0, 900, size), columns["order_refund_fen"]
    )
    early = facts.event_at < as_of
    extra = np.flatnonzero(other.event_at >= as_of)
    events = {
        name: np.concatenate([getattr(facts, name)[early], getattr(other, name)[extra]])
        for name in ("event_member", "event_at", "event_kind", "event_seconds")
    }
    answer = replace(
        facts,
        **columns,
        **events,
        line_order=place[facts.line_order][lines],
        line_product=facts.line_product[lines],
        line_category=facts.line_category[lines],
    )
    return shuffled(answer, random)


def shuffled(facts: Facts, random: np.random.Generator) -> Facts:
    order = random.permutation(len(facts.order_at))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    line, event = random.permutation(len(facts.line_order)), random.permutation(len(facts.event_at))
    rows = {"order": order, "line": line, "event": event}
    columns = {
        f.name: getattr(facts, f.name)[rows[f.name.split("_")[0]]]
        for f in fields(Facts)
        if f.name.split("_")[0] in rows
    }
    columns["line_order"] = place[facts.line_order][line]
    return replace(facts, **columns)


@pytest.fixture(scope="module")
def model() -> Artifact:
    return training.train(rich(1), as_of=AS_OF)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("as_of", [AS_OF - 40 * DAY, AS_OF - 40 * DAY + 33_333])
def test_another_future_changes_no_bit_of_the_features(seed: int, as_of: int):
    facts = rich(seed)
    other = disturbed(facts, as_of, seed)
    assert len(other.order_at) != len(facts.order_at)
    members = population(facts, as_of)
    assert members.tobytes() == population(other, as_of).tobytes()
    assert len(members) > 100
    mine = features.build(facts, as_of, members)
    for theirs in (
        features.build(other, as_of, members),
        features.build(facts.before(as_of), as_of, members),
    ):
        assert mine.names == theirs.names
        different = [
            name
            for name, a, b in zip(mine.names, mine.values.T, theirs.values.T, strict=True)
            if a.tobytes() != b.tobytes()
        ]
        assert different == []


def test_the_present_is_seen_or_the_test_above_could_not_fail():
    facts = rich(3)
    members = population(facts, AS_OF - 40 * DAY)
    mine = features.build(facts, AS_OF - 40 * DAY, members)
    for column, change in (
        ("order_fen", 700), ("order_refund_at", DAY), ("order_gone_at", 90 * DAY),
        ("line_category", 1), ("event_kind", 1),
    ):  # fmt: skip
        values = getattr(facts, column)
        moved = (
            np.where(values == NEVER, NEVER, values + change)
            if "_at" in column
            else values + change
        )
        other = replace(facts, **{column: moved})
        theirs = features.build(other, AS_OF - 40 * DAY, members)
        assert mine.values.tobytes() != theirs.values.tobytes(), column


@pytest.mark.parametrize("seed", [1, 2])
def test_another_future_changes_no_bit_of_the_scores(model: Artifact, seed: int):
    facts, as_of = rich(seed), AS_OF - 40 * DAY
    mine = score(model, facts, as_of=as_of)
    theirs = score(model, disturbed(facts, as_of, seed), as_of=as_of)
    assert mine.members.tobytes() == theirs.members.tobytes()
    assert mine.probability.tobytes() == theirs.probability.tobytes()
    assert mine.reasons == theirs.reasons


def test_another_future_trains_the_same_model(model: Artifact):
    facts = disturbed(rich(1), AS_OF, seed=1)
    assert training.train(facts, as_of=AS_OF).to_bytes() == model.to_bytes()


def test_learning_and_scoring_see_the_same_values(model: Artifact):
    """What a member's row was when it was learned from is what scoring that day had computed."""
    facts = rich(1)
    past = Past(facts, Plan())
    cutoffs = past.cutoffs(AS_OF)
    assert len(cutoffs) > 3
    for cutoff in cutoffs:
        learned = past.at(cutoff).matrix
        then = facts.before(cutoff)
        purchases = features.fit_expectations(then, cutoff)
        today = features.build(then, cutoff, population(then, cutoff), purchases=purchases)
        assert learned.names == today.names
        assert learned.values.tobytes() == today.values.tobytes()


def test_scores_are_the_model_on_the_matrix_of_the_samples(model: Artifact):
    facts = rich(1)
    past = Past(facts, Plan())
    matrix = features.build(
        past.facts, AS_OF, past.members(AS_OF), purchases=model.purchases, horizon_days=45
    )
    scored = score(model, facts, as_of=AS_OF, reasons_for=0)
    odds = model.models.log_odds(matrix)[model.choice] + model.shift
    assert np.abs(scored.probability - sigmoid(odds)).max() < 1e-6
