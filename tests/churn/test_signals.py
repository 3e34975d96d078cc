"""Signals against a plain look at the same events: windows, limits, hysteresis and repetition."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from app import churn
from app.churn.rules import falls_into_signal, signal_end, signal_windows
from app.kernel.clock import day_start
from app.kernel.db import Database
from app.members import Member, MemberStatus
from app.orders import Activity, ActivityKind
from tests.conftest import TestClock
from tests.make.members import community, member

SHANGHAI = "Asia/Shanghai"
LOGINS, USAGE = churn.SignalKind.LOGINS, churn.SignalKind.USAGE


async def people(
    database: Database, count: int = 1, zone: str = SHANGHAI, **settings: object
) -> list[UUID]:
    async with database.begin() as tx:
        home = await community(tx, name=zone, time_zone=zone)
        home.settings = settings
        return [(await member(tx, community_id=home.id)).id for _ in range(count)]


async def happened(
    database: Database,
    member_id: UUID,
    *at: datetime,
    seconds: int = 0,
    kind: ActivityKind = ActivityKind.SESSION,
) -> None:
    async with database.begin() as tx:
        tx.session.add_all(
            Activity(
                member_id=member_id, event_id=str(tx.new_id()), kind=kind, at=when, seconds=seconds
            )
            for when in at
        )


async def habit(database: Database, member_id: UUID, *, before: int, recent: int) -> None:
    """Sessions of no length, so many in each window, none of them in its first days."""
    earlier, middle, _ = (
        edge + timedelta(days=4) for edge in signal_windows(database.clock(), SHANGHAI)
    )
    hour = timedelta(hours=1)
    await happened(database, member_id, *(earlier + n * hour for n in range(before)))
    await happened(database, member_id, *(middle + n * hour for n in range(recent)))


async def look(
    database: Database, zone: str = SHANGHAI, at: datetime | None = None
) -> churn.Looked:
    async with database.begin() as tx:
        return await churn.look_at_signals(tx, zone=zone, at=at)


async def signals(database: Database, member_id: UUID) -> list[churn.ChurnSignal]:
    async with database.read() as read:
        query = select(churn.ChurnSignal).where(churn.ChurnSignal.member_id == member_id)
        rows = await read.session.scalars(query.order_by("opened_at", "kind"))
        return list(rows)


async def kinds(database: Database, member_ids: Sequence[UUID]) -> list[list[str]]:
    async with database.read() as read:
        found = await churn.open_signals_by_member(read, member_ids)
    return [[row.kind.value for row in found.get(key, [])] for key in member_ids]


async def test_log_ins_fall_by_30_percent_and_use_by_40_from_four_sessions_on(
    database: Database, clock: TestClock
) -> None:
    given = {
        "exactly 30% fewer": (10, 7, ["LOGINS"]),
        "a little less": (10, 8, []),
        "all gone": (4, 0, ["LOGINS"]),
        "three are no habit": (3, 0, []),
        "more than before": (4, 9, []),
    }
    ids = await people(database, len(given))
    for key, (before, recent, _) in zip(ids, given.values(), strict=True):
        await habit(database, key, before=before, recent=recent)
    assert await look(database) == churn.Looked(opened=2)
    assert await kinds(database, ids) == [wanted for _, _, wanted in given.values()]
    (signal,) = await signals(database, ids[0])
    assert (signal.baseline, signal.recent, signal.outcome) == (10, 7, None)
    assert signal.change == pytest.approx(-0.3)


async def test_use_counts_the_seconds_of_everything_done(
    database: Database, clock: TestClock
) -> None:
    ids = await people(database, 3)
    earlier, middle, _ = signal_windows(clock.now, SHANGHAI)
    hour = timedelta(hours=1)
    for key, browsed in zip(ids, (599, 600, 601), strict=True):
        await happened(database, key, *(earlier + n * hour for n in range(4)), seconds=100)
        await happened(database, key, earlier, seconds=600, kind=ActivityKind.BROWSE)
        await happened(database, key, *(middle + n * hour for n in range(4)))
        await happened(database, key, middle, seconds=browsed, kind=ActivityKind.BROWSE)
    assert await look(database) == churn.Looked(opened=2)
    assert await kinds(database, ids) == [["USAGE"], ["USAGE"], []]
    (signal,) = await signals(database, ids[1])
    assert (signal.baseline, signal.recent) == (1000, 600)


@pytest.mark.parametrize("zone", [SHANGHAI, "America/New_York", "Pacific/Auckland"])
async def test_windows_are_whole_business_days_to_the_last_millisecond(
    database: Database, clock: TestClock, zone: str
) -> None:
    # New York puts its clocks forward within these windows, Auckland back after them.
    early, late = await people(database, 2, zone)
    today = clock.now.astimezone(UTC)
    earlier, middle, end = signal_windows(today, zone)
    moment = timedelta(milliseconds=1)
    local = [edge.astimezone(ZoneInfo(zone)) for edge in (earlier, end)]
    assert [edge.hour for edge in local] == [0, 0]
    assert (local[1].date() - local[0].date()).days == 56
    inside = [earlier, earlier + moment, middle - moment, middle - 2 * moment]
    await happened(database, early, *inside, earlier - moment, end, end + moment)
    # Sessions on either side of the middle: four before, three after, one of them at the last.
    await happened(database, late, *inside, middle, middle + moment, end - moment)
    await look(database, zone)
    assert await kinds(database, [early, late]) == [["LOGINS"], []]
    (signal,) = await signals(database, early)
    assert (signal.baseline, signal.recent, signal.opened_at) == (4, 0, end)


async def test_a_signal_lasts_until_half_of_the_fall_is_made_good(
    database: Database, clock: TestClock
) -> None:
    (one,) = await people(database)
    # 20 sessions, then none for 14 days, then one a day: the recent window fills up by degrees.
    start = day_start(clock.now.date(), SHANGHAI) - timedelta(days=56)
    days = [*range(28), *range(28, 42), *range(56, 100)]
    await happened(database, one, *(start + timedelta(days=day, hours=9) for day in days))
    open_on: list[bool] = []
    for _ in range(45):
        before, recent = figures_of(days, len(open_on))
        await look(database)
        open_on.append(bool((await kinds(database, [one]))[0]))
        was = len(open_on) > 1 and open_on[-2]
        given = {"baseline": before, "recent": recent, "sessions": before, "fall": 30.0}
        ends = signal_end(**given)
        assert open_on[-1] == (ends is None if was else falls_into_signal(**given))
        clock.advance(days=1)
    assert open_on[0] is True
    assert open_on[-1] is False
    rows = await signals(database, one)
    assert [row.outcome for row in rows] == [churn.SignalOutcome.RECOVERED]


def figures_of(days: list[int], today: int) -> tuple[int, int]:
    """Sessions of both windows when the 56th day from the start is `today` days ago."""
    end = 56 + today
    return (
        sum(end - 56 <= day < end - 28 for day in days),
        sum(end - 28 <= day < end for day in days),
    )


async def test_a_signal_fades_when_nothing_is_left_to_compare_with(
    database: Database, clock: TestClock
) -> None:
    (one,) = await people(database)
    await habit(database, one, before=5, recent=0)
    assert (await look(database)).opened == 1
    clock.advance(days=28)
    assert await look(database) == churn.Looked(faded=1)
    (signal,) = await signals(database, one)
    assert (signal.outcome, signal.baseline) == (churn.SignalOutcome.FADED, 5)
    assert await look(database) == churn.Looked()


async def test_looking_again_changes_nothing_and_neither_does_looking_back(
    database: Database, clock: TestClock
) -> None:
    (one,) = await people(database)
    await habit(database, one, before=10, recent=0)
    assert await look(database) == churn.Looked(opened=1)
    before = [vars_of(row) for row in await signals(database, one)]
    assert await look(database) == churn.Looked()
    assert await look(database, at=clock.now - timedelta(days=1)) == churn.Looked()
    assert [vars_of(row) for row in await signals(database, one)] == before
    clock.advance(days=1)
    assert await look(database) == churn.Looked(ongoing=1)


def vars_of(row: churn.ChurnSignal) -> tuple[object, ...]:
    return (row.kind, row.opened_at, row.as_of, row.baseline, row.recent, row.closed_at)


async def test_members_who_left_and_test_members_have_no_signals(
    database: Database, clock: TestClock
) -> None:
    gone, tester, stays = await people(database, 3)
    for key in (gone, tester, stays):
        await habit(database, key, before=10, recent=0)
    async with database.begin() as tx:
        (await tx.session.get_one(Member, tester)).is_test = True
    assert (await look(database)).opened == 2
    async with database.begin() as tx:
        (await tx.session.get_one(Member, gone)).status = MemberStatus.CLOSED
    clock.advance(days=1)
    assert await look(database) == churn.Looked(ongoing=1, faded=1)
    assert await kinds(database, [gone, tester, stays]) == [[], [], ["LOGINS"]]


async def test_a_community_sets_its_own_falls(database: Database) -> None:
    (one,) = await people(database, churn_logins_fall=50, churn_signal_sessions=2)
    other = (await people(database, 1, "Asia/Urumqi", churn_logins_fall="half"))[0]
    for key in (one, other):
        await habit(database, key, before=3, recent=1)
    assert await look(database) == churn.Looked(opened=1)
    assert await kinds(database, [one]) == [["LOGINS"]]


async def test_random_members_against_a_plain_look(database: Database, clock: TestClock) -> None:
    dice = random.Random(7)
    ids = await people(database, 60)
    earlier, middle, end = signal_windows(clock.now, SHANGHAI)
    kept: dict[UUID, list[tuple[datetime, ActivityKind, int]]] = {}
    async with database.begin() as tx:
        for key in ids:
            for _ in range(dice.randrange(40)):
                kind = dice.choice([ActivityKind.SESSION, ActivityKind.BROWSE])
                at = earlier - timedelta(days=3) + timedelta(seconds=dice.randrange(62 * 86_400))
                seconds = dice.randrange(300)
                kept.setdefault(key, []).append((at, kind, seconds))
                tx.session.add(
                    Activity(
                        member_id=key, event_id=str(tx.new_id()), kind=kind, at=at, seconds=seconds
                    )
                )
    await look(database)
    for key in ids:
        rows = kept.get(key, [])
        old = [row for row in rows if earlier <= row[0] < middle]
        new = [row for row in rows if middle <= row[0] < end]
        logins = [sum(row[1] is ActivityKind.SESSION for row in part) for part in (old, new)]
        usage = [sum(row[2] for row in part) for part in (old, new)]
        wanted = [
            kind
            for kind, (baseline, recent), fall in ((LOGINS, logins, 30), (USAGE, usage, 40))
            if falls_into_signal(
                baseline=baseline, recent=recent, sessions=logins[0], fall=float(fall)
            )
        ]
        found = await signals(database, key)
        assert [row.kind for row in found] == wanted
        for row in found:
            figures = logins if row.kind is LOGINS else usage
            assert [row.baseline, row.recent] == figures
