"""Every command of a balance, fifty at once and each twice under its subject."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import points, tiers
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.db import Database, Tx
from app.kernel.errors import Refusal
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make.examples import operation
from tests.make.members import member
from tests.make.points import balance, lot, order_facts

WEEK = timedelta(days=7)


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        return (await member(tx)).id


async def fifty(database: Database, work: Callable[[Tx, int], Awaitable[Any]]) -> list[int]:
    """Run the work of 25 subjects, each twice at once; answers those that were not refused."""

    async def one(n: int) -> int | None:
        try:
            async with database.begin() as tx:
                await work(tx, n)
        except Refusal:
            return None
        return n

    done = await asyncio.gather(*(one(n) for n in [*range(25), *range(25)]))
    return [n for n in done if n is not None]


async def test_rewards_are_given_once_each(database: Database, person: UUID) -> None:
    async def earn(tx: Tx, n: int) -> None:
        await points.earn(
            tx,
            member_id=person,
            amount=2,
            source=points.Source.CAMPAIGN,
            rule="race",
            subject=str(n),
        )

    await fifty(database, earn)
    assert await balance(database, person) == (50, 0, 0)


async def test_spendings_stop_where_the_balance_ends(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=40)
        await lot(tx, member_id=person, amount=60)

    async def spend(tx: Tx, n: int) -> None:
        await points.spend(tx, member_id=person, amount=7, subject=str(n))

    done = await fifty(database, spend)
    assert len(set(done)) == 14
    assert await balance(database, person) == (2, 0, 0)


async def test_refunds_of_spendings_never_exceed_them(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=100)
        await points.spend(tx, member_id=person, amount=100, subject="s")

    async def refund(tx: Tx, n: int) -> None:
        await points.refund_spend(tx, member_id=person, spent="s", amount=9, subject=str(n))

    done = await fifty(database, refund)
    assert len(set(done)) == 11
    assert await balance(database, person) == (99, 0, 0)


async def test_corrections_take_what_there_is_and_no_more(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=30)

    async def adjust(tx: Tx, n: int) -> None:
        await points.adjust(
            tx, member_id=person, amount=-4, actor_id=person, reason="race", subject=str(n)
        )

    done = await fifty(database, adjust)
    assert len(set(done)) == 7
    assert await balance(database, person) == (2, 0, 0)


async def test_an_orders_facts_arrive_all_at_once(
    database: Database, person: UUID, clock: TestClock
) -> None:
    order = uuid4()

    async def follow(tx: Tx, n: int) -> None:
        # Payment, settlement and 23 refunds that add up, in any order.
        facts = order_facts(
            order,
            person,
            clock.now,
            settled_at=clock.now if n else None,
            refunded_fen=max(n - 1, 0) * 100,
        )
        await points.follow_order(tx, facts)

    await fifty(database, follow)
    async with database.begin() as tx:
        facts = order_facts(order, person, clock.now, settled_at=clock.now, refunded_fen=2_300)
        await points.follow_order(tx, facts)
    assert await balance(database, person) == (0, 77, 0)
    clock.now += WEEK
    assert await balance(database, person) == (77, 0, 0)


async def test_sweeps_at_once_move_each_lot_once(
    database: Database, person: UUID, clock: TestClock
) -> None:
    ends = clock.now + timedelta(hours=1)
    async with database.begin() as tx:
        for n in range(10):
            await lot(tx, member_id=person, amount=3, expires_at=ends)
            await lot(tx, member_id=person, amount=4, available_at=ends, subject=f"later {n}")
    clock.now = ends

    async def sweep(tx: Tx, n: int) -> None:
        await (points.expire_due if n % 2 else points.release_due)(tx)

    await fifty(database, sweep)
    assert await balance(database, person) == (40, 0, 0)


async def test_a_reward_is_taken_back_once(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        for n in range(25):
            await lot(tx, member_id=person, amount=3, subject=str(n))
        await points.spend(tx, member_id=person, amount=50, subject="s")

    async def reverse(tx: Tx, n: int) -> None:
        await points.reverse(tx, member_id=person, rule="test", subject=str(n), reason="race")

    await fifty(database, reverse)
    assert await balance(database, person) == (0, 0, 50)


@pytest.mark.parametrize("keys", [1, 25])
async def test_mutations_under_the_same_key_are_one(
    api: Api, person: UUID, owner: StaffCaller, keys: int
) -> None:
    api.compares = False
    caller = MemberCaller(person, uuid4())
    check_in = operation("check-in.graphql", "CheckIn")
    adjust = operation("adjust-points.graphql", "AdjustPoints")

    async def both(n: int) -> tuple[Any, Any]:
        key = f"k{n % keys}"
        given = {
            "memberId": global_id("Member", person),
            "amount": 3,
            "reason": "race",
            "idempotencyKey": key,
        }
        first, second = await asyncio.gather(
            api(check_in, {"input": {"idempotencyKey": key}}, caller=caller),
            api(adjust, {"input": given}, caller=owner),
        )
        return first["data"]["checkIn"], second["data"]["adjustPoints"]

    done = await asyncio.gather(*(both(n) for n in range(50)))
    checked = {n % keys for n, (first, _) in enumerate(done) if "streak" in first}
    assert len(checked) == 1
    assert all("code" not in second for _, second in done)
    assert await balance(api.resources.database, person) == (5 + 3 * keys, 0, 0)


async def test_lanes_share_no_account_and_leave_none(database: Database, clock: TestClock) -> None:
    async with database.begin() as tx:
        people = [(await member(tx)).id for _ in range(30)]
        for one in people:
            await lot(tx, member_id=one, amount=3, expires_at=clock.now + timedelta(days=1))
    clock.advance(days=2)
    done: list[int] = []
    for lane in range(points.LANES):
        async with database.begin() as tx:
            done.append(await points.expire_due(tx, lane=lane))
    assert sum(done) == 30
    assert min(done) > 0
    async with database.begin() as tx:
        assert await points.expire_due(tx) == 0
