"""Two members' accounts made one."""

import asyncio
from datetime import timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import points
from app.kernel.db import Database
from app.kernel.errors import IdempotencyKeyReused, InvalidInput
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order as make_order
from tests.make.points import balance, lot, order_facts

WEEK = timedelta(days=7)


@pytest.fixture
async def two(database: Database) -> tuple[UUID, UUID]:
    async with database.begin() as tx:
        return (await member(tx)).id, (await member(tx)).id


async def merge(database: Database, from_id: UUID, into_id: UUID) -> None:
    async with database.begin() as tx:
        await points.merge(tx, from_id, into_id)


async def follow(database: Database, order: points.OrderFacts) -> None:
    async with database.begin() as tx:
        await points.follow_order(tx, order)


async def test_lots_of_both_currencies_move_and_nothing_stays(
    database: Database, two: tuple[UUID, UUID]
) -> None:
    old, new = two
    carbon = points.Currency.CARBON
    async with database.begin() as tx:
        await lot(tx, member_id=old, amount=10)
        await lot(tx, member_id=new, amount=5)
        await lot(tx, member_id=old, amount=7, currency=carbon)
    for _ in range(2):  # the second time changes nothing
        await merge(database, old, new)
        assert await balance(database, old) == (0, 0, 0)
        assert await balance(database, new) == (15, 0, 0)
        assert await balance(database, new, carbon) == (7, 0, 0)
    for wrong in [(new, new), (new, old)]:
        with pytest.raises(InvalidInput):
            await merge(database, *wrong)


async def test_what_comes_for_the_first_afterwards_goes_to_the_second(
    database: Database, two: tuple[UUID, UUID], clock: TestClock
) -> None:
    old, new = two
    order, late = uuid4(), uuid4()
    await follow(database, order_facts(order, old, clock.now))
    await merge(database, old, new)
    assert await balance(database, new) == (0, 100, 0)
    # The facts of an order may name either; its lot is settled, and not given twice.
    settled = clock.now
    for owner in (old, new):
        await follow(database, order_facts(order, owner, clock.now, settled_at=settled))
    await follow(database, order_facts(late, old, clock.now, total_fen=5_000))
    assert await balance(database, new) == (0, 150, 0)
    clock.now += WEEK
    assert await balance(database, new) == (100, 50, 0)
    for owner in (new, old):
        await follow(
            database,
            order_facts(order, owner, settled, settled_at=settled, refunded_fen=10_000),
        )
    assert await balance(database, new) == (0, 50, 0)
    assert await balance(database, old) == (0, 0, 0)


@pytest.mark.parametrize("both", [True, False])
async def test_an_order_under_both_identities_brings_its_points_once(
    database: Database, two: tuple[UUID, UUID], both: bool
) -> None:
    old, new = two
    async with database.begin() as tx:
        at = tx.now
        first = await make_order(tx, member_id=old, order_no="A-1", total_fen=10_000)
        again = await make_order(tx, member_id=new, order_no="A-1", total_fen=10_000)
        other = await make_order(tx, member_id=old, order_no="A-1", source="till", total_fen=10_000)
    await follow(database, order_facts(first.id, old, at, settled_at=at - 2 * WEEK))
    await follow(database, order_facts(other.id, old, at))
    if both:
        await follow(database, order_facts(again.id, new, at))
    for _ in range(2):
        await merge(database, old, new)
        # Of the till it is another order.
        assert await balance(database, new) == ((0, 200, 0) if both else (100, 100, 0))
        assert await balance(database, old) == (0, 0, 0)


async def test_a_debt_is_paid_by_what_the_other_has(
    database: Database, two: tuple[UUID, UUID], clock: TestClock
) -> None:
    old, new = two
    order = uuid4()
    settled = clock.now - WEEK
    facts = order_facts(order, old, settled, settled_at=settled)
    await follow(database, facts)
    async with database.begin() as tx:
        await points.spend(tx, member_id=old, amount=100, subject="s")
        await lot(tx, member_id=new, amount=30)
    await follow(database, order_facts(order, old, settled, settled_at=settled, cancelled=True))
    assert await balance(database, old) == (0, 0, 100)
    await merge(database, old, new)
    assert await balance(database, old) == (0, 0, 0)
    assert await balance(database, new) == (0, 0, 70)


