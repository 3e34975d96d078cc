"""Birthdays and festivals bring each member one gift a cycle, however the job is run."""

import asyncio
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from app import coupons, gifts, staff, tiers
from app.gifts import BIRTHDAY, Birthday, Calendar, Feb29, Festival, GrantOutcome
from app.kernel.clock import day_start
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.members import MemberNotActive, MemberStatus
from tests.conftest import TestClock
from tests.make import coupons as make_coupons
from tests.make import gifts as make
from tests.make.members import community, member

SPRING = Birthday(Calendar.SOLAR, 3, 20)  # two days after the clock's day
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def person(
    database: Database,
    born: Birthday | None = None,
    *,
    zone: str = "Asia/Shanghai",
    status: MemberStatus = MemberStatus.ACTIVE,
) -> UUID:
    async with database.begin() as tx:
        home = (await community(tx, name=zone, time_zone=zone)).id
        one = await member(tx, community_id=home, registered_at=LONG_AGO)
        if born is not None:
            await gifts.set_birthday(tx, member_id=one.id, birthday=born)
        one.status = status
        await tx.session.flush()
        return one.id


async def tell(database: Database, member_id: UUID, born: Birthday) -> Birthday:
    async with database.begin() as tx:
        return await gifts.set_birthday(tx, member_id=member_id, birthday=born)


async def run(database: Database, most: int = 2_000) -> None:
    while True:
        async with database.begin() as tx:
            if not await gifts.give_occasions(tx, most=most):
                return


async def given(database: Database) -> Counter[tuple[UUID, str, int]]:
    async with database.read() as read:
        rows = await read.session.scalars(select(gifts.OccasionGrant))
        return Counter(
            (row.member_id, row.occasion, row.cycle)
            for row in rows
            if row.outcome is GrantOutcome.GRANTED
        )


async def coupons_of(database: Database) -> Counter[UUID]:
    async with database.read() as read:
        return Counter(await read.session.scalars(select(coupons.Coupon.member_id)))


async def plan(database: Database, occasion: str = BIRTHDAY, **more: object) -> UUID:
    async with database.begin() as tx:
        return await make.occasion_gift(tx, occasion=occasion, **more)  # pyright: ignore[reportArgumentType]


async def test_a_birthday_brings_one_coupon_on_its_day(
    database: Database, clock: TestClock
) -> None:
    one, other = await person(database, SPRING), await person(database)
    await person(database, SPRING, status=MemberStatus.FROZEN)
    await plan(database)
    clock.now = day_start(date(2026, 3, 20)) - timedelta(milliseconds=1)
    await run(database)
    assert not await given(database)
    clock.advance(milliseconds=1)
    for _ in range(3):
        await run(database)
        clock.advance(hours=7)
    assert await given(database) == Counter({(one, BIRTHDAY, 2026): 1})
    assert await coupons_of(database) == Counter({one: 1})
    assert other not in await coupons_of(database)
    clock.now = day_start(date(2027, 3, 20))
    await run(database)
    assert await given(database) == Counter({(one, BIRTHDAY, y): 1 for y in (2026, 2027)})


async def test_each_day_of_three_years_gives_exactly_the_oracles_gifts(
    database: Database, clock: TestClock
) -> None:
    """The job by set SQL, day after day, against the plain reckoning of each birthday."""
    born = [
        SPRING,
        Birthday(Calendar.SOLAR, 2, 29, feb29=Feb29.FEB28),
        Birthday(Calendar.SOLAR, 2, 29, feb29=Feb29.MAR1),
        Birthday(Calendar.SOLAR, 2, 28),
        Birthday(Calendar.SOLAR, 1, 1),
        Birthday(Calendar.LUNAR, 11, 20),
        Birthday(Calendar.LUNAR, 12, 30),
        Birthday(Calendar.LUNAR, 12, 29),
        Birthday(Calendar.LUNAR, 1, 1),
        Birthday(Calendar.LUNAR, 5, 7),
        Birthday(Calendar.LUNAR, 5, 7, leap_month=True),
    ]
    clock.now = datetime(2024, 12, 1, tzinfo=UTC)
    people = {await person(database, each): each for each in born}
    await plan(database)
    await plan(database, "SPRING_FESTIVAL")
    first, last = date(2024, 12, 1), date(2028, 12, 31)
    clock.now = day_start(first)
    while clock.now <= day_start(last):
        await run(database)
        clock.advance(days=20)  # late by up to twenty days each time
    clock.now = day_start(last)
    await run(database)
    expected = Counter(
        (one, BIRTHDAY, cycle)
        for one, each in people.items()
        for cycle in range(2024, 2030)
        if first < gifts.birthday_in(each, cycle) <= last
    )
    expected += Counter((one, "SPRING_FESTIVAL", y) for one in people for y in range(2025, 2029))
    assert await given(database) == expected


