from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import MONTH, World
from tests.simulation.reading import INSTANT, START, cut, merged, run, unordered

SPAN = timedelta(days=70)
hours = st.integers(0, 70 * 24).map(lambda hour: START + timedelta(hours=hour))


def small(seed: int = 5, members: int = 120) -> World:
    return World(seed, members, START, 2.3)


@settings(max_examples=25, deadline=None)
@given(until=hours, seed=st.integers(0, 3))
def test_the_past_does_not_depend_on_how_far_the_world_is_run(until: datetime, seed: int) -> None:
    later = run(small(seed), START + SPAN)

    assert unordered(cut(later, until)) == unordered(run(small(seed), until))


@settings(max_examples=25, deadline=None)
@given(first=hours, second=hours)
def test_a_continued_run_gives_what_one_run_gives(first: datetime, second: datetime) -> None:
    world, since, until = small(), min(first, second), max(first, second)

    continued = merged(run(world, since), run(world, until, since))

    assert unordered(continued) == unordered(run(world, until))


@settings(max_examples=15, deadline=None)
@given(since=hours, hour=st.integers(1, 400))
def test_nothing_new_lies_outside_of_the_asked_time(since: datetime, hour: int) -> None:
    until = since + timedelta(hours=hour)
    facts = run(small(), until, since)

    for name, at in INSTANT.items():
        assert all(since <= row[at] < until for row in facts[name])
    assert all(row["placed_at"] < since for row in facts["order_updates"])
    for row in facts["orders"] + facts["order_updates"]:
        known = ("paid_at", "cancelled_at", "delivered_at", "settled_at", "complained_at")
        assert all(row[name] is None or row[name] < until for name in known)


@settings(max_examples=10, deadline=None)
@given(steps=st.lists(st.integers(3, 200), min_size=2, max_size=9), seed=st.integers(0, 2))
def test_a_world_that_keeps_where_it_was_goes_on_like_one_that_lives_all_again(
    steps: list[int], seed: int
) -> None:
    plain, kept = small(seed), World(seed, 120, START, 2.3, keeps=True)
    since = START
    for number, hours in enumerate(steps):
        until = since + timedelta(hours=hours)
        assert unordered(run(kept, until, since)) == unordered(run(plain, until, since))
        for world in (plain, kept):
            for member in range(number, 120, 3):
                world.measures.add(until, member, 0.9)
        since = until
    assert unordered(run(kept, since)) == unordered(run(plain, since))


def test_several_parts_of_members_keep_both_promises() -> None:
    world, until = World(2, 4_500, START, 1.0), START + MONTH
    middle = START + timedelta(days=17, hours=5)
    whole, older = run(world, until), run(world, middle)

    assert unordered(cut(whole, middle)) == unordered(older)
    assert unordered(merged(older, run(world, until, middle))) == unordered(whole)


def test_the_same_seed_makes_the_same_world_and_another_makes_another() -> None:
    until = START + SPAN

    assert unordered(run(small(8), until)) == unordered(run(small(8), until))
    eights, nines = run(small(8), until), run(small(9), until)
    for name, key in (("orders", "order_no"), ("events", "event_id"), ("members", "openid")):
        assert not {row[key] for row in eights[name]} & {row[key] for row in nines[name]}


def test_all_members_have_joined_by_the_end_and_no_sooner() -> None:
    world = small()
    counts = [len(run(world, START + timedelta(days=day))["members"]) for day in (10, 40, 71)]

    assert 0 < counts[0] < counts[1] < counts[2] == 120


@pytest.mark.parametrize("members", [1, 2, 9, 11])
def test_a_tiny_world_is_whole(members: int) -> None:
    facts = run(small(members=members), START + SPAN)

    assert len(facts["members"]) == members
    assert facts["leaders"]
    assert facts["events"]


def test_a_block_spans_four_weeks_at_most_and_its_columns_are_equally_long() -> None:
    for block in small().blocks(START + SPAN):
        for _, table in block.tables():
            assert {len(column) for column in table.columns.values()} <= {len(table)}
        if len(block.events):
            instants = block.events["at"]
            assert instants.max() - instants.min() <= np.timedelta64(28, "D")


def test_an_empty_span_has_no_blocks() -> None:
    assert list(small().blocks(START)) == []
    assert list(small().blocks(START + SPAN, since=START + SPAN)) == []


def test_refuses_naive_instants_and_empty_worlds() -> None:
    with pytest.raises(ValueError, match="time zone"):
        World(1, 10, datetime(2026, 1, 1))  # noqa: DTZ001 - the naive instant is the point
    with pytest.raises(ValueError, match="time zone"):
        list(small().blocks(datetime(2026, 4, 1)))  # noqa: DTZ001 - the same
    with pytest.raises(ValueError, match="at least one"):
        World(1, 0, START)


def test_truth_at_a_time_is_what_the_run_lived_through() -> None:
    world, at = small(), START + timedelta(days=30)
    known = list(world.truths(at))
    joined = [row["key"] for row in run(world, at)["members"]]

    assert [latent.member for latent in known] == joined
    assert all(world.truth(latent.member, at) == latent for latent in known[::17])
    for latent in known:
        assert latent.phase != "NOT_JOINED"
        assert latent.silent_from is None or latent.silent_from <= at
    with pytest.raises(KeyError):
        world.truth(120, at)


def test_before_joining_truth_knows_nothing() -> None:
    world = small()
    last = world.truth(119, START + timedelta(days=1))

    assert (last.phase, last.orders_per_week, last.visits_per_week) == ("NOT_JOINED", 0.0, 0.0)


def test_instants_are_aware_and_utc() -> None:
    facts = run(small(), START + SPAN)

    assert all(row["at"].tzinfo is UTC for row in facts["events"])
