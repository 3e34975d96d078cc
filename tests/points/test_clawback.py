"""What refunds take back, debts, and how they are settled."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app import points
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.points import balance, lot, order_facts


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        return (await member(tx)).id


async def follow(database: Database, facts: points.OrderFacts) -> None:
    async with database.begin() as tx:
        await points.follow_order(tx, facts)


async def test_partial_refunds_round_down_and_the_last_is_exact(
    database: Database, person: UUID, clock: TestClock
) -> None:
    order_id = uuid4()
    seen: list[int] = []
    for refunded in (0, 333, 333, 666, 999, 1_000):
        facts = order_facts(order_id, person, clock.now, total_fen=1_000, refunded_fen=refunded)
        await follow(database, facts)
        seen.append((await balance(database, person))[1])
    assert seen == [10, 7, 7, 4, 1, 0]


async def test_a_refund_that_arrives_before_its_payment_ends_alike(
    database: Database, person: UUID, clock: TestClock
) -> None:
    order_id = uuid4()
    refunded = order_facts(order_id, person, clock.now, refunded_fen=4_000)
    async with database.begin() as tx:
        assert await points.claw_back_order(tx, refunded) == 0
    await follow(database, refunded)
    await follow(database, refunded)
    assert await balance(database, person) == (0, 60, 0)


async def test_the_orders_own_lots_go_first_then_others_then_debt(
    database: Database, person: UUID, clock: TestClock
) -> None:
    order_id, paid_at = uuid4(), clock.now
    settled = paid_at - timedelta(days=8)
    facts = order_facts(order_id, person, paid_at, settled_at=settled)
    await follow(database, facts)
    async with database.begin() as tx:
        soon = clock.now + timedelta(days=1)
        await lot(tx, member_id=person, amount=30, expires_at=soon)
        await points.spend(tx, member_id=person, amount=50, subject="o")  # 30 soon, 20 own
    half = order_facts(order_id, person, paid_at, settled_at=settled, refunded_fen=5_000)
    await follow(database, half)
    assert await balance(database, person) == (30, 0, 0)  # 50 of the 80 left of the order's own
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=5)
    whole = order_facts(order_id, person, paid_at, settled_at=settled, cancelled=True)
    await follow(database, whole)
    assert await balance(database, person) == (0, 0, 15)
    async with database.read() as read:
        key = points.EntriesKey(person, points.Currency.POINTS, 2)
        lines = (await points.entries_by_member(read, [key]))[key]
    assert [(line.kind, line.amount) for line in lines] == [
        (points.EntryKind.DEBT, -15),
        (points.EntryKind.CLAWBACK, -35),
    ]


async def test_debt_blocks_redemption_and_later_earnings_settle_it_first(
    database: Database, person: UUID, clock: TestClock
) -> None:
    await _owe(database, person, clock, 40)
    async with database.begin() as tx:
        await points.check_in(tx, member_id=person)
    assert await balance(database, person) == (0, 0, 35)
    with pytest.raises(points.PointsInDebt, match="35 points are owed"):
        async with database.begin() as tx:
            await points.spend(tx, member_id=person, amount=1, subject="o")
    settled = clock.now
    order = order_facts(uuid4(), person, clock.now, total_fen=6_000, settled_at=settled)
    await follow(database, order)
    assert await balance(database, person) == (0, 60, 35)  # pending points pay nothing yet
    clock.advance(days=7)
    assert await balance(database, person) == (25, 0, 0)  # as a reader reckons
    async with database.begin() as tx:
        assert await points.release_due(tx) == 1
    assert await balance(database, person) == (25, 0, 0)  # as the job has booked


async def test_points_returned_to_a_reversed_lot_pay_the_debt(
    database: Database, person: UUID, clock: TestClock
) -> None:
    await _owe(database, person, clock, 40)
    async with database.begin() as tx:
        await points.refund_spend(tx, member_id=person, spent="paid", amount=40, subject="returned")
    assert await balance(database, person) == (0, 0, 0)


async def test_a_reward_is_reversed_once(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=12, subject="s")
    for expected in (12, 0):
        async with database.begin() as tx:
            taken = await points.reverse(
                tx, member_id=person, rule="test", subject="s", reason="not so"
            )
            assert taken == expected
    assert await balance(database, person) == (0, 0, 0)


async def _owe(database: Database, person: UUID, clock: TestClock, amount: int) -> None:
    """Earn by an order, spend it all, then have the order refunded."""
    order_id, settled = uuid4(), clock.now - timedelta(days=8)
    fen = amount * 100
    facts = order_facts(order_id, person, clock.now, total_fen=fen, settled_at=settled)
    await follow(database, facts)
    async with database.begin() as tx:
        await points.spend(tx, member_id=person, amount=amount, subject="paid")
    refunded = order_facts(
        order_id, person, clock.now, total_fen=fen, settled_at=settled, refunded_fen=fen
    )
    await follow(database, refunded)
    assert await balance(database, person) == (0, 0, amount)
