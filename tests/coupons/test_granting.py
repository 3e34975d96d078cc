"""Coupons go to many members at once, and never beyond quantity, budget or limits."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import coupons
from app.coupons import BatchState, CouponState, Shortage, Source, Validity
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.members import MemberStatus
from tests.conftest import TestClock
from tests.make import coupons as make
from tests.make.members import community, member


async def members(database: Database, count: int) -> list[UUID]:
    async with database.begin() as tx:
        return [(await member(tx)).id for _ in range(count)]


async def batch_now(database: Database, batch_id: UUID) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [batch_id]))[batch_id]


async def grant(database: Database, batch_id: UUID, ids: list[UUID]) -> coupons.Grants:
    async with database.begin() as tx:
        return await coupons.grant(tx, batch_id=batch_id, member_ids=ids, source=Source.STAFF)


async def test_members_get_one_each_and_hear_of_it(database: Database) -> None:
    ids = await members(database, 3)
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=10)
    grants = await grant(database, batch.id, [*ids, ids[0]])
    assert set(grants.granted) == set(ids)
    assert grants.shortage is None
    now = await batch_now(database, batch.id)
    assert (now.granted, now.reserved_fen) == (3, 1_500)
    async with database.read() as read:
        rows = (await read.session.scalars(select(coupons.Coupon))).all()
        facts = (await read.session.scalars(select(OutboxRow))).all()
    assert len({row.code for row in rows}) == 3
    assert all(row.code is not None and len(row.code) == 13 for row in rows)
    assert {topic for fact in facts for topic in fact.topics} == {f"member:{key}" for key in ids}


async def test_the_first_in_line_are_served_when_there_are_too_few(database: Database) -> None:
    ids = await members(database, 5)
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=3)
    grants = await grant(database, batch.id, ids)
    assert list(grants.granted) == ids[:3]
    assert grants.unserved == ids[3:]
    assert grants.shortage is Shortage.QUANTITY
    assert (await batch_now(database, batch.id)).state is BatchState.EXHAUSTED
    with pytest.raises(coupons.BatchNotActive):
        await grant(database, batch.id, ids)


async def test_the_budget_is_reserved_at_the_grant(database: Database) -> None:
    ids = await members(database, 3)
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=10, budget_fen=1_400)
    grants = await grant(database, batch.id, ids)
    assert (len(grants.granted), grants.shortage) == (2, Shortage.BUDGET)
    now = await batch_now(database, batch.id)
    assert (now.state, now.reserved_fen) == (BatchState.ACTIVE, 1_000)


async def test_those_at_their_limit_or_gone_take_no_coupon_from_others(database: Database) -> None:
    ids = await members(database, 2)
    async with database.begin() as tx:
        frozen = (await member(tx, status=MemberStatus.FROZEN)).id
        template = await make.template(tx)
        batch = await make.batch(tx, template_id=template.id, quantity=2)
        other = await make.batch(tx, template_id=template.id, quantity=2)
    await grant(database, other.id, [ids[0]])
    grants = await grant(database, batch.id, [frozen, ids[0], uuid4(), ids[1]])
    assert list(grants.granted) == [ids[1]]
    assert grants.at_limit == {ids[0]}
    assert frozen in grants.not_active
    assert len(grants.not_active) == 2
    assert grants.unserved == []


async def test_validity_runs_in_each_community_s_own_zone(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        west = await community(tx, "乌鲁木齐路", "Asia/Urumqi")
        there = (await member(tx, community_id=west.id)).id
        here = (await member(tx)).id
        batch = await make.batch(tx)
        grants = await coupons.grant(
            tx, batch_id=batch.id, member_ids=[here, there], source=Source.STAFF
        )
        keys = list(grants.granted.items())
        rows = await coupons.by_member_and_id(tx, keys)
    ends = {key[0]: row.expires_at for key, row in rows.items()}
    assert (ends[there] - ends[here]).total_seconds() == 2 * 3600
    assert {row.usable_from for row in rows.values()} == {clock.now}


async def test_a_later_start_waits_and_an_ended_validity_gives_nothing(
    database: Database, clock: TestClock
) -> None:
    (one,) = await members(database, 1)
    async with database.begin() as tx:
        template = await make.template(tx, wait_days=2)
        waiting = await make.coupon(
            tx, member_id=one, batch_id=(await make.batch(tx, template_id=template.id)).id
        )
        fixed = await make.template(
            tx,
            validity=Validity.ABSOLUTE,
            valid_from=tx.now,
            valid_until=clock.now.replace(hour=5),
        )
        batch = await make.batch(tx, template_id=fixed.id)
    assert waiting.state is CouponState.WAITING
    clock.advance(hours=1)
    with pytest.raises(coupons.ValidityOver):
        await grant(database, batch.id, [one])
    clock.advance(days=2)
    async with database.begin() as tx:
        assert await coupons.activate_due(tx) == 1
        assert await coupons.activate_due(tx) == 0
        rows = await coupons.by_member_and_id(tx, [(one, waiting.id)])
    assert rows[(one, waiting.id)].state is CouponState.ACTIVE


async def test_racing_grants_never_exceed_the_quantity(database: Database) -> None:
    ids = await members(database, 60)
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=25)

    async def one(member_id: UUID) -> int:
        try:
            return len((await grant(database, batch.id, [member_id])).granted)
        except coupons.BatchNotActive:
            return 0

    given = await asyncio.gather(*(one(member_id) for member_id in ids))
    assert sum(given) == 25
    now = await batch_now(database, batch.id)
    assert (now.granted, now.state) == (25, BatchState.EXHAUSTED)


async def test_racing_grants_of_one_template_respect_the_member_s_limit(
    database: Database,
) -> None:
    ids = await members(database, 4)
    async with database.begin() as tx:
        template = await make.template(tx, per_member=2)
        batches = [(await make.batch(tx, template_id=template.id)).id for _ in range(6)]
    await asyncio.gather(*(grant(database, batch, ids) for batch in batches))
    async with database.read() as read:
        counts = await read.session.execute(
            select(coupons.Coupon.member_id, func.count()).group_by(coupons.Coupon.member_id)
        )
    assert {row[0]: row[1] for row in counts} == dict.fromkeys(ids, 2)


async def test_a_batch_moves_only_along_its_states(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make.batch(tx, state=BatchState.DRAFT)
        with pytest.raises(coupons.BatchMoveNotAllowed):
            await coupons.move_batch(tx, batch_id=batch.id, to=BatchState.ACTIVE)
        approved = await coupons.approve_batch(tx, batch_id=batch.id, by=None)
        assert approved.state is BatchState.APPROVED
        for to in (BatchState.ACTIVE, BatchState.PAUSED, BatchState.ACTIVE, BatchState.ENDED):
            assert (await coupons.move_batch(tx, batch_id=batch.id, to=to)).state is to
        with pytest.raises(coupons.BatchMoveNotAllowed):
            await coupons.move_batch(tx, batch_id=batch.id, to=BatchState.ACTIVE)
        with pytest.raises(coupons.BatchNotFound):
            await coupons.move_batch(tx, batch_id=uuid4(), to=BatchState.ACTIVE)


async def test_what_is_set_aside_cannot_be_granted_nor_the_batch_ended(database: Database) -> None:
    ids = await members(database, 3)
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=4)
        await coupons.set_aside(tx, batch_id=batch.id, quantity=3)
        with pytest.raises(coupons.BatchTooSmall) as refused:
            await coupons.set_aside(tx, batch_id=batch.id, quantity=2)
        assert refused.value.facts == {"left": 1}
        with pytest.raises(coupons.BatchHeldByDrop):
            await coupons.move_batch(tx, batch_id=batch.id, to=BatchState.REVOKED)
    grants = await grant(database, batch.id, ids)
    assert len(grants.granted) == 1
    async with database.begin() as tx:
        await coupons.settle_aside(tx, batch_id=batch.id, taken=1, returned=2)
    now = await batch_now(database, batch.id)
    assert (now.granted, now.set_aside, now.reserved_fen) == (2, 0, 1_000)
