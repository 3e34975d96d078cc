"""Batches of several processes, plain claims and other grants at once: exact, no deadlock."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import func, select

from app import coupons, drops
from app.drops import Claims, DropState
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.drops.claimants import (
    all_of,
    drop_now,
    facts,
    gathered,
    given_in,
    members,
    open_drop,
    plain,
)
from tests.make import coupons as make_coupons
from tests.make import drops as make


@pytest.fixture
async def houses(schema_ready: str, clock: TestClock) -> AsyncIterator[list[Claims]]:
    """The claims of two processes: two pools, two queues."""
    databases = [Database(schema_ready, pool_size=5, clock=clock) for _ in range(2)]
    both = [Claims(database) for database in databases]
    yield both
    for claims, database in zip(both, databases, strict=True):
        await claims.drain()
        await database.close()


async def test_two_processes_and_plain_claims_never_pass_the_stock(
    database: Database, houses: list[Claims]
) -> None:
    drop = await open_drop(database, stock=90)
    ids = await members(database, 150)

    async def everywhere(one: UUID) -> list[object]:
        ways = [gathered(claims, drop.id, one) for claims in houses for _ in range(2)]
        return await all_of([*ways, plain(database, drop.id, one)])

    async def waves() -> AsyncIterator[list[object]]:
        for start in range(0, 150, 30):
            for answers in await all_of(everywhere(one) for one in ids[start : start + 30]):
                yield answers

    made = [answers async for answers in waves()]
    assert all(len(set(answers)) == 1 for answers in made), "one key, one answer, anywhere"
    given = await given_in(database, drop.id)
    assert given == {
        one: answers[0]
        for one, answers in zip(ids, made, strict=True)
        if answers[0] is not drops.SoldOut
    }
    now = await drop_now(database, drop.id)
    assert (len(given), now.claimed, now.state) == (90, 90, DropState.SOLD_OUT)
    told = await facts(database, drops.drop_topic(drop.id))
    assert [fact.payload["version"] for fact in told] == list(range(2, now.version + 1))
    left = [fact.payload["remaining"] for fact in told]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


async def test_one_member_with_many_keys_in_many_places_gets_one(
    database: Database, houses: list[Claims]
) -> None:
    drop = await open_drop(database)
    (one,) = await members(database, 1)
    attempts = [gathered(claims, drop.id, one, f"{nth}") for claims in houses for nth in range(5)]
    attempts += [plain(database, drop.id, one, f"{nth}") for nth in range(5)]
    made = await all_of(attempts)
    given = await given_in(database, drop.id)
    assert len(given) == 1
    assert {answer for answer in made if answer is not drops.AlreadyClaimed} == {given[one]}


async def test_grants_of_the_same_template_race_for_the_member_not_for_the_stock(
    database: Database, houses: list[Claims]
) -> None:
    """Each member may have one; staff's grants and two drops want to be the one who gives it."""
    async with database.begin() as tx:
        template = await make_coupons.template(tx)
        own = await make_coupons.batch(tx, template_id=template.id, quantity=1_000)
        batches = [
            await make_coupons.batch(tx, template_id=template.id, quantity=200) for _ in range(2)
        ]
        both = [await make.open_drop(tx, stock=100, batch_id=batch.id) for batch in batches]
    ids = await members(database, 100)

    async def staff(some: list[UUID]) -> int:
        async with database.begin() as tx:
            grants = await coupons.grant(
                tx, batch_id=own.id, member_ids=some, source=coupons.Source.STAFF
            )
        return len(grants.granted)

    async def claimed() -> list[object]:
        return await all_of(
            gathered(claims, drop.id, one, f"{drop.id}")
            for one in ids
            for claims, drop in zip(houses, both, strict=True)
        )

    made, *staffed = await asyncio.gather(
        claimed(), *(staff(ids[start : start + 10][::-1]) for start in range(0, 100, 10))
    )
    given = [await given_in(database, drop.id) for drop in both]
    assert not given[0].keys() & given[1].keys()
    assert sum(map(len, given)) + sum(staffed) == 100
    async with database.read() as read:
        count = await read.session.scalar(select(func.count()).select_from(coupons.Coupon))
    assert count == 100
    refused = [answer for answer in made if answer is coupons.CouponLimitReached]
    assert len(refused) == 200 - sum(map(len, given))
    for drop, got in zip(both, given, strict=True):
        assert (await drop_now(database, drop.id)).claimed == len(got)


async def test_cancelling_in_the_midst_settles_what_was_claimed(
    database: Database, houses: list[Claims]
) -> None:
    drop = await open_drop(database, stock=100)
    ids = await members(database, 100)

    async def cancel() -> None:
        async with database.begin() as tx:
            await drops.cancel_drop(tx, drop_id=drop.id, reason="sick printer")

    first = all_of(gathered(houses[nth % 2], drop.id, one) for nth, one in enumerate(ids[:50]))
    made, _ = await asyncio.gather(first, cancel())
    made += await all_of(gathered(houses[0], drop.id, one) for one in ids[50:])
    given = await given_in(database, drop.id)
    assert {answer for answer in made if isinstance(answer, UUID)} == set(given.values())
    assert {answer for answer in made if not isinstance(answer, UUID)} == {drops.NotOpen}
    async with database.read() as read:
        batch = (await coupons.batches_by_id(read, [drop.batch_id]))[drop.batch_id]
    assert (batch.granted, batch.set_aside) == (len(given), 0)
