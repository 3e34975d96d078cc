"""Making drops, opening and ending them, and what the batch gets back."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import coupons, drops
from app.drops import DropState
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.members import CommunityNotFound
from tests.conftest import TestClock
from tests.make import coupons as make_coupons
from tests.make import drops as make
from tests.make.members import member


async def batch_now(database: Database, batch_id: UUID) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [batch_id]))[batch_id]


async def test_a_drop_sets_its_stock_and_money_aside(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=10)
        await make.drop(tx, batch_id=batch.id, stock=7)
        with pytest.raises(coupons.BatchTooSmall):
            await make.drop(tx, batch_id=batch.id, stock=4)
    now = await batch_now(database, batch.id)
    assert (now.granted, now.set_aside, now.reserved_fen) == (0, 7, 3_500)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("title", {"title": " "}),
        ("closesAt", {"lasts": timedelta(0)}),
        ("closesAt", {"opens_in": timedelta(hours=-2)}),
        ("stock", {"stock": 0}),
    ],
)
async def test_a_drop_that_cannot_be_is_refused(
    database: Database, field: str, change: dict[str, Any]
) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        with pytest.raises(InvalidInput) as refused:
            await make.drop(tx, batch_id=batch.id, **change)
    assert refused.value.facts["field"] == field


async def test_a_drop_needs_a_batch_a_community_and_coupons_that_outlive_it(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        with pytest.raises(coupons.BatchNotFound):
            await make.drop(tx, batch_id=uuid4())
        with pytest.raises(CommunityNotFound):
            await make.drop(tx, community_id=uuid4())
        draft = await make_coupons.batch(tx, state=coupons.BatchState.APPROVED)
        with pytest.raises(coupons.BatchNotActive):
            await make.drop(tx, batch_id=draft.id)
        short = await make_coupons.template(
            tx,
            validity=coupons.Validity.ABSOLUTE,
            valid_from=clock.now,
            valid_until=clock.now + timedelta(minutes=90),
        )
        batch = await make_coupons.batch(tx, template_id=short.id)
        with pytest.raises(InvalidInput):
            await make.drop(tx, batch_id=batch.id)


async def test_due_drops_open_and_close_once_however_many_schedulers_run(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        drop = await make.drop(tx, stock=5)
        later = await make.drop(tx, opens_in=timedelta(days=1))
        who = (await member(tx)).id

    async def tick(close: bool) -> list[UUID]:
        async with database.begin() as tx:
            return await (drops.close_due(tx) if close else drops.open_due(tx))

    assert await tick(False) == []
    clock.now = drop.opens_at
    opened = await asyncio.gather(*(tick(False) for _ in range(4)))
    assert sorted(map(len, opened)) == [0, 0, 0, 1]
    async with database.begin() as tx:
        await drops.claim(tx, drop_id=drop.id, member_id=who)
    assert await tick(True) == []
    clock.now = drop.closes_at
    closed = await asyncio.gather(*(tick(True) for _ in range(4)))
    assert sorted(map(len, closed)) == [0, 0, 0, 1]
    async with database.read() as read:
        rows = await drops.by_id(read, [drop.id, later.id])
    assert rows[drop.id].state is DropState.CLOSED
    assert rows[later.id].state is DropState.SCHEDULED
    batch = await batch_now(database, drop.batch_id)
    assert (batch.granted, batch.set_aside, batch.reserved_fen) == (1, 0, 500)


async def test_a_sold_out_drop_is_settled_with_its_batch(database: Database) -> None:
    async with database.begin() as tx:
        who = (await member(tx)).id
        batch = await make_coupons.batch(tx, quantity=1)
        drop = await make.open_drop(tx, stock=1, batch_id=batch.id)
        await drops.claim(tx, drop_id=drop.id, member_id=who)
    async with database.begin() as tx:
        assert await drops.close_due(tx) == [drop.id]
        assert await drops.close_due(tx) == []
    now = await batch_now(database, batch.id)
    assert (now.granted, now.set_aside, now.state) == (1, 0, coupons.BatchState.EXHAUSTED)


async def test_opening_early_moves_the_hour_and_happens_once(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        drop = await make.drop(tx)
        opened = await drops.open_drop(tx, drop_id=drop.id)
        assert (opened.state, opened.opens_at) == (DropState.OPEN, clock.now)
        with pytest.raises(drops.DropNotScheduled):
            await drops.open_drop(tx, drop_id=drop.id)
        with pytest.raises(drops.DropNotFound):
            await drops.open_drop(tx, drop_id=uuid4())
        missed = await make.drop(tx, opens_in=timedelta(0), lasts=timedelta(minutes=1))
    clock.advance(minutes=1)
    async with database.begin() as tx:
        with pytest.raises(drops.DropNotScheduled):
            await drops.open_drop(tx, drop_id=missed.id)


async def test_cancelling_gives_the_rest_back_and_cannot_be_undone(database: Database) -> None:
    async with database.begin() as tx:
        drop = await make.open_drop(tx, stock=5)
        await drops.cancel_drop(tx, drop_id=drop.id, reason="sick printer")
        with pytest.raises(drops.DropNotCancellable):
            await drops.cancel_drop(tx, drop_id=drop.id, reason="sick printer")
        with pytest.raises(drops.DropNotScheduled):
            await drops.open_drop(tx, drop_id=drop.id)
    batch = await batch_now(database, drop.batch_id)
    assert (batch.granted, batch.set_aside, batch.reserved_fen) == (0, 0, 0)


async def test_pages_of_drops_begin_with_the_last_to_open(database: Database) -> None:
    async with database.begin() as tx:
        made = [await make.drop(tx, opens_in=timedelta(hours=hour)) for hour in (1, 2, 3)]
        await drops.open_drop(tx, drop_id=made[0].id)
    async with database.read() as read:
        first = await drops.page(read, first=1)
        assert [row.id for row in first] == [made[2].id, made[1].id], "one more than asked"
        rest = await drops.page(read, first=5, after=(made[2].opens_at, made[2].id))
        assert [row.id for row in rest] == [made[1].id, made[0].id]
        running = await drops.page(read, first=5, state=DropState.OPEN)
        assert [row.id for row in running] == [made[0].id]
