"""Booking benefits: places, windows, cancelling, and who did not come."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import tiers
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.members import Member, MemberStatus
from tests.conftest import TestClock
from tests.make import members as make_members
from tests.make.members import member
from tests.make.tiers import slot, standing
from workers.jobs import Work
from workers.tiers import give_up_bookings

CARE = "after-school-care"


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def a_member(database: Database, tier: str = "GOLD") -> UUID:
    async with database.begin() as tx:
        person = (await member(tx)).id
        await standing(tx, member_id=person, tier_code=tier)
    return person


async def a_slot(database: Database, **given: object) -> UUID:
    async with database.begin() as tx:
        return (await slot(tx, **given)).id  # pyright: ignore[reportArgumentType]


async def book(database: Database, person: UUID, slot_id: UUID) -> tiers.BenefitUse:
    async with database.begin() as tx:
        return await tiers.book_benefit(tx, member_id=person, slot_id=slot_id)


async def left(database: Database, person: UUID) -> int | None:
    async with database.read() as read:
        found = (await tiers.benefits_by_member(read, [person]))[person]
    return next(one.left for one in found if one.code == CARE)


async def booked(database: Database, slot_id: UUID) -> int:
    async with database.read() as read:
        return (await read.session.get_one(tiers.BenefitSlot, slot_id)).booked


async def test_fifty_members_twice_each_fill_a_slot_and_no_more(database: Database) -> None:
    people = [await a_member(database, "DIAMOND") for _ in range(25)]
    place = await a_slot(database, capacity=7)

    async def attempt(person: UUID) -> str:
        try:
            await book(database, person, place)
        except (tiers.SlotFull, tiers.AlreadyBooked) as refusal:
            return refusal.code
        return "booked"

    answers = await asyncio.gather(*(attempt(person) for person in people * 2))
    assert answers.count("booked") == 7
    assert await booked(database, place) == 7
    async with database.read() as read:
        holding = select(func.count(func.distinct(tiers.BenefitUse.member_id))).where(
            tiers.BenefitUse.state == tiers.UseState.BOOKED
        )
        assert await read.session.scalar(holding) == 7
        used = select(func.sum(tiers.Entitlement.used)).where(
            tiers.Entitlement.window_kind == tiers.BenefitWindow.MONTH
        )
        assert await read.session.scalar(used) == 7  # who was refused has lost nothing


async def test_a_booking_counts_where_its_time_lies(database: Database, clock: TestClock) -> None:
    person = await a_member(database)
    # 18 March and 2 April: two quarters, one of each.
    march = await a_slot(database, starts_in=timedelta(days=3))
    april = await a_slot(database, starts_in=timedelta(days=15))
    april_too = await a_slot(database, starts_in=timedelta(days=16))
    await book(database, person, april)
    assert await left(database, person) == 1
    await book(database, person, march)
    assert await left(database, person) == 0
    with pytest.raises(tiers.BenefitUsedUp, match="2026-07-01"):
        await book(database, person, april_too)
    clock.advance(days=15)
    assert await left(database, person) == 0


async def test_cancelled_in_time_gives_place_and_use_back_once(
    database: Database, clock: TestClock
) -> None:
    person, place = await a_member(database), await a_slot(database)
    made = await book(database, person, place)
    for _ in range(3):
        async with database.begin() as tx:
            await tiers.cancel_booking(tx, member_id=person, booking_id=made.id)
    assert (await left(database, person), await booked(database, place)) == (1, 0)
    again = await book(database, person, place)
    clock.advance(days=2)
    async with database.begin() as tx:
        with pytest.raises(tiers.SlotBegun):
            await tiers.cancel_booking(tx, member_id=person, booking_id=again.id)
        with pytest.raises(tiers.BookingNotFound):
            await tiers.cancel_booking(tx, member_id=uuid4(), booking_id=again.id)


async def test_a_closed_account_gives_up_what_has_not_begun(
    database: Database, settings: Settings, clock: TestClock
) -> None:
    person = await a_member(database, "DIAMOND")
    past = await a_slot(database, starts_in=timedelta(hours=1))
    later = await a_slot(database, starts_in=timedelta(hours=9))
    for place in (past, later):
        await book(database, person, place)
    clock.advance(hours=2)
    async with database.begin() as tx:
        (await tx.session.get_one(Member, person)).status = MemberStatus.CLOSED
    for _ in range(2):
        await give_up_bookings.body(Work(database, settings), member_id=str(person))
        assert [await booked(database, place) for place in (past, later)] == [1, 0]


async def test_who_does_not_come_has_used_it_all_the_same(
    database: Database, clock: TestClock
) -> None:
    person, place = await a_member(database), await a_slot(database)
    made = await book(database, person, place)
    given = {"member_id": person, "booking_id": made.id, "actor_id": uuid4()}
    async with database.begin() as tx:
        with pytest.raises(tiers.SlotNotBegun):
            await tiers.settle_booking(tx, came=False, **given)
    clock.advance(days=3)
    async with database.begin() as tx:
        row = await tiers.settle_booking(tx, came=False, **given)
        assert row.state is tiers.UseState.NO_SHOW
    assert await left(database, person) == 0
    async with database.begin() as tx:
        row = await tiers.settle_booking(tx, came=True, **given)
        assert row.state is tiers.UseState.USED
    async with database.begin() as tx:
        await tiers.reverse_use(
            tx, member_id=person, use_id=made.id, reason="the teacher was ill", actor_id=uuid4()
        )
    assert await left(database, person) == 1


async def test_times_of_another_neighbourhood_and_of_the_past_are_not_booked(
    database: Database, clock: TestClock
) -> None:
    person = await a_member(database)
    async with database.begin() as tx:
        away = (await make_members.community(tx, name="滨江苑")).id
    theirs = await a_slot(database, community_id=away)
    with pytest.raises(tiers.SlotNotFound):
        await book(database, person, theirs)
    place = await a_slot(database)
    clock.advance(days=2)  # to the instant
    with pytest.raises(tiers.SlotBegun):
        await book(database, person, place)
    with pytest.raises(tiers.SlotNotFound):
        await book(database, person, uuid4())
    for given in ({"capacity": 0}, {"starts_in": timedelta()}, {"benefit_code": "vip-group"}):
        with pytest.raises(InvalidInput):
            await a_slot(database, **given)