async def test_a_day_begins_at_its_own_hour_in_each_zone(
    database: Database, clock: TestClock
) -> None:
    near = await person(database, SPRING)
    far = await person(database, SPRING, zone="America/New_York")
    await plan(database)
    clock.now = day_start(date(2026, 3, 20), "America/New_York") - timedelta(milliseconds=1)
    await run(database)
    assert set(await coupons_of(database)) == {near}
    clock.advance(milliseconds=1)
    await run(database)
    assert set(await coupons_of(database)) == {near, far}


async def test_late_runs_make_up_for_a_month_and_not_for_more(
    database: Database, clock: TestClock
) -> None:
    one = await person(database, SPRING)
    two = await person(database, Birthday(Calendar.SOLAR, 4, 25))
    await plan(database)
    await run(database)
    clock.now = day_start(date(2026, 5, 10))
    await run(database)
    assert await given(database) == Counter({(two, BIRTHDAY, 2026): 1}), "one is 51 days late"
    assert one not in await coupons_of(database)


async def test_who_joins_or_tells_on_the_day_is_too_late_for_it(
    database: Database, clock: TestClock
) -> None:
    await plan(database)
    await plan(database, "QIXI")
    early = await person(database, SPRING)
    clock.now = day_start(date(2026, 3, 20))
    late = await person(database, SPRING)
    await run(database)
    clock.advance(days=1)
    await run(database)
    assert set(await given(database)) == {(early, BIRTHDAY, 2026)}
    clock.now = day_start(date(2026, 8, 19))
    async with database.begin() as tx:
        home = await tx.session.scalar(text("SELECT community_id FROM member LIMIT 1"))
        await member(tx, community_id=home)
    await run(database)
    assert {key[0] for key in await given(database) if key[1] == "QIXI"} == {early, late}


async def test_a_change_counts_from_the_next_cycle_and_there_is_one(
    database: Database, clock: TestClock
) -> None:
    one = await person(database, SPRING)
    await plan(database)
    summer = Birthday(Calendar.SOLAR, 7, 1)
    assert await tell(database, one, SPRING) == SPRING, "telling the same again changes nothing"
    await tell(database, one, summer)
    assert await tell(database, one, summer) == summer
    with pytest.raises(gifts.BirthdayChangedAlready):
        await tell(database, one, SPRING)
    for day in (date(2026, 3, 20), date(2026, 7, 1), date(2027, 3, 20), date(2027, 7, 1)):
        clock.now = day_start(day)
        await run(database)
    async with database.read() as read:
        rows = await read.session.execute(
            select(gifts.OccasionGrant.cycle, coupons.Coupon.granted_at).join(
                coupons.Coupon, coupons.Coupon.id == gifts.OccasionGrant.coupon_id
            )
        )
        days = {row[0]: row[1] for row in rows}
    assert days == {2026: day_start(date(2026, 3, 20)), 2027: day_start(date(2027, 7, 1))}


