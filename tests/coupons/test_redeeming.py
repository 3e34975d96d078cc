"""A coupon is redeemed once, within its validity; what is not redeemed gives its money back."""

import asyncio
from uuid import UUID, uuid4

import pytest

from app import coupons
from app.coupons import BatchState, CouponState
from app.kernel.db import Database
from app.members import Member, MemberNotActive, MemberStatus
from tests.conftest import TestClock
from tests.make import coupons as make
from tests.make.members import member

BASKET = coupons.Basket([coupons.Line("apple", "fruit", 3, 333)], shipping_fen=600)


async def given(database: Database, **template: object) -> coupons.Coupon:
    async with database.begin() as tx:
        made = await make.template(tx, **template)
        batch = await make.batch(tx, template_id=made.id)
        return await make.coupon(tx, member_id=(await member(tx)).id, batch_id=batch.id)


async def redeem(
    database: Database, coupon: coupons.Coupon, order_ref: str = "A-1"
) -> coupons.Redemption:
    async with database.begin() as tx:
        return await coupons.redeem(
            tx,
            coupon_id=coupon.id,
            member_id=coupon.member_id,
            order_ref=order_ref,
            basket=BASKET,
        )


async def batch_of(database: Database, coupon: coupons.Coupon) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [coupon.batch_id]))[coupon.batch_id]


async def state_of(database: Database, coupon: coupons.Coupon) -> CouponState:
    key = (coupon.member_id, coupon.id)
    async with database.read() as read:
        return (await coupons.by_member_and_id(read, [key]))[key].state


async def test_redeeming_spends_the_budget_and_keeps_the_reckoning(database: Database) -> None:
    coupon = await given(database, kind=coupons.Kind.PERCENT, value=20, max_discount_fen=5_000)
    redemption = await redeem(database, coupon)
    assert redemption.discount_fen == 199
    assert redemption.explanation["lines"] == [
        {
            "sku": "apple",
            "category": "fruit",
            "quantity": 3,
            "unit_fen": 333,
            "discount_fen": 199,
        }
    ]
    batch = await batch_of(database, coupon)
    assert (batch.redeemed, batch.reserved_fen, batch.spent_fen) == (1, 0, 199)
    assert await state_of(database, coupon) is CouponState.REDEEMED


async def test_fifty_at_once_redeem_it_once(database: Database) -> None:
    coupon = await given(database)

    async def attempt(number: int) -> bool:
        try:
            await redeem(database, coupon, f"A-{number}")
        except coupons.CouponNotUsable:
            return False
        return True

    won = await asyncio.gather(*(attempt(number) for number in range(50)))
    assert sum(won) == 1
    batch = await batch_of(database, coupon)
    assert (batch.redeemed, batch.reserved_fen, batch.spent_fen) == (1, 0, 500)


async def test_the_instants_decide_whatever_the_scheduler_did(
    database: Database, clock: TestClock
) -> None:
    coupon = await given(database, wait_days=1)
    with pytest.raises(coupons.CouponNotUsable) as early:
        await redeem(database, coupon)
    assert early.value.facts == {"state": CouponState.WAITING}
    clock.now = coupon.expires_at
    with pytest.raises(coupons.CouponNotUsable) as late:
        await redeem(database, coupon)
    assert late.value.facts == {"state": CouponState.EXPIRED}
    clock.now = coupon.usable_from
    assert (await redeem(database, coupon)).discount_fen == 500


async def test_another_s_coupon_cannot_be_found_and_a_frozen_member_redeems_nothing(
    database: Database,
) -> None:
    coupon = await given(database)
    async with database.begin() as tx:
        stranger = (await member(tx)).id
        for who in (stranger, uuid4()):
            with pytest.raises(coupons.CouponNotFound):
                await coupons.redeem(
                    tx, coupon_id=coupon.id, member_id=who, order_ref="A-1", basket=BASKET
                )
        (await tx.session.get_one(Member, coupon.member_id)).status = MemberStatus.FROZEN
    with pytest.raises(MemberNotActive):
        await redeem(database, coupon)


