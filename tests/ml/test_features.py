import itertools
import statistics
from dataclasses import replace

import numpy as np
import pytest

from ml import features
from ml.arrays import DAY
from ml.facts import BROWSE, SESSION, Facts
from ml.labels import population
from tests.ml.small_shop import START, joined, shop

AS_OF = START + 300 * DAY


def order_days(facts: Facts, member: int, as_of: int) -> dict[int, float]:
    """Oracle: what each day of orders was worth, by plain loops."""
    days: dict[int, float] = {}
    for row in range(len(facts.order_at)):
        if facts.order_member[row] != member or facts.order_at[row] >= as_of:
            continue
        day = (int(facts.order_at[row]) + facts.utc_offset) // DAY
        refund = facts.order_refund_fen[row] if facts.order_refund_at[row] < as_of else 0
        days[day] = days.get(day, 0) + float(facts.order_fen[row] - refund) / 100
    return days


def of_one(facts: Facts, member: int, as_of: int) -> dict[str, float]:
    """Oracle for a member's main columns."""
    days = order_days(facts, member, as_of)
    today = (as_of + facts.utc_offset) // DAY
    ordered = sorted(days)
    gaps = [b - a for a, b in itertools.pairwise(ordered)]
    nan = float("nan")
    answer = {"recency": float(today - ordered[-1]), "basket_last": days[ordered[-1]]}
    for window in (7, 14, 30, 60, 90, 180, 365):
        inside = [day for day in ordered if today - day <= window]
        answer[f"orders_{window}"] = float(len(inside))
        answer[f"spend_{window}"] = sum(days[day] for day in inside)
    answer["interval_mean"] = statistics.fmean(gaps) if gaps else nan
    answer["interval_median"] = statistics.median(gaps) if gaps else nan
    answer["interval_min"] = float(min(gaps)) if gaps else nan
    answer["interval_max"] = float(max(gaps)) if gaps else nan
    answer["interval_last"] = float(gaps[-1]) if gaps else nan
    answer["interval_sd"] = statistics.pstdev(gaps) if len(gaps) > 1 else nan
    answer["single_order"] = float(len(ordered) == 1)
    answer["basket_max"] = max(days.values())
    answer["basket_mean"] = statistics.fmean(days.values())
    week = [sum(1 for d in ordered if 7 * w < today - d <= 7 * w + 7) for w in range(12)]
    week[0] += sum(1 for d in ordered if d == today)
    answer["active_weeks_84"] = float(sum(1 for number in week if number))
    answer["orders_slope_84"] = statistics.linear_regression(range(12), week[::-1]).slope
    weekend = sum(1 for d in ordered if (d + 3) % 7 >= 5)
    answer["weekend_share"] = weekend / len(ordered)
    return answer


@pytest.mark.parametrize("as_of", [AS_OF, AS_OF + 40_000])
@pytest.mark.parametrize("offset", [0, 8 * 3600])
def test_columns_equal_a_slow_oracle(as_of: int, offset: int):
    facts = replace(shop(members=60), utc_offset=offset)
    members = population(facts, as_of)
    matrix = features.build(facts, as_of, members)
    assert len(members) > 20
    for row, member in enumerate(members):
        for name, expected in of_one(facts, int(member), as_of).items():
            got = float(matrix.values[row, matrix.names.index(name)])
            assert got == pytest.approx(expected, rel=1e-5, abs=1e-5, nan_ok=True), name


def test_event_columns_equal_counts_by_hand():
    facts = shop(members=60)
    members = population(facts, AS_OF)
    matrix = features.build(facts, AS_OF, members)

    def count(member: int, kind: int, first: int, last: int) -> int:
        return sum(
            1
            for who, at, what in zip(
                facts.event_member, facts.event_at, facts.event_kind, strict=True
            )
            if who == member and what == kind and AS_OF - last * DAY <= at < AS_OF - first * DAY
        )

    for row, member in enumerate(members):
        for name, kind in (("sessions", SESSION), ("browses", BROWSE)):
            recent = matrix.column(f"{name}_28")[row]
            assert recent == count(member, kind, 0, 28)
            assert matrix.column(f"{name}_29_56")[row] == count(member, kind, 28, 56)
    assert matrix.column("sessions_28").sum() > 0
    assert np.ptp(matrix.column("usage_trend_56")) > 0


def test_rows_after_the_cutoff_change_no_bit():
    facts = shop()
    later = replace(shop(members=450, seed=9), utc_offset=0)
    moved = replace(
        later, order_at=later.order_at % (50 * DAY) + AS_OF, event_at=later.event_at + 400 * DAY
    )
    both = joined(facts, moved)
    known = facts.before(AS_OF)
    alone = features.build(known, AS_OF)
    assert len(both.order_at) > len(known.order_at) * 1.5
    together = features.build(both, AS_OF)
    assert alone.names == together.names
    assert alone.members.tobytes() == together.members.tobytes()
    assert alone.values.tobytes() == together.values.tobytes()


def test_the_order_of_rows_does_not_matter():
    facts = shop(members=80, events=False)
    turned = np.random.default_rng(3).permutation(len(facts.order_at))
    columns = ("order_member", "order_at", "order_fen", "order_items", "order_discount_fen")
    refunds = ("order_refund_fen", "order_refund_at", "order_products")
    shuffled = replace(facts, **{c: getattr(facts, c)[turned] for c in columns + refunds})
    ours, theirs = features.build(facts, AS_OF), features.build(shuffled, AS_OF)
    assert ours.values.tobytes() == theirs.values.tobytes()


def test_order_only_facts_and_members_without_orders_work():
    facts = shop(members=30, events=False)
    lonely = replace(facts, member_ids=np.arange(31))
    members = np.append(population(facts, AS_OF), 30).astype(np.int32)
    matrix = features.build(lonely, AS_OF, members)
    assert np.isnan(matrix.column("recency")[-1])
    assert matrix.column("orders_365")[-1] == 0
    rest = features.build(facts, AS_OF, members[:-1])
    assert matrix.values[:-1].tobytes() == rest.values.tobytes()


def test_a_population_out_of_order_is_refused():
    with pytest.raises(ValueError, match="ascending"):
        features.build(shop(), AS_OF, np.array([3, 2], dtype=np.int32))


def test_days_needed_reads_the_number_a_name_ends_in():
    assert features.days_needed("orders_31_60") == 60
    assert features.days_needed("recency") == 0
