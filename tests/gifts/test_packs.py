"""Packs are given whole or not at all, and their later parts once each."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, func, select, update

from app import coupons, gifts, points
from app.gifts import ItemDraft, PackOnce, PackState, PartState, Unlock
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.members import Member, MemberNotActive, MemberStatus
from tests.conftest import TestClock
from tests.make import coupons as make_coupons
from tests.make import gifts as make
from tests.make.members import member


async def person(database: Database, status: MemberStatus = MemberStatus.ACTIVE) -> UUID:
    async with database.begin() as tx:
        return (await member(tx, status=status)).id


async def claim(
    database: Database, pack_id: UUID, member_id: UUID, episode_id: UUID | None = None
) -> gifts.PackClaim:
    async with database.begin() as tx:
        return await gifts.claim_pack(
            tx, pack_id=pack_id, member_id=member_id, episode_id=episode_id
        )


async def states(database: Database, made: gifts.PackClaim) -> list[PartState]:
    async with database.read() as read:
        key = made.member_id, made.id
        return [part.state for part, _ in (await gifts.parts_by_claim(read, [key]))[key]]


async def unlock(database: Database) -> int:
    async with database.begin() as tx:
        return await gifts.unlock_due(tx)


async def use_first_coupon(database: Database, made: gifts.PackClaim) -> None:
    async with database.begin() as tx:
        key = made.member_id, made.id
        part, _ = (await gifts.parts_by_claim(tx, [key]))[key][0]
        assert part.coupon_id is not None
        await coupons.redeem(
            tx,
            coupon_id=part.coupon_id,
            member_id=made.member_id,
            order_ref="order-1",
            basket=coupons.Basket([coupons.Line("RICE", "staple", 1, 3_990)]),
        )


async def balance(database: Database, member_id: UUID) -> int:
    async with database.read() as read:
        return (await points.balances_by_member(read, [member_id]))[member_id].points.balance


async def batches(database: Database, pack_id: UUID) -> list[coupons.Batch]:
    """The batches of the pack's coupons, in their order in it."""
    async with database.read() as read:
        items = (await gifts.items_by_pack(read, [pack_id]))[pack_id]
        keys = [item.batch_id for item in items if item.batch_id is not None]
        found = await coupons.batches_by_id(read, keys)
        return [found[key] for key in keys]


async def test_parts_come_at_once_on_their_day_and_on_redemption(
    database: Database, clock: TestClock
) -> None:
    one = await person(database)
    async with database.begin() as tx:
        pack = await make.pack(tx)
    made = await claim(database, pack.id, one)
    locked, given = PartState.LOCKED, PartState.GIVEN
    assert await states(database, made) == [given, locked, locked]
    assert await unlock(database) == 0
    await use_first_coupon(database, made)
    assert await unlock(database) == 1
    assert await states(database, made) == [given, given, locked]
    clock.now = clock.now.replace(hour=15, minute=59, second=59, microsecond=999_999)
    clock.advance(days=1)  # the last instant of day 2
    assert await unlock(database) == 0
    clock.advance(microseconds=1)
    assert await unlock(database) == 1
    assert await states(database, made) == [given, given, given]
    assert await balance(database, one) == 50
    assert await unlock(database) == 0
    assert await balance(database, one) == 50


async def test_opening_sets_everything_aside_and_closing_returns_the_rest(
    database: Database,
) -> None:
    one = await person(database)
    async with database.begin() as tx:
        pack = await make.pack(tx, stock=4)
    assert [batch.set_aside for batch in await batches(database, pack.id)] == [4, 4]
    await claim(database, pack.id, one)
    assert [(b.granted, b.set_aside) for b in await batches(database, pack.id)] == [(1, 3), (0, 4)]
    async with database.begin() as tx:
        await gifts.close_pack(tx, pack_id=pack.id)
    assert [(b.granted, b.set_aside) for b in await batches(database, pack.id)] == [(1, 0), (0, 1)]
    assert [b.reserved_fen for b in await batches(database, pack.id)] == [500, 500]
    with pytest.raises(gifts.PackNotOpen):
        await claim(database, pack.id, await person(database))
    with pytest.raises(gifts.PackMoveNotAllowed):
        async with database.begin() as tx:
            await gifts.close_pack(tx, pack_id=pack.id)