async def test_a_refused_redemption_leaves_the_coupon_as_it_was(database: Database) -> None:
    coupon = await given(database, threshold_fen=5_000)
    with pytest.raises(coupons.BelowThreshold):
        await redeem(database, coupon)
    assert await state_of(database, coupon) is CouponState.ACTIVE
    assert (await batch_of(database, coupon)).reserved_fen == 500


async def two(database: Database, **template: object) -> list[coupons.Coupon]:
    async with database.begin() as tx:
        who = (await member(tx)).id
        made: list[coupons.Coupon] = []
        for _ in range(2):
            base = await make.template(tx, **template)
            batch = await make.batch(tx, template_id=base.id)
            made.append(await make.coupon(tx, member_id=who, batch_id=batch.id))
        return made


@pytest.mark.parametrize("template", [{"exclusive": True}, {"stacking_group": "shop"}])
async def test_coupons_that_exclude_each_other_do_not_meet_on_an_order_even_in_a_race(
    database: Database, template: dict[str, object]
) -> None:
    pair = await two(database, **template)
    results = await asyncio.gather(
        *(redeem(database, coupon) for coupon in pair), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["CannotCombine", "Redemption"]
    loser = pair[0] if isinstance(results[0], coupons.CannotCombine) else pair[1]
    assert (await redeem(database, loser, "A-2")).discount_fen == 500


async def test_others_stack(database: Database) -> None:
    first, second = await two(database)
    await redeem(database, first)
    assert (await redeem(database, second)).order_ref == "A-1"


async def test_expiry_gives_the_budget_back_once(database: Database, clock: TestClock) -> None:
    coupon, used = await given(database), await given(database)
    await redeem(database, used)

    async def sweep() -> int:
        async with database.begin() as tx:
            return await coupons.expire_due(tx)

    assert await sweep() == 0
    clock.now = coupon.expires_at
    assert sorted(await asyncio.gather(sweep(), sweep())) == [0, 1]
    assert await state_of(database, coupon) is CouponState.EXPIRED
    assert await state_of(database, used) is CouponState.REDEEMED
    batch = await batch_of(database, coupon)
    assert (batch.granted, batch.reserved_fen) == (1, 0)


async def test_a_revoked_batch_s_coupons_are_dead_at_once(database: Database) -> None:
    coupon = await given(database)
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=coupon.batch_id, to=BatchState.REVOKED)
    with pytest.raises(coupons.CouponNotUsable):
        await redeem(database, coupon)
    async with database.begin() as tx:
        assert await coupons.expire_due(tx) == 1
        assert await coupons.expire_due(tx) == 0
    assert await state_of(database, coupon) is CouponState.REVOKED
    assert (await batch_of(database, coupon)).reserved_fen == 0


async def test_pages_of_many_members_come_newest_first(database: Database) -> None:
    async with database.begin() as tx:
        who: list[UUID] = [(await member(tx)).id for _ in range(2)]
        kept: dict[UUID, list[UUID]] = {key: [] for key in who}
        for _ in range(3):
            batch = await make.batch(tx)
            for key in who:
                kept[key].append((await make.coupon(tx, member_id=key, batch_id=batch.id)).id)
    newest = {key: sorted(ids, reverse=True) for key, ids in kept.items()}
    first = [coupons.CouponPage(key, 1) for key in who]
    rest = coupons.CouponPage(who[0], 5, after=newest[who[0]][0], state=CouponState.ACTIVE)
    none = coupons.CouponPage(who[1], 5, state=CouponState.EXPIRED)
    async with database.read() as read:
        pages = await coupons.pages(read, [*first, rest, none])
    for page in first:
        one_more_than_asked = newest[page.member_id][:2]
        assert [row.id for row, _ in pages[page]] == one_more_than_asked
    assert [row.id for row, _ in pages[rest]] == newest[who[0]][1:]
    assert pages[none] == []
