"""Measures move whoever drifts and can be persuaded, from the next week on, and nobody else."""

from datetime import UTC, datetime, timedelta

import numpy as np

from simulation import World

START = datetime(2025, 1, 6, tzinfo=UTC)
DONE = START + timedelta(weeks=20, days=3)
MEMBERS = 3_000
DAY = timedelta(days=1)


def world() -> World:
    return World(seed=11, members=MEMBERS, start=START, months=4)


def treated(strength: float = 1.0) -> World:
    made = world()
    for member in range(MEMBERS):
        made.measures.add(DONE, member, strength)
    return made


def test_what_was_before_a_measure_stays_as_it_was() -> None:
    plain, moved = world(), treated()
    week_end = datetime.fromtimestamp(plain.monday(21), UTC)
    assert list(plain.truths(week_end - timedelta(seconds=1))) == list(
        moved.truths(week_end - timedelta(seconds=1))
    )
    for one, other in zip(plain.blocks(week_end), moved.blocks(week_end), strict=True):
        assert one.orders.columns.keys() == other.orders.columns.keys()
        for name in one.orders.columns:
            assert one.orders[name].tolist() == other.orders[name].tolist()


def test_the_persuadable_of_those_who_drift_are_moved_and_nobody_who_is_well() -> None:
    plain, moved = world(), treated()
    before = list(plain.truths(datetime.fromtimestamp(plain.monday(20), UTC)))
    after = datetime.fromtimestamp(plain.monday(21), UTC) + timedelta(hours=1)
    without, with_it = list(plain.truths(after)), list(moved.truths(after))
    won: list[float] = []
    lost: list[float] = []
    for known, one, other in zip(before, without, with_it, strict=False):
        if one.phase == other.phase:
            if one.phase in ("DRIFTING", "SILENT"):
                lost.append(one.persuadable)
            continue
        assert one.phase in ("DRIFTING", "SILENT")
        assert other.phase == "ACTIVE"
        assert known.member == one.member
        won.append(one.persuadable)
    assert len(won) > 30
    assert np.mean(won) > np.mean(lost) + 0.1


def test_a_weaker_measure_moves_some_of_those_whom_a_stronger_one_moves() -> None:
    after = datetime.fromtimestamp(world().monday(21), UTC) + timedelta(hours=1)
    moved: list[set[int]] = []
    for strength in (0.0, 0.3, 1.0):
        truths = zip(world().truths(after), treated(strength).truths(after), strict=True)
        moved.append({one.member for one, other in truths if one.phase != other.phase})
    assert not moved[0]
    assert moved[0] < moved[1] < moved[2]


def test_a_few_can_be_persuaded_well_and_many_hardly() -> None:
    shares = np.array([one.persuadable for one in world().truths(DONE)])
    assert 0.1 < np.mean(shares > 0.6) < 0.35
    assert np.mean(shares < 0.4) > 0.4


def test_going_on_from_a_week_is_what_the_world_itself_does() -> None:
    """Without another luck and with the world's own measures, nothing is otherwise."""
    made = treated(0.7)
    week, ahead = 20, 4
    ((at, bought),) = made.what_if([week], ahead, made.measures)
    assert at == week
    begin, end = made.monday(week), made.monday(week + ahead)
    orders = [block.orders for block in made.blocks(datetime.fromtimestamp(end, UTC) + 21 * DAY)]
    status = {
        (member, paid): told
        for table in orders
        if len(table)
        for member, paid, placed, told in zip(
            table["member"].tolist(),
            table["paid_at"].astype(np.int64).tolist(),
            table["placed_at"].astype(np.int64).tolist(),
            table["status"].tolist(),
            strict=True,
        )
        if begin <= placed < end and told not in ("PLACED", "CANCELLED")
    }
    pairs = set(zip(bought["member"].tolist(), bought["paid_at"].tolist(), strict=True))
    assert pairs <= set(status)
    assert {status[left] for left in set(status) - pairs} == {"REFUNDED"}
    emptied = [pair for pair in pairs if status[pair] == "REFUNDED"]
    assert len(emptied) < 0.02 * len(pairs)


def test_another_luck_goes_on_from_the_same_lives() -> None:
    made = world()
    tables = [dict(made.what_if([20], 6, made.measures, luck))[20] for luck in (0, 1, 2)]
    counts = [len(table) for table in tables]
    assert len(set(counts)) > 1
    assert max(counts) < 1.1 * min(counts)