async def test_a_pack_that_cannot_be_filled_is_not_opened(database: Database) -> None:
    async with database.begin() as tx:
        items = [await make.coupon_item(tx), await make.coupon_item(tx, quantity=3)]
        pack = await make.pack(tx, items=items, stock=4, opened=False)
    with pytest.raises(coupons.BatchTooSmall):
        async with database.begin() as tx:
            await gifts.open_pack(tx, pack_id=pack.id)
    assert [batch.set_aside for batch in await batches(database, pack.id)] == [0, 0]


async def test_all_children_or_none(database: Database) -> None:
    """The second coupon's limit is reached: the first is not given either, nor is the pack."""
    one = await person(database)
    async with database.begin() as tx:
        first, second = await make.coupon_item(tx), await make.coupon_item(tx)
        await make_coupons.coupon(tx, member_id=one, batch_id=second.batch_id)
        pack = await make.pack(tx, items=[first, second, ItemDraft(points=9)])
    with pytest.raises(coupons.CouponLimitReached):
        await claim(database, pack.id, one)
    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(coupons.Coupon)) == 1
        assert await read.session.scalar(select(func.count()).select_from(gifts.PackClaim)) == 0
        assert (await gifts.packs_by_id(read, [pack.id]))[pack.id].claimed == 0
    assert await balance(database, one) == 0


async def test_once_ever_or_once_a_silence(database: Database) -> None:
    one, silence, later = await person(database), uuid4(), uuid4()
    async with database.begin() as tx:
        ever = await make.pack(tx, items=[ItemDraft(points=5)])
        each = await make.pack(tx, items=[ItemDraft(points=5)], once=PackOnce.PER_EPISODE)
    await claim(database, ever.id, one, silence)
    with pytest.raises(gifts.PackAlreadyClaimed):
        await claim(database, ever.id, one, later)
    with pytest.raises(gifts.PackForReturning):
        await claim(database, each.id, one)
    await claim(database, each.id, one, silence)
    with pytest.raises(gifts.PackAlreadyClaimed):
        await claim(database, each.id, one, silence)
    await claim(database, each.id, one, later)
    assert await balance(database, one) == 15


async def test_who_may_not_claim_hears_why(database: Database) -> None:
    async with database.begin() as tx:
        draft = await make.pack(tx, opened=False)
        single = await make.pack(tx, items=[ItemDraft(points=5)], stock=1)
    one = await person(database)
    for pack_id, member_id, refusal in (
        (uuid4(), one, gifts.PackNotFound),
        (draft.id, one, gifts.PackNotOpen),
        (single.id, await person(database, MemberStatus.FROZEN), MemberNotActive),
    ):
        with pytest.raises(refusal):
            await claim(database, pack_id, member_id)
    await claim(database, single.id, one)
    with pytest.raises(gifts.PackSoldOut):
        await claim(database, single.id, await person(database))


async def test_used_coupons_are_looked_for_once_and_not_before_each_batch(
    database: Database,
) -> None:
    one = await person(database)
    async with database.begin() as tx:
        items = [await make.coupon_item(tx)]
        items.append(ItemDraft(Unlock.WHEN_PREVIOUS_REDEEMED, points=7))
        pack = await make.pack(tx, items=items, stock=1)
    made = await claim(database, pack.id, one)
    await use_first_coupon(database, made)
    async with database.begin() as tx:
        assert await gifts.unlock_due(tx, look_for_used=False) == 0
    assert await states(database, made) == [PartState.GIVEN, PartState.LOCKED]
    assert await unlock(database) == 1
    assert await states(database, made) == [PartState.GIVEN, PartState.GIVEN]


