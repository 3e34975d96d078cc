"""Redeeming points, returning them, staff's corrections, and expiry."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app import points
from app.kernel.db import Database
from app.kernel.errors import IdempotencyKeyReused, InvalidInput
from app.members import MemberNotFound
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.points import balance, lot, order_facts


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        return (await member(tx)).id


async def spend(database: Database, person: UUID, amount: int, subject: str = "o1") -> int:
    async with database.begin() as tx:
        return await points.spend(tx, member_id=person, amount=amount, subject=subject)


async def refund(
    database: Database, person: UUID, amount: int, subject: str = "f1", spent: str = "o1"
) -> int:
    async with database.begin() as tx:
        return await points.refund_spend(
            tx, member_id=person, spent=spent, amount=amount, subject=subject
        )


async def remaining(database: Database, lots: list[UUID]) -> list[int]:
    async with database.read() as read:
        rows = await read.session.execute(select(points.Lot.id, points.Lot.remaining))
    found = {row[0]: row[1] for row in rows}
    return [found[key] for key in lots]


async def test_the_soonest_expiry_goes_first_then_the_oldest(
    database: Database, person: UUID, clock: TestClock
) -> None:
    lots: list[UUID] = []
    for days in (50, 20, 20):
        clock.advance(minutes=1)
        async with database.begin() as tx:
            ends = clock.now.replace(hour=0, minute=0) + timedelta(days=days)
            lots.append(await lot(tx, member_id=person, amount=10, expires_at=ends))
    await spend(database, person, 15)
    assert await remaining(database, lots) == [10, 0, 5]
    assert await balance(database, person) == (15, 0, 0)


async def test_more_than_there_is_is_refused_and_changes_nothing(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=10)
    with pytest.raises(points.NotEnoughPoints, match="11 needed, 10 available"):
        await spend(database, person, 11)
    with pytest.raises(InvalidInput):
        await spend(database, person, 0)
    assert await balance(database, person) == (10, 0, 0)


async def test_pending_points_cannot_be_spent(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        await points.earn_for_order(tx, order_facts(uuid4(), person, clock.now))
    with pytest.raises(points.NotEnoughPoints):
        await spend(database, person, 1)


async def test_a_subject_is_paid_once(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=10)
    assert await spend(database, person, 4) == await spend(database, person, 4)
    with pytest.raises(IdempotencyKeyReused):
        await spend(database, person, 5)
    assert await balance(database, person) == (6, 0, 0)


async def test_points_that_have_just_expired_are_not_spent_though_no_job_has_run(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=10, expires_at=clock.now + timedelta(hours=1))
    clock.advance(hours=1)
    assert await balance(database, person) == (0, 0, 0)
    with pytest.raises(points.NotEnoughPoints):
        await spend(database, person, 1)


async def test_fifty_at_once_spend_what_is_there_and_no_more(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        for _ in range(4):
            await lot(tx, member_id=person, amount=25)

    async def one(n: int) -> bool:
        try:
            await spend(database, person, 7, f"o{n}")
        except points.NotEnoughPoints:
            return False
        return True

    won = await asyncio.gather(*(one(n) for n in range(50)))
    assert sum(won) == 14
    assert await balance(database, person) == (2, 0, 0)


async def test_a_refund_goes_back_to_the_lots_it_came_from_the_last_taken_first(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        lots = [
            await lot(tx, member_id=person, amount=10, expires_at=clock.now + timedelta(days=days))
            for days in (10, 20, 30)
        ]
    await spend(database, person, 25)
    await refund(database, person, 7)
    assert await remaining(database, lots) == [0, 2, 10]
    await refund(database, person, 7)  # the same subject again
    assert await remaining(database, lots) == [0, 2, 10]
    await refund(database, person, 18, "f2")
    assert await remaining(database, lots) == [10, 10, 10]
    with pytest.raises(points.RefundExceedsSpend):
        await refund(database, person, 1, "f3")
    with pytest.raises(points.SpendNotFound):
        await refund(database, person, 1, "f3", spent="o9")
    assert await balance(database, person) == (30, 0, 0)


async def test_refunds_at_once_never_exceed_what_was_spent(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=20)
    await spend(database, person, 20)

    async def one(n: int) -> bool:
        try:
            await refund(database, person, 3, f"f{n}")
        except points.RefundExceedsSpend:
            return False
        return True

    assert sum(await asyncio.gather(*(one(n) for n in range(20)))) == 6
    assert await balance(database, person) == (18, 0, 0)


async def test_points_of_an_ended_lot_come_back_as_a_child_for_a_week_at_least(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        parent = await lot(
            tx, member_id=person, amount=10, expires_at=clock.now + timedelta(days=1)
        )
    await spend(database, person, 8)
    clock.advance(days=2)
    await refund(database, person, 8)
    async with database.read() as read:
        child = (
            await read.session.scalars(select(points.Lot).where(points.Lot.parent_id == parent))
        ).one()
    assert child.expires_at is not None
    assert timedelta(days=7) <= child.expires_at - clock.now < timedelta(days=8)
    assert await balance(database, person) == (8, 0, 0)


async def test_expiry_is_exclusive_and_resumes_batch_by_batch(
    database: Database, clock: TestClock
) -> None:
    ends = clock.now + timedelta(days=1)
    async with database.begin() as tx:
        people = [(await member(tx)).id for _ in range(5)]
        for one in people:
            await lot(tx, member_id=one, amount=10, expires_at=ends)
            await lot(tx, member_id=one, amount=3, expires_at=ends + timedelta(days=1))
    clock.now = ends - timedelta(microseconds=1)
    async with database.begin() as tx:
        assert await points.expire_due(tx) == 0
    clock.now = ends
    async with database.begin() as tx:  # a run that dies in its first batch
        await points.expire_due(tx, limit=2)
        await tx.session.rollback()
        tx.events.clear()
    done: list[int] = []
    while not done or done[-1]:
        async with database.begin() as tx:
            done.append(await points.expire_due(tx, limit=2))
    assert done == [2, 2, 1, 0]
    for one in people:
        assert await balance(database, one) == (3, 0, 0)


async def test_staff_give_and_take_with_a_reason(database: Database, person: UUID) -> None:
    async def adjust(amount: int, subject: str, reason: str = "damaged goods") -> int:
        async with database.begin() as tx:
            return await points.adjust(
                tx,
                member_id=person,
                amount=amount,
                actor_id=uuid4(),
                reason=reason,
                subject=subject,
            )

    for _ in range(2):
        await adjust(50, "a")
    await adjust(-20, "b")
    await adjust(-20, "b")
    with pytest.raises(IdempotencyKeyReused):
        await adjust(-21, "b")
    with pytest.raises(points.NotEnoughPoints):
        await adjust(-31, "c")
    for amount, reason in [(0, "why"), (5, "  "), (5, "x" * 201), (5, "a\0b")]:
        with pytest.raises(InvalidInput):
            await adjust(amount, "d", reason)
    with pytest.raises(MemberNotFound):
        async with database.begin() as tx:
            await points.adjust(
                tx, member_id=uuid4(), amount=1, actor_id=uuid4(), reason="x", subject="e"
            )
    assert await balance(database, person) == (30, 0, 0)
