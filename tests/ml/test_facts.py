import numpy as np
import pytest

from ml.arrays import DAY
from ml.facts import NEVER, Facts
from ml.labels import churned, population
from tests.ml.small_shop import START, shop


def facts(**columns: list[int]) -> Facts:
    return Facts(member_ids=[b"a", b"b"], **{k: np.array(v) for k, v in columns.items()})


def test_only_earlier_rows_and_refunds_that_had_happened_are_seen():
    known = facts(
        order_member=[0, 0, 1],
        order_at=[10, 20, 30],
        order_fen=[100, 200, 300],
        order_refund_fen=[100, 50, 0],
        order_refund_at=[15, 25, NEVER],
        event_member=[1, 1],
        event_at=[24, 25],
        event_kind=[1, 1],
    ).before(25)
    assert known.order_fen.tolist() == [100, 200]
    assert known.order_refund_fen.tolist() == [100, 0]
    assert known.order_refund_at.tolist() == [15, NEVER]
    assert known.event_at.tolist() == [24]
    assert len(known.member_ids) == 2


def test_optional_columns_become_zeros_and_undated_refunds_are_never_seen():
    known = facts(order_member=[0], order_at=[10], order_fen=[5], order_refund_fen=[5])
    assert known.order_items.tolist() == [0]
    assert known.before(10**12).order_refund_fen.tolist() == [0]


def test_wrong_lengths_and_codes_are_refused():
    with pytest.raises(ValueError, match="order_at"):
        facts(order_member=[0], order_at=[1, 2], order_fen=[1])
    with pytest.raises(ValueError, match="member_ids"):
        facts(order_member=[2], order_at=[1], order_fen=[1])


def test_no_rows_at_all_is_fine():
    assert len(facts().before(5).in_order().order_at) == 0


def test_in_order_sorts_by_member_and_instant_and_keeps_rows_together():
    mixed = shop(members=50)
    shuffled = np.random.default_rng(0).permutation(len(mixed.order_at))
    turned = Facts(
        mixed.member_ids,
        order_member=mixed.order_member[shuffled],
        order_at=mixed.order_at[shuffled],
        order_fen=mixed.order_fen[shuffled],
    ).in_order()
    rows = list(zip(turned.order_member, turned.order_at, turned.order_fen, strict=True))
    expected = zip(mixed.order_member, mixed.order_at, mixed.order_fen, strict=True)
    assert [row[:2] for row in rows] == sorted(row[:2] for row in rows)
    assert sorted(rows) == sorted(expected)


def test_population_and_labels_have_half_open_windows():
    cutoff = START
    known = Facts(
        member_ids=list(range(5)),
        order_member=np.array([0, 1, 2, 3, 0, 1, 2]),
        order_at=np.array(
            [
                cutoff - 180 * DAY,  # the oldest that counts
                cutoff - 180 * DAY - 1,  # just too old
                cutoff - 1,
                cutoff,  # not known yet
                cutoff + 45 * DAY,  # just after the window
                cutoff + 1,
                cutoff + 45 * DAY - 1,
            ]
        ),
        order_fen=np.ones(7),
    )
    members = population(known, cutoff)
    assert members.tolist() == [0, 2]
    assert churned(known, cutoff, 45, members).tolist() == [1.0, 0.0]