async def test_many_parts_lapse_by_as_many_statements_as_one(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        items = [await make.coupon_item(tx)]
        items.append(ItemDraft(Unlock.WHEN_PREVIOUS_REDEEMED, points=7))
        pack = await make.pack(tx, items=items, stock=9)
    for _ in range(9):
        await claim(database, pack.id, await person(database))
    clock.advance(days=8)
    async with database.begin() as tx:
        await coupons.expire_due(tx)
    sent: list[str] = []

    def note(*told: object) -> None:
        sent.append(str(told[2]))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        counts: list[int] = []
        for most in (1, 8):
            sent.clear()
            async with database.begin() as tx:
                assert await gifts.lapse_hopeless(tx, most=most) == most
            counts.append(len(sent))
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    assert counts[0] == counts[1]


async def test_parts_after_an_unused_coupon_lapse_and_go_back(
    database: Database, clock: TestClock
) -> None:
    one = await person(database)
    async with database.begin() as tx:
        wait = Unlock.WHEN_PREVIOUS_REDEEMED
        items = [await make.coupon_item(tx)]
        items += [await make.coupon_item(tx, unlock=wait) for _ in range(2)]
        pack = await make.pack(tx, items=items, stock=1)
    made = await claim(database, pack.id, one)
    clock.advance(days=8)
    async with database.begin() as tx:
        await coupons.expire_due(tx)
    rounds: list[int] = []
    for _ in range(3):
        async with database.begin() as tx:
            rounds.append(await gifts.lapse_hopeless(tx))
    assert rounds == [1, 1, 0]
    assert await states(database, made) == [PartState.GIVEN, PartState.LAPSED, PartState.LAPSED]
    assert [(b.granted, b.set_aside) for b in await batches(database, pack.id)] == [
        (1, 0),
        (0, 0),
        (0, 0),
    ]
    assert [b.reserved_fen for b in await batches(database, pack.id)] == [0, 0, 0]


async def test_a_part_after_a_coupon_that_went_with_its_order_lapses(database: Database) -> None:
    one = await person(database)
    async with database.begin() as tx:
        items = [await make.coupon_item(tx)]
        items.append(await make.coupon_item(tx, unlock=Unlock.WHEN_PREVIOUS_REDEEMED))
        pack = await make.pack(tx, items=items, stock=1)
    made = await claim(database, pack.id, one)
    async with database.begin() as tx:
        # It was used and its order refunded before the part behind it was looked at.
        await tx.session.execute(update(coupons.Coupon).values(state=coupons.CouponState.RETURNED))
    assert await unlock(database) == 0
    async with database.begin() as tx:
        assert await gifts.lapse_hopeless(tx) == 1
    assert await states(database, made) == [PartState.GIVEN, PartState.LAPSED]
    assert [batch.set_aside for batch in await batches(database, pack.id)] == [0, 0]


@pytest.mark.parametrize("status", [MemberStatus.FROZEN, MemberStatus.CLOSED])
async def test_parts_of_frozen_members_wait_and_of_closed_accounts_lapse(
    database: Database, clock: TestClock, status: MemberStatus
) -> None:
    one = await person(database)
    async with database.begin() as tx:
        later = await make.coupon_item(tx, unlock=Unlock.DAY_N, day=2)
        pack = await make.pack(tx, items=[later], stock=1)
    made = await claim(database, pack.id, one)
    async with database.begin() as tx:
        (await tx.session.get_one(Member, one)).status = status
    clock.advance(days=1)
    assert await unlock(database) == 1
    assert await unlock(database) == 0
    frozen = status is MemberStatus.FROZEN
    assert await states(database, made) == [PartState.LOCKED if frozen else PartState.LAPSED]
    assert (await batches(database, pack.id))[0].set_aside == int(frozen)
    async with database.begin() as tx:
        (await tx.session.get_one(Member, one)).status = MemberStatus.ACTIVE
    clock.advance(days=1)
    await unlock(database)
    assert await states(database, made) == [PartState.GIVEN if frozen else PartState.LAPSED]


async def test_a_paused_batch_makes_parts_wait(database: Database, clock: TestClock) -> None:
    one = await person(database)
    async with database.begin() as tx:
        later = await make.coupon_item(tx, unlock=Unlock.DAY_N, day=2)
        pack = await make.pack(tx, items=[later])
    made = await claim(database, pack.id, one)
    clock.advance(days=1)
    assert later.batch_id is not None
    for state, seen in (
        (coupons.BatchState.PAUSED, PartState.LOCKED),
        (coupons.BatchState.ACTIVE, PartState.GIVEN),
    ):
        async with database.begin() as tx:
            await coupons.move_batch(tx, batch_id=later.batch_id, to=state)
        clock.advance(hours=1)
        await unlock(database)
        assert await states(database, made) == [seen]


async def test_a_packs_gift_is_kept_beside_the_members_own(database: Database) -> None:
    one = await person(database)
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=2)
        pack = await make.pack(tx, items=[ItemDraft(offer_id=offer.id)], stock=1)
    async with database.begin() as tx:
        await gifts.hold_gift(tx, offer_id=offer.id, member_id=one)
    two = await person(database)
    async with database.begin() as tx:
        with pytest.raises(gifts.GiftOutOfStock):
            await gifts.hold_gift(tx, offer_id=offer.id, member_id=two)
    made = await claim(database, pack.id, one)
    async with database.read() as read:
        now = (await gifts.offers_by_id(read, [offer.id]))[offer.id]
        key = made.member_id, made.id
        ((part, _),) = (await gifts.parts_by_claim(read, [key]))[key]
    assert (now.promised, now.held, now.taken) == (0, 2, 0)
    assert part.hold_id is not None


