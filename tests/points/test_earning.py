"""Rewards, orders' points and check-ins."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from app import points
from app.kernel.clock import business_day
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.kernel.outbox import OutboxRow
from app.members import Community, MemberNotActive, MemberNotFound, MemberStatus
from tests.conftest import TestClock
from tests.make.members import community, member
from tests.make.points import balance, lot, order_facts


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        return (await member(tx)).id


async def test_a_reward_is_given_once_for_its_subject(database: Database, person: UUID) -> None:
    for expected in (True, False):
        async with database.begin() as tx:
            made = await points.earn(
                tx,
                member_id=person,
                amount=30,
                source=points.Source.REVIEW,
                rule="review",
                subject="r1",
            )
            assert (made is not None) is expected
    assert await balance(database, person) == (30, 0, 0)


async def test_an_amount_under_one_and_an_unknown_member_are_refused(
    database: Database, person: UUID
) -> None:
    for member_id, amount, refusal in [(person, 0, InvalidInput), (uuid4(), 5, MemberNotFound)]:
        with pytest.raises(refusal):
            async with database.begin() as tx:
                await lot(tx, member_id=member_id, amount=amount)
    assert await balance(database, person) == (0, 0, 0)


async def test_currencies_are_kept_apart(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=7, currency=points.Currency.CARBON)
    assert await balance(database, person) == (0, 0, 0)
    assert await balance(database, person, points.Currency.CARBON) == (7, 0, 0)


async def test_an_order_brings_pending_points_that_the_refund_window_releases(
    database: Database, person: UUID, clock: TestClock
) -> None:
    order_id, paid_at = uuid4(), clock.now
    async with database.begin() as tx:
        await points.earn_for_order(tx, order_facts(order_id, person, paid_at))
    assert await balance(database, person) == (0, 100, 0)
    clock.advance(days=30)
    async with database.begin() as tx:
        assert await points.release_due(tx) == 0  # never settled, never due
    settled = order_facts(order_id, person, paid_at, settled_at=clock.now)
    for _ in range(2):
        async with database.begin() as tx:
            await points.earn_for_order(tx, settled)
    clock.advance(days=7, seconds=-1)
    async with database.begin() as tx:
        assert await points.release_due(tx) == 0
    clock.advance(seconds=1)
    assert await balance(database, person) == (100, 0, 0)  # a reader is not behind the job
    async with database.begin() as tx:
        assert await points.release_due(tx) == 1
        assert await points.release_due(tx) == 0
    assert await balance(database, person) == (100, 0, 0)


async def test_orders_earned_in_bulk_and_one_by_one_agree(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        other = (await member(tx)).id
    facts = [
        order_facts(uuid4(), who, clock.now, total_fen=100 * n, settled_at=at)
        for who in (person, other)
        for n, at in [(7, clock.now - timedelta(days=8)), (5, clock.now), (3, None)]
    ]
    async with database.begin() as tx:
        assert await points.earn_for_orders(tx, [*facts, facts[0]]) == 6
    for one in facts:
        async with database.begin() as tx:
            await points.earn_for_order(tx, one)
    for who in (person, other):
        assert await balance(database, who) == (7, 8, 0)


async def test_an_order_under_one_yuan_or_cancelled_brings_nothing(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        small = order_facts(uuid4(), person, clock.now, total_fen=99)
        gone = order_facts(uuid4(), person, clock.now, cancelled=True)
        assert await points.earn_for_orders(tx, [small, gone]) == 0
    assert await balance(database, person) == (0, 0, 0)


async def test_the_first_paid_order_of_an_episode_has_the_comeback_bonus(
    database: Database, person: UUID, clock: TestClock
) -> None:
    episode = uuid4()
    later = order_facts(uuid4(), person, clock.now, total_fen=5_000, episode_id=episode)
    first = order_facts(
        uuid4(), person, clock.now - timedelta(hours=1), total_fen=1_000, episode_id=episode
    )
    async with database.begin() as tx:
        await points.earn_for_orders(tx, [later, first])
    assert await balance(database, person) == (0, 10 + 10 + 50, 0)
    async with database.begin() as tx:
        await points.claw_back_order(
            tx,
            order_facts(first.order_id, person, first.paid_at, total_fen=1_000, refunded_fen=1_000),
        )
    assert await balance(database, person) == (0, 50, 0)
    again = order_facts(uuid4(), person, clock.now, total_fen=2_000, episode_id=episode)
    async with database.begin() as tx:
        await points.earn_for_order(tx, again)  # taken back in full, so open again
    assert await balance(database, person) == (0, 50 + 40, 0)


async def test_multipliers_take_the_maximum(
    database: Database, person: UUID, clock: TestClock
) -> None:
    order = order_facts(uuid4(), person, clock.now, episode_id=uuid4(), multiplier_percent=150)
    async with database.begin() as tx:
        await points.earn_for_order(tx, order)
    assert await balance(database, person) == (0, 200, 0)
    async with database.read() as read:
        lots = (await points.lots_by_order(read, [(person, order.order_id)])).popitem()[1]
    assert {lot.source: lot.amount for lot in lots} == {
        points.Source.PURCHASE: 150,
        points.Source.COMEBACK: 50,
    }


async def test_a_streak_of_seven_days_has_its_bonus_and_a_missed_day_ends_it(
    database: Database, person: UUID, clock: TestClock
) -> None:
    seen: list[tuple[int, int]] = []
    for day in range(9):
        async with database.begin() as tx:
            row = await points.check_in(tx, member_id=person)
        seen.append((row.streak, row.points))
        clock.advance(days=2 if day == 7 else 1)
    assert seen == [*((n, 5) for n in range(1, 7)), (7, 15), (8, 5), (1, 5)]
    assert await balance(database, person) == (55, 0, 0)


async def test_the_day_of_a_check_in_is_the_communitys(
    database: Database, clock: TestClock
) -> None:
    clock.now = datetime(2026, 3, 17, 15, 59, tzinfo=UTC)  # 23:59 in Shanghai
    async with database.begin() as tx:
        here = (await member(tx)).id
        there_home = await community(tx, "Harbour", "Europe/London")
        there = (await member(tx, community_id=there_home.id)).id
    async with database.begin() as tx:
        assert (await points.check_in(tx, member_id=here)).day.day == 17
        assert (await points.check_in(tx, member_id=there)).day.day == 17
    clock.advance(minutes=1)
    async with database.begin() as tx:
        assert (await points.check_in(tx, member_id=here)).day.day == 18
    with pytest.raises(points.AlreadyCheckedIn):
        async with database.begin() as tx:
            await points.check_in(tx, member_id=there)


async def test_what_a_check_in_brings_is_the_communitys_setting(database: Database) -> None:
    async with database.begin() as tx:
        home = await community(tx)
        await tx.session.execute(
            update(Community)
            .where(Community.id == home.id)
            .values(settings={"checkIn": {"points": 2, "bonus": 1, "bonusEvery": 1}})
        )
        person = (await member(tx, community_id=home.id)).id
    async with database.begin() as tx:
        assert (await points.check_in(tx, member_id=person)).points == 3


async def test_a_frozen_member_does_not_check_in(database: Database) -> None:
    async with database.begin() as tx:
        frozen = (await member(tx, status=MemberStatus.FROZEN)).id
    with pytest.raises(MemberNotActive):
        async with database.begin() as tx:
            await points.check_in(tx, member_id=frozen)


async def test_fifty_check_ins_at_once_are_one(database: Database, person: UUID) -> None:
    async def one() -> bool:
        try:
            async with database.begin() as tx:
                await points.check_in(tx, member_id=person)
        except points.AlreadyCheckedIn:
            return False
        return True

    assert sorted(await asyncio.gather(*(one() for _ in range(50)))) == [False] * 49 + [True]
    assert await balance(database, person) == (5, 0, 0)
    async with database.read() as read:
        kinds = select(func.count()).where(OutboxRow.kind == "points.changed")
        assert await read.session.scalar(kinds) == 1


async def test_points_end_by_their_sources_rule(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        await points.check_in(tx, member_id=person)
    async with database.read() as read:
        ends = await read.session.scalar(select(points.Lot.expires_at))
    assert ends is not None
    assert business_day(ends) == business_day(clock.now) + timedelta(days=180)
