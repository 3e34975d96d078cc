"""Facts that nobody would wish to learn from: the models must refuse plainly or stay sane."""

from dataclasses import fields, replace

import numpy as np
import pytest

from ml.arrays import DAY
from ml.artifact import from_bytes
from ml.errors import TooLittleHistory
from ml.facts import Facts
from ml.scoring import Scores, score
from ml.training import train
from tests.ml.small_shop import START, shop

AS_OF = START + 380 * DAY


def trained(facts: Facts, as_of: int = AS_OF, **options: int) -> Scores:
    model = train(facts, as_of=as_of, **options)
    again = from_bytes(model.to_bytes())
    scores = score(again, facts, as_of=as_of)
    assert scores.probability.tobytes() == score(model, facts, as_of=as_of).probability.tobytes()
    assert len(scores.members)
    assert np.isfinite(scores.probability).all()
    assert ((scores.probability > 0) & (scores.probability < 1)).all()
    assert (scores.next_order_days > 0).all()
    return scores


@pytest.fixture(scope="module")
def plain() -> Facts:
    return shop(members=300, days=400, events=False)


@pytest.mark.parametrize("fen", [0, 1, 10**12, 10**18])
def test_amounts_that_are_all_alike_or_absurd(plain: Facts, fen: int):
    trained(replace(plain, order_fen=np.full(len(plain.order_fen), fen)))


def test_one_absurd_amount_among_sane_ones(plain: Facts):
    fen = plain.order_fen.copy()
    fen[::50] = 10**18
    spoilt = trained(replace(plain, order_fen=fen))
    sane = trained(plain)
    assert np.corrcoef(spoilt.probability, sane.probability)[0, 1] > 0.8


def test_every_row_twice_changes_no_ranking_of_members(plain: Facts):
    columns = {
        column.name: np.repeat(getattr(plain, column.name), 2)
        for column in fields(Facts)
        if column.name.startswith("order_")
    }
    twice = trained(replace(plain, **columns))
    once = trained(plain)
    assert twice.members.tobytes() == once.members.tobytes()
    assert np.corrcoef(twice.probability, once.probability)[0, 1] > 0.9


def test_rows_in_any_order_give_the_same_model(plain: Facts):
    mixed = np.random.default_rng(0).permutation(len(plain.order_at))
    columns = {
        column.name: getattr(plain, column.name)[mixed]
        for column in fields(Facts)
        if column.name.startswith("order_")
    }
    first, second = train(plain, as_of=AS_OF), train(replace(plain, **columns), as_of=AS_OF)
    assert first.to_bytes() == second.to_bytes()


@pytest.mark.parametrize("members", [31, 60])
def test_a_handful_of_members(members: int):
    trained(shop(members=members * 2, days=400, seed=2, events=False))


def every(days: int, members: int = 50, span: int = 400) -> Facts:
    at = np.arange(0, span, days)
    return Facts(
        member_ids=np.arange(members),
        order_member=np.repeat(np.arange(members, dtype=np.int32), len(at)),
        order_at=START + np.tile(at, members) * DAY + 3600,
        order_fen=np.full(members * len(at), 1000),
    )


def test_nobody_ever_falls_silent():
    with pytest.raises(TooLittleHistory):
        train(every(7), as_of=AS_OF)


def test_everybody_buys_once():
    random = np.random.default_rng(0)
    facts = Facts(
        member_ids=np.arange(400),
        order_member=np.arange(400, dtype=np.int32),
        order_at=START + random.integers(0, 380, 400) * DAY,
        order_fen=np.full(400, 1000),
    )
    with pytest.raises(TooLittleHistory):
        train(facts, as_of=AS_OF)


def test_members_who_are_all_alike_get_one_probability():
    keeps, leaves = every(10), every(10, span=200)
    both = Facts(
        member_ids=np.arange(100),
        order_member=np.concatenate([keeps.order_member, leaves.order_member + 50]),
        order_at=np.concatenate([keeps.order_at, leaves.order_at]),
        order_fen=np.full(len(keeps.order_at) + len(leaves.order_at), 1000),
    )
    scores = trained(both)
    assert np.ptp(scores.probability[scores.members < 50]) < 1e-9


@pytest.mark.parametrize("days", [30, 90])
def test_other_horizons_are_learned_and_told(days: int):
    facts = shop(members=300, days=420, events=False)
    near = train(facts, as_of=AS_OF, horizon_days=days)
    assert near.about.horizon_days == days
    assert max(near.about.cutoffs) + days * DAY <= AS_OF
    trained(facts, horizon_days=days)


def test_silence_is_less_likely_the_longer_the_horizon():
    facts = shop(members=400, days=420, events=False)
    means = [trained(facts, horizon_days=days).probability.mean() for days in (30, 45, 90)]
    assert means[0] > means[1] > means[2]