async def test_fifty_at_once_get_exactly_the_stock(database: Database) -> None:
    people = [await person(database) for _ in range(50)]
    async with database.begin() as tx:
        pack = await make.pack(tx, stock=20)

    async def attempt(member_id: UUID) -> UUID | str:
        try:
            return (await claim(database, pack.id, member_id)).id
        except Refusal as refusal:
            return refusal.code

    answers = await asyncio.gather(*(attempt(one) for one in people for _ in range(2)))
    made = [answer for answer in answers if isinstance(answer, UUID)]
    assert len(made) == len(set(made)) == 20
    assert answers.count("PACK_ALREADY_CLAIMED") <= 20
    async with database.read() as read:
        assert (await gifts.packs_by_id(read, [pack.id]))[pack.id].claimed == 20
        holders = (await read.session.scalars(select(coupons.Coupon.member_id))).all()
    assert len(holders) == len(set(holders)) == 20
    assert [(b.granted, b.set_aside) for b in await batches(database, pack.id)] == [
        (20, 0),
        (0, 20),
    ]


async def test_unlocking_by_several_workers_at_once_gives_each_part_once(
    database: Database, clock: TestClock
) -> None:
    people = [await person(database) for _ in range(30)]
    async with database.begin() as tx:
        day2 = await make.coupon_item(tx, unlock=Unlock.DAY_N, day=2)
        pack = await make.pack(tx, items=[day2, ItemDraft(Unlock.DAY_N, 2, points=7)], stock=30)
    for one in people:
        await claim(database, pack.id, one)
    clock.advance(days=1)

    async def work() -> int:
        total = 0
        while True:
            async with database.begin() as tx:
                moved = await gifts.unlock_due(tx, most=7)
            total += moved
            if not moved:
                return total

    assert sum(await asyncio.gather(*(work() for _ in range(4)))) == 60
    async with database.read() as read:
        holders = (await read.session.scalars(select(coupons.Coupon.member_id))).all()
        assert sorted(holders) == sorted(people)
        found = await points.balances_by_member(read, people)
    assert {one.points.balance for one in found.values()} == {7}
    assert (await batches(database, pack.id))[0].granted == 30


async def test_a_closed_pack_stays_closed(database: Database) -> None:
    async with database.begin() as tx:
        pack = await make.pack(tx, opened=False)
        await gifts.close_pack(tx, pack_id=pack.id)
        with pytest.raises(gifts.PackMoveNotAllowed):
            await gifts.open_pack(tx, pack_id=pack.id)
        assert pack.state is PackState.CLOSED
    assert [batch.set_aside for batch in await batches(database, pack.id)] == [0, 0]