async def test_a_spending_from_before_is_known_and_returns_to_its_lot(
    database: Database, two: tuple[UUID, UUID], clock: TestClock
) -> None:
    old, new = two
    async with database.begin() as tx:
        third = (await member(tx)).id
        kept = await lot(tx, member_id=old, amount=20)
        gone = await lot(tx, member_id=old, amount=5, expires_at=clock.now + timedelta(hours=1))
        await points.spend(tx, member_id=old, amount=15, subject="s")
    await merge(database, old, new)
    await merge(database, new, third)
    async with database.begin() as tx:
        # The same subject is the same spending, whoever it is booked for.
        await points.spend(tx, member_id=third, amount=15, subject="s")
        with pytest.raises(IdempotencyKeyReused):
            await points.spend(tx, member_id=old, amount=14, subject="s")
    clock.advance(hours=2)
    async with database.begin() as tx:
        with pytest.raises(points.RefundExceedsSpend):
            await points.refund_spend(tx, member_id=third, spent="s", amount=16, subject="r0")
    for subject, who in (("r1", third), ("r1", new), ("r2", old)):
        amount = 12 if subject == "r1" else 3
        async with database.begin() as tx:
            await points.refund_spend(tx, member_id=who, spent="s", amount=amount, subject=subject)
    assert await balance(database, third) == (25, 0, 0)
    async with database.read() as read:
        found = await read.session.scalars(select(points.Lot).where(points.Lot.member_id == third))
        lots = {one.id: one for one in found}
    assert lots[kept].remaining == 20
    assert lots[gone].remaining == 0
    # The last taken first: two of the first refund and three of the other come back as children.
    assert sorted(one.remaining for one in lots.values() if one.parent_id == gone) == [2, 3]


async def test_check_ins_make_one_record_with_its_streak(
    database: Database, two: tuple[UUID, UUID], clock: TestClock
) -> None:
    old, new = two
    for who in (old, new, (old, new), old):
        for one in who if isinstance(who, tuple) else (who,):
            async with database.begin() as tx:
                await points.check_in(tx, member_id=one)
        clock.advance(days=1)
    before = [await balance(database, one) for one in two]
    await merge(database, old, new)
    async with database.read() as read:
        last = (await points.last_check_in(read, [new]))[new]
    assert last.streak == 4
    assert (await balance(database, new))[0] == sum(one[0] for one in before) == 25
    async with database.begin() as tx:
        assert (await points.check_in(tx, member_id=new)).streak == 5


@pytest.mark.parametrize("upwards", [True, False], ids=["upwards", "downwards"])
async def test_merging_among_fifty_movements_at_once_loses_nothing(
    database: Database, two: tuple[UUID, UUID], upwards: bool
) -> None:
    # Who was merged is locked before who they became, whichever of the keys is the lower.
    old, new = two = cast("tuple[UUID, UUID]", tuple(sorted(two, reverse=not upwards)))
    async with database.begin() as tx:
        for one in two:
            await lot(tx, member_id=one, amount=100)

    async def spend(n: int) -> bool:
        try:
            async with database.begin() as tx:
                await points.spend(tx, member_id=two[n % 2], amount=7, subject=f"s{n // 2}")
        except points.NotEnoughPoints:
            return False
        return True

    async def earn(n: int) -> None:
        async with database.begin() as tx:
            await points.earn(
                tx,
                member_id=two[n % 2],
                amount=1,
                source=points.Source.CAMPAIGN,
                rule="race",
                subject=f"e{n}",
            )

    work = [spend(n) for n in range(24)] + [earn(n) for n in range(24)]
    work[20:20] = [merge(database, old, new), merge(database, old, new)]
    await asyncio.gather(*work)
    assert await balance(database, old) == (0, 0, 0)
    async with database.read() as read:
        entry = points.Entry
        spent = await read.session.scalar(
            select(func.coalesce(func.sum(entry.amount), 0)).where(
                entry.kind == points.EntryKind.SPEND
            )
        )
    assert (await balance(database, new))[0] == 224 - (spent or 0)