async def test_changing_the_calendar_leaves_one_birthday_in_every_cycle(
    database: Database, clock: TestClock
) -> None:
    ways = [
        (Birthday(Calendar.LUNAR, 12, 20), Birthday(Calendar.SOLAR, 1, 10)),
        (Birthday(Calendar.SOLAR, 1, 10), Birthday(Calendar.LUNAR, 12, 20)),
        (Birthday(Calendar.LUNAR, 11, 20), Birthday(Calendar.SOLAR, 12, 28)),
    ]
    clock.now = day_start(date(2025, 12, 1))
    people = [await person(database, before) for before, _ in ways]
    await plan(database)
    await run(database)
    clock.now = day_start(date(2026, 1, 5))  # lunar 2025 goes on, solar 2026 has begun
    await run(database)
    for one, (_, after) in zip(people, ways, strict=True):
        await tell(database, one, after)
    for _ in range(60):
        clock.advance(days=25)
        await run(database)
    found = await given(database)
    assert set(found.values()) == {1}
    for one in people:
        cycles = sorted(cycle for who, _, cycle in found if who == one)
        assert cycles == list(range(cycles[0], cycles[-1] + 1)), "no cycle is left out"


async def test_tiers_have_gifts_of_their_own(database: Database, clock: TestClock) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
    plain, gold = await person(database, SPRING), await person(database, SPRING)
    async with database.begin() as tx:
        await tx.session.execute(
            text(
                "INSERT INTO tier_standing (member_id, tier_code, since, growth, growth_at)"
                " VALUES (:one, 'GOLD', :at, 0, :at)"
            ),
            {"one": gold, "at": LONG_AGO},
        )
    everyones, golds = await plan(database), await plan(database, tier_code="GOLD")
    clock.now = day_start(date(2026, 3, 20))
    await run(database)
    async with database.read() as read:
        rows = await read.session.execute(select(coupons.Coupon.member_id, coupons.Coupon.batch_id))
        assert {row[0]: row[1] for row in rows} == {plain: everyones, gold: golds}


async def test_a_batch_that_runs_out_and_limits_are_on_record(
    database: Database, clock: TestClock
) -> None:
    people = [await person(database) for _ in range(4)]
    batch = await plan(database, "QIXI", quantity=2, per_member=1)
    async with database.begin() as tx:
        await make_coupons.coupon(tx, member_id=people[0], batch_id=batch)
    clock.now = day_start(date(2026, 8, 19))
    await run(database)
    async with database.read() as read:
        outcomes = Counter(await read.session.scalars(select(gifts.OccasionGrant.outcome)))
    assert outcomes[GrantOutcome.GRANTED] == 1
    assert outcomes[GrantOutcome.NO_STOCK] + outcomes[GrantOutcome.AT_LIMIT] == 3
    assert (await coupons_of(database)).total() == 2


async def test_staff_add_festivals_and_end_gifts(database: Database, clock: TestClock) -> None:
    one = await person(database)
    eve = Festival("NEW_YEARS_EVE", "除夕", "New Year's Eve", Calendar.LUNAR, 12, 30)
    async with database.begin() as tx:
        await gifts.add_festival(tx, festival=eve)
    for festival, refusal in (
        (eve, gifts.FestivalExists),
        (Festival("QIXI", "七夕", "Qixi", Calendar.LUNAR, 7, 7), gifts.FestivalExists),
        (Festival(BIRTHDAY, "生日", "Birthday", Calendar.SOLAR, 7, 7), gifts.FestivalExists),
        (Festival("a b", "某日", "Some day", Calendar.SOLAR, 7, 7), InvalidInput),
        (Festival("ODD", "某日", "Some day", Calendar.SOLAR, 2, 30), InvalidInput),
    ):
        async with database.begin() as tx:
            with pytest.raises(refusal):
                await gifts.add_festival(tx, festival=festival)
    await plan(database, eve.code)
    await plan(database, "QIXI")
    async with database.begin() as tx:
        await gifts.set_occasion_gift(tx, occasion="QIXI", tier_code=None, batch_id=None)
        with pytest.raises(gifts.OccasionNotFound):
            await gifts.set_occasion_gift(tx, occasion="NO", tier_code=None, batch_id=None)
        with pytest.raises(tiers.TierNotFound):
            await gifts.set_occasion_gift(tx, occasion="QIXI", tier_code="NO", batch_id=None)
    for day in (date(2026, 8, 19), date(2027, 2, 5)):
        clock.now = day_start(day)
        await run(database)
    assert await given(database) == Counter({(one, eve.code, 2026): 1})


