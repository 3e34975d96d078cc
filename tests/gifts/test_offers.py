"""One-yuan gifts: exact stock, kept a day, once in a cycle."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app import gifts
from app.gifts import GiftCycle, HoldState, seen_state
from app.kernel.db import Database
from app.kernel.errors import InvalidInput, Refusal
from app.members import MemberNotActive, MemberStatus
from tests.conftest import TestClock
from tests.make import gifts as make
from tests.make.members import community, member


async def person(database: Database, status: MemberStatus = MemberStatus.ACTIVE) -> UUID:
    async with database.begin() as tx:
        return (await member(tx, status=status)).id


async def hold(database: Database, offer_id: UUID, member_id: UUID) -> gifts.GiftHold:
    async with database.begin() as tx:
        return await gifts.hold_gift(tx, offer_id=offer_id, member_id=member_id)


async def take(database: Database, kept: gifts.GiftHold, order: str = "order-1") -> gifts.GiftHold:
    async with database.begin() as tx:
        return await gifts.take_gift(tx, hold_id=kept.id, member_id=kept.member_id, order_ref=order)


async def release(database: Database, kept: gifts.GiftHold) -> gifts.GiftHold:
    async with database.begin() as tx:
        return await gifts.release_gift(tx, hold_id=kept.id, member_id=kept.member_id)


async def counts(database: Database, offer_id: UUID) -> tuple[int, int, int]:
    async with database.read() as read:
        offer = (await gifts.offers_by_id(read, [offer_id]))[offer_id]
        left = (await gifts.left_by_offer(read, [offer_id]))[offer_id]
        return offer.held, offer.taken, left


async def test_a_gift_is_held_and_taken_once(database: Database, clock: TestClock) -> None:
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=3)
    one = await person(database)
    kept = await hold(database, offer.id, one)
    assert (kept.expires_at - kept.held_at).total_seconds() == 86_400
    assert await counts(database, offer.id) == (1, 0, 2)
    with pytest.raises(gifts.GiftAlreadyHeld):
        await hold(database, offer.id, one)
    clock.advance(hours=24, microseconds=-1)
    taken = await take(database, kept)
    assert (taken.state, taken.order_ref) == (HoldState.TAKEN, "order-1")
    assert await counts(database, offer.id) == (0, 1, 2)
    for again in (take, release):
        with pytest.raises(gifts.HoldNotUsable):
            await again(database, kept)
    with pytest.raises(gifts.GiftAlreadyHeld):
        await hold(database, offer.id, one)
    async with database.read() as read:
        assert await gifts.taken_fen(read, member_id=one, order_ref="order-1") == 100
        assert await gifts.taken_fen(read, member_id=one, order_ref="order-2") == 0


async def test_what_is_released_another_may_hold(database: Database) -> None:
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=1)
    one, two = await person(database), await person(database)
    kept = await hold(database, offer.id, one)
    with pytest.raises(gifts.GiftOutOfStock):
        await hold(database, offer.id, two)
    await release(database, kept)
    await hold(database, offer.id, two)
    with pytest.raises(gifts.GiftOutOfStock):
        await hold(database, offer.id, one)


async def test_an_overdue_hold_is_free_before_any_job_runs(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=1)
    one, two = await person(database), await person(database)
    kept = await hold(database, offer.id, one)
    clock.advance(hours=24)
    assert seen_state(kept, clock.now) is HoldState.EXPIRED
    assert await counts(database, offer.id) == (1, 0, 1)
    with pytest.raises(gifts.HoldNotUsable):
        await take(database, kept)
    await hold(database, offer.id, two)
    assert await counts(database, offer.id) == (1, 0, 0)
    async with database.read() as read:
        old = (await gifts.holds_by_member_and_id(read, [(one, kept.id)]))[one, kept.id]
    assert (old.state, old.ended_at) == (HoldState.EXPIRED, kept.expires_at)


async def test_the_job_frees_what_is_overdue(database: Database, clock: TestClock) -> None:
    async with database.begin() as tx:
        offers = [await make.offer(tx, stock=2) for _ in range(2)]
    one = await person(database)
    for offer in offers:
        await hold(database, offer.id, one)
    freed: list[int] = []
    for step in (23, 1, 0, 0):
        clock.advance(hours=step)
        async with database.begin() as tx:
            freed.append(await gifts.free_due(tx))
    assert freed == [0, 1, 1, 0]
    assert [await counts(database, offer.id) for offer in offers] == [(0, 0, 2)] * 2


@pytest.mark.parametrize(
    ("cycle", "next_at"),
    [
        (GiftCycle.MONTH, datetime(2026, 3, 31, 16, 0, tzinfo=UTC)),
        (GiftCycle.YEAR, datetime(2026, 12, 31, 16, 0, tzinfo=UTC)),
    ],
)
async def test_once_a_cycle_of_the_neighbourhoods_days(
    database: Database, clock: TestClock, cycle: GiftCycle, next_at: datetime
) -> None:
    async with database.begin() as tx:
        offer = await make.offer(tx, cycle=cycle)
        abroad = (await community(tx, name="Riverside", time_zone="America/New_York")).id
        near, far = (await member(tx)).id, (await member(tx, community_id=abroad)).id
    for one in (near, far):
        await take(database, await hold(database, offer.id, one))
    clock.now = next_at
    clock.advance(microseconds=-1)
    with pytest.raises(gifts.GiftAlreadyHeld):
        await hold(database, offer.id, near)
    clock.advance(microseconds=1)
    await hold(database, offer.id, near)
    with pytest.raises(gifts.GiftAlreadyHeld):
        await hold(database, offer.id, far)


async def test_who_may_not_hold_hears_why(database: Database, clock: TestClock) -> None:
    one = await person(database)
    async with database.begin() as tx:
        offer = await gifts.create_offer(
            tx,
            title="一元米",
            sku="RICE",
            stock=1,
            cycle=GiftCycle.EVER,
            opens_at=clock.now.replace(hour=5),
            closes_at=clock.now.replace(hour=6),
        )
    frozen = await person(database, MemberStatus.FROZEN)
    for offer_id, member_id, refusal in (
        (uuid4(), one, gifts.GiftNotFound),
        (offer.id, one, gifts.GiftNotOpen),
        (offer.id, frozen, MemberNotActive),
    ):
        with pytest.raises(refusal):
            await hold(database, offer_id, member_id)
    clock.now = clock.now.replace(hour=6)
    with pytest.raises(gifts.GiftNotOpen):
        await hold(database, offer.id, one)
    clock.now = clock.now.replace(hour=5)
    kept = await hold(database, offer.id, one)
    stranger = await person(database)
    async with database.begin() as tx:
        with pytest.raises(gifts.HoldNotFound):
            await gifts.release_gift(tx, hold_id=kept.id, member_id=stranger)
    with pytest.raises(InvalidInput):
        await take(database, kept, order=" ")


async def test_fifty_at_once_hold_exactly_the_stock(database: Database, clock: TestClock) -> None:
    people = [await person(database) for _ in range(50)]
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=20)
    early = [await hold(database, offer.id, one) for one in people[:5]]
    clock.advance(hours=24)  # these five are overdue and nobody has freed them

    async def attempt(member_id: UUID) -> UUID | str:
        try:
            return (await hold(database, offer.id, member_id)).id
        except Refusal as refusal:
            return refusal.code

    answers = await asyncio.gather(*(attempt(one) for one in people for _ in range(2)))
    made = {answer for answer in answers if isinstance(answer, UUID)}
    assert len(made) == 20
    assert made.isdisjoint({kept.id for kept in early})
    assert await counts(database, offer.id) == (20, 0, 0)
    async with database.read() as read:
        rows = (
            await read.session.scalars(
                select(gifts.GiftHold).where(gifts.GiftHold.state == HoldState.HELD)
            )
        ).all()
    assert len({row.member_id for row in rows}) == len(rows) == 20


async def test_taking_releasing_and_expiring_at_once_end_a_hold_once(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=10)
    kept = [await hold(database, offer.id, await person(database)) for _ in range(10)]

    async def attempt(way: int, one: gifts.GiftHold) -> str:
        try:
            return (await (take if way % 2 else release)(database, one)).state
        except Refusal as refusal:
            return refusal.code

    ends = await asyncio.gather(*(attempt(way, one) for one in kept for way in range(4)))
    done = [end for end in ends if end in HoldState.__members__]
    assert len(done) == 10
    taken = done.count(HoldState.TAKEN)
    assert await counts(database, offer.id) == (0, taken, 10 - taken)
