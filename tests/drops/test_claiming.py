"""Claims: never beyond the stock, one a member, whatever races, repeats or dies."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app import coupons, drops
from app.drops import DropState
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.kernel.idempotency import once
from app.kernel.outbox import OutboxRow
from app.kernel.table import Json
from app.members import MemberNotActive, MemberStatus
from tests.conftest import TestClock
from tests.make import coupons as make_coupons
from tests.make import drops as make
from tests.make.members import community, member


async def members(database: Database, count: int) -> list[UUID]:
    async with database.begin() as tx:
        return [(await member(tx)).id for _ in range(count)]


async def open_drop(database: Database, stock: int = 10) -> drops.Drop:
    async with database.begin() as tx:
        return await make.open_drop(tx, stock=stock)


async def claim(database: Database, drop_id: UUID, member_id: UUID) -> drops.Claim:
    async with database.begin() as tx:
        return await drops.claim(tx, drop_id=drop_id, member_id=member_id)


async def drop_now(database: Database, drop_id: UUID) -> drops.Drop:
    async with database.read() as read:
        return (await drops.by_id(read, [drop_id]))[drop_id]


async def facts(database: Database, topic: str) -> list[OutboxRow]:
    async with database.read() as read:
        rows = await read.session.scalars(
            select(OutboxRow).where(OutboxRow.topics.contains([topic]))
        )
        return sorted(rows, key=lambda row: row.payload.get("version", 0))


async def test_a_claim_gives_a_coupon_and_tells_both_topics(database: Database) -> None:
    drop = await open_drop(database)
    (one,) = await members(database, 1)
    claimed = await claim(database, drop.id, one)
    async with database.read() as read:
        rows = await coupons.by_member_and_id(read, [(one, claimed.coupon_id)])
    assert rows[(one, claimed.coupon_id)].source_id == drop.id
    told = await facts(database, drops.drop_topic(drop.id))
    assert [(fact.kind, fact.payload["remaining"]) for fact in told] == [
        ("drop.opened", 10),
        ("drop.claimed", 9),
    ]
    assert str(one) not in str(told[1].payload), "no member's id on the drop's topic"
    assert [fact.kind for fact in await facts(database, f"member:{one}")] == ["coupon.granted"]


async def test_two_hundred_members_claim_fifty_each_twice_with_one_key(
    database: Database,
) -> None:
    drop = await open_drop(database, stock=50)
    ids = await members(database, 200)

    async def attempt(member_id: UUID) -> str:
        try:
            async with database.begin() as tx:

                async def work() -> Json:
                    made = await drops.claim(tx, drop_id=drop.id, member_id=member_id)
                    return {"coupon": str(made.coupon_id)}

                answer = await once(
                    tx,
                    owner_id=member_id,
                    command="claimDrop",
                    key="tap",
                    given={"drop": str(drop.id)},
                    work=work,
                )
        except drops.SoldOut:
            return "sold out"
        return str(answer["coupon"])

    answers = await asyncio.gather(*(attempt(key) for key in ids for _ in range(2)))
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    assert all(first == second for first, second in pairs), "the same key, the same answer"
    assert len({first for first, _ in pairs if first != "sold out"}) == 50
    async with database.read() as read:
        claims = await read.session.scalar(select(func.count()).select_from(drops.Claim))
        given = await read.session.scalar(select(func.count()).select_from(coupons.Coupon))
    now = await drop_now(database, drop.id)
    assert (claims, given, now.claimed, now.state) == (50, 50, 50, DropState.SOLD_OUT)
    told = await facts(database, drops.drop_topic(drop.id))
    assert [fact.payload["remaining"] for fact in told] == [50, *range(49, -1, -1)]
    assert [fact.kind for fact in told[-2:]] == ["drop.claimed", "drop.sold_out"]


async def test_one_member_at_once_from_many_places_gets_one(database: Database) -> None:
    drop = await open_drop(database)
    (one,) = await members(database, 1)
    results = await asyncio.gather(
        *(claim(database, drop.id, one) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, drops.Claim) for result in results) == 1
    assert sum(isinstance(result, drops.AlreadyClaimed) for result in results) == 19
    assert (await drop_now(database, drop.id)).claimed == 1


async def test_a_claim_whose_connection_dies_leaves_nothing(database: Database) -> None:
    drop = await open_drop(database)
    (one,) = await members(database, 1)

    async def die() -> None:
        async with database.begin() as tx:
            await drops.claim(tx, drop_id=drop.id, member_id=one)
            await tx.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DBAPIError):
        await die()
    assert (await drop_now(database, drop.id)).claimed == 0
    assert (await claim(database, drop.id, one)).member_id == one


async def test_claims_brought_together_are_served_in_their_order(database: Database) -> None:
    drop = await open_drop(database, stock=2)
    ids = await members(database, 3)
    unknown = uuid4()
    async with database.begin() as tx:
        verdicts = await drops.claim_all(
            tx, drop_id=drop.id, member_ids=[unknown, ids[2], ids[2], ids[0], ids[1]]
        )
    assert {key: type(verdict) for key, verdict in verdicts.items()} == {
        unknown: MemberNotActive,
        ids[2]: drops.Claim,
        ids[0]: drops.Claim,
        ids[1]: drops.SoldOut,
    }
    told = await facts(database, drops.drop_topic(drop.id))
    assert [fact.kind for fact in told] == ["drop.opened", "drop.sold_out"]


async def test_the_hours_decide_even_where_the_scheduler_is_late(
    database: Database, clock: TestClock
) -> None:
    first, second = await members(database, 2)
    async with database.begin() as tx:
        drop = await make.drop(tx)
    clock.now = drop.opens_at - timedelta(microseconds=1)
    with pytest.raises(drops.NotOpen):
        await claim(database, drop.id, first)
    clock.now = drop.opens_at
    await claim(database, drop.id, first)
    assert (await drop_now(database, drop.id)).state is DropState.OPEN
    clock.now = drop.closes_at
    with pytest.raises(drops.NotOpen):
        await claim(database, drop.id, second)


async def refused(database: Database, drop_id: UUID, member_id: UUID) -> type[Refusal]:
    with pytest.raises(Refusal) as refusal:
        await claim(database, drop_id, member_id)
    return type(refusal.value)


async def test_who_may_not_claim_is_told_why(database: Database) -> None:
    (one,) = await members(database, 1)
    async with database.begin() as tx:
        other = await community(tx, "滨江里")
        there = await make.drop(tx, community_id=other.id)
        await drops.open_drop(tx, drop_id=there.id)
        neighbour = (await member(tx, community_id=other.id)).id
        frozen = (await member(tx, status=MemberStatus.FROZEN)).id
    assert await refused(database, there.id, one) is drops.NotInAudience
    assert await refused(database, there.id, frozen) is MemberNotActive
    assert await refused(database, uuid4(), one) is drops.DropNotFound
    assert (await claim(database, there.id, neighbour)).drop_id == there.id
    async with database.begin() as tx:
        await drops.cancel_drop(tx, drop_id=there.id, reason="sick printer")
    assert await refused(database, there.id, neighbour) is drops.AlreadyClaimed


async def test_a_coupon_limit_leaves_the_stock_for_others(database: Database) -> None:
    first, second = await members(database, 2)
    async with database.begin() as tx:
        template = await make_coupons.template(tx)
        held = await make_coupons.batch(tx, template_id=template.id)
        await make_coupons.coupon(tx, member_id=first, batch_id=held.id)
        batch = await make_coupons.batch(tx, template_id=template.id)
        drop = await make.open_drop(tx, stock=1, batch_id=batch.id)
    assert await refused(database, drop.id, first) is coupons.CouponLimitReached
    assert (await claim(database, drop.id, second)).member_id == second


async def test_a_paused_batch_pauses_its_drop(database: Database) -> None:
    drop = await open_drop(database)
    (one,) = await members(database, 1)
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=drop.batch_id, to=coupons.BatchState.PAUSED)
    assert await refused(database, drop.id, one) is drops.NotOpen
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=drop.batch_id, to=coupons.BatchState.ACTIVE)
    assert (await claim(database, drop.id, one)).member_id == one