async def test_only_members_who_take_part_tell_a_birthday(database: Database) -> None:
    frozen = await person(database, status=MemberStatus.FROZEN)
    with pytest.raises(MemberNotActive):
        await tell(database, frozen, SPRING)


async def test_changes_at_once_end_with_one(database: Database) -> None:
    one = await person(database, SPRING)

    async def attempt(month: int) -> bool:
        try:
            await tell(database, one, Birthday(Calendar.SOLAR, month, 1))
        except gifts.BirthdayChangedAlready:
            return False
        return True

    months = [1 + n % 12 for n in range(50)]
    won = [
        month
        for month, done in zip(
            months, await asyncio.gather(*(attempt(month) for month in months)), strict=True
        )
        if done
    ]
    assert len(set(won)) == 1, "the one that won may be told again"


async def test_several_jobs_at_once_and_small_batches_give_each_member_once(
    database: Database, clock: TestClock
) -> None:
    people = [await person(database) for _ in range(40)]
    await plan(database, "QIXI")
    await run(database)
    clock.now = day_start(date(2026, 8, 19))
    await asyncio.gather(*(run(database, most=6) for _ in range(5)))
    await run(database, most=6)
    assert await coupons_of(database) == Counter(people)
    assert (await given(database)).total() == 40


async def test_a_job_killed_inside_a_batch_gives_nobody_twice(
    database: Database, clock: TestClock, schema_ready: str
) -> None:
    people = [await person(database) for _ in range(40)]
    await plan(database, "QIXI")
    clock.now = day_start(date(2026, 8, 19))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hanging_process", "gifts"),
        *(schema_ready, clock.now.isoformat()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 180) == b"inside\n"
    child.kill()
    await child.wait()
    half = (await given(database)).total()
    assert half == 14, "what was committed before stays"
    # The server may take a moment to see that the process is gone and to free its locks.
    for _ in range(600):
        await run(database, most=7)
        if (await given(database)).total() == 40:
            break
        await asyncio.sleep(0.1)
    assert await given(database) == Counter({(one, "QIXI", 2026): 1 for one in people})
    assert await coupons_of(database) == Counter(people)
    async with database.read() as read:
        (granted,) = await read.session.scalars(select(coupons.Batch.granted))
        pending = await read.session.scalar(
            select(func.count())
            .select_from(gifts.OccasionGrant)
            .where(gifts.OccasionGrant.outcome == GrantOutcome.PENDING)
        )
    assert (granted, pending) == (40, 0)


async def test_staff_hear_of_members_who_went_without(database: Database, clock: TestClock) -> None:
    for _ in range(3):
        await person(database, SPRING)
    batch = await plan(database, quantity=1)
    clock.now = day_start(date(2026, 3, 20))
    await run(database, most=2)
    async with database.read() as read:
        [notice] = await staff.notices_page(read, first=5, after=None, waiting=True)
    assert (notice.kind, notice.subject) == ("occasion.short", f"BIRTHDAY: {batch}")
    assert notice.facts == {
        "occasion": "BIRTHDAY",
        "zone": "Asia/Shanghai",
        "batchId": str(batch),
        "why": "BATCH_USED_UP",
        "membersSoFar": 1,
    }
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=batch, to=coupons.BatchState.ENDED)
        festival = Festival("SPRING_DAY", "春日", "Spring day", Calendar.SOLAR, 3, 21)
        await gifts.add_festival(tx, festival=festival)
        await gifts.set_occasion_gift(tx, occasion=festival.code, tier_code=None, batch_id=batch)
    clock.advance(days=1)
    await run(database)
    async with database.read() as read:
        newest = await staff.notices_page(read, first=5, after=None, waiting=True)
    assert newest[0].facts["why"] == "BATCH_NOT_ACTIVE"
    assert len(newest) == 2
