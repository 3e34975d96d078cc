"""Goods that go back take their discount with them; coupons come back if their template says so."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from sqlalchemy import select

from app import coupons, orders
from app.coupons import (
    Apart,
    Basket,
    CouponState,
    Kind,
    Line,
    Offer,
    Return,
    ReturnOutcome,
    ReturnPolicy,
    Terms,
    Use,
    explain,
    price,
    settle,
)
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from tests.conftest import TestClock
from tests.coupons.test_pricing import BASKETS, offers
from tests.make import coupons as make
from tests.make import orders as make_orders
from tests.make.members import member
from workers.coupons import return_coupons
from workers.jobs import Work

CART = Basket([Line("apple", "fruit", 2, 3_000), Line("milk", "milk", 1, 4_000)], 600)


async def used(database: Database, order_ref: str = "A-1", **template: Any) -> coupons.Coupon:
    known: dict[str, Any] = {"return_policy": ReturnPolicy.ON_FULL_REFUND, "value": 1_000}
    async with database.begin() as tx:
        made = await make.template(tx, **(known | template))
        batch = await make.batch(tx, template_id=made.id)
        coupon = await make.coupon(tx, member_id=(await member(tx)).id, batch_id=batch.id)
        await redeem(tx, coupon, order_ref)
        return coupon


async def redeem(tx: Any, coupon: coupons.Coupon, order_ref: str = "A-1") -> coupons.Redemption:
    return await coupons.redeem(
        tx, coupon_id=coupon.id, member_id=coupon.member_id, order_ref=order_ref, basket=CART
    )


async def ordered(
    database: Database, member_id: UUID, returned: dict[str, int], **more: Any
) -> UUID:
    """The order of the cart, with some of it returned."""
    async with database.begin() as tx:
        order = await make_orders.order(
            tx, member_id=member_id, order_no="A-1", total_fen=9_000, sku=None, **more
        )
        for number, line in enumerate(CART.lines, 1):
            row = await make_orders.line(
                tx, order=order, line_no=number, sku=line.sku, quantity=line.quantity
            )
            row.refunded_quantity = returned.get(line.sku, 0)
        return order.id


async def follow(database: Database, member_id: UUID, order_id: UUID, times: int = 2) -> None:
    work = Work(database, Settings(_env_file=None, env="test"))
    for _ in range(times):
        await return_coupons.body(work, member_id=str(member_id), order_id=str(order_id))


async def state_of(database: Database, coupon: coupons.Coupon) -> CouponState:
    key = (coupon.member_id, coupon.id)
    async with database.read() as read:
        return (await coupons.by_member_and_id(read, [key]))[key].state


async def batch_of(database: Database, coupon: coupons.Coupon) -> tuple[int, int, int]:
    async with database.read() as read:
        batch = (await coupons.batches_by_id(read, [coupon.batch_id]))[coupon.batch_id]
    return batch.redeemed, batch.reserved_fen, batch.spent_fen


async def use_of(database: Database, coupon: coupons.Coupon) -> coupons.Redemption:
    key = (coupon.member_id, coupon.id)
    async with database.read() as read:
        return (await coupons.redemptions_by_member_and_id(read, [key]))[key]


async def outcomes(database: Database, coupon: coupons.Coupon) -> list[ReturnOutcome]:
    async with database.read() as read:
        return list(
            await read.session.scalars(select(Return.outcome).where(Return.coupon_id == coupon.id))
        )


@pytest.mark.parametrize("how", [{"refunded_fen": 9_000}, {"cancelled": True}])
async def test_after_a_full_refund_a_coupon_comes_back_and_can_be_used_again(
    database: Database, how: dict[str, Any]
) -> None:
    coupon = await used(database)
    order = await ordered(database, coupon.member_id, {}, **how)
    await follow(database, coupon.member_id, order)
    assert await state_of(database, coupon) is CouponState.ACTIVE
    assert await batch_of(database, coupon) == (0, 1_000, 0)
    assert await outcomes(database, coupon) == [ReturnOutcome.CAME_BACK]
    async with database.begin() as tx:
        await redeem(tx, coupon, "A-2")
    assert await batch_of(database, coupon) == (1, 0, 1_000)


async def test_one_whose_template_says_never_does_not(database: Database) -> None:
    coupon = await used(database, return_policy=ReturnPolicy.NEVER)
    order = await ordered(database, coupon.member_id, {}, refunded_fen=9_000)
    await follow(database, coupon.member_id, order)
    assert await state_of(database, coupon) is CouponState.RETURNED
    assert await batch_of(database, coupon) == (0, 0, 0)
    assert await outcomes(database, coupon) == [ReturnOutcome.POLICY]
    async with database.begin() as tx:
        with pytest.raises(coupons.CouponNotUsable):
            await redeem(tx, coupon, "A-2")


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (timedelta(days=3), CouponState.ACTIVE),
        (timedelta(days=3) - timedelta(microseconds=1), CouponState.RETURNED),
    ],
)
async def test_it_needs_three_days_to_the_instant(
    database: Database, clock: TestClock, left: timedelta, state: CouponState
) -> None:
    coupon = await used(database)
    order = await ordered(database, coupon.member_id, {}, refunded_fen=9_000)
    clock.now = coupon.expires_at - left
    await follow(database, coupon.member_id, order)
    assert await state_of(database, coupon) is state


async def test_the_budget_that_others_took_meanwhile_is_not_promised_twice(
    database: Database,
) -> None:
    async with database.begin() as tx:
        made = await make.template(
            tx,
            kind=Kind.PERCENT,
            value=10,
            max_discount_fen=3_000,
            return_policy=ReturnPolicy.ON_FULL_REFUND,
        )
        batch = await make.batch(tx, template_id=made.id, quantity=5, budget_fen=4_000)
        coupon = await make.coupon(tx, member_id=(await member(tx)).id, batch_id=batch.id)
        assert (await redeem(tx, coupon)).discount_fen == 1_000
        await make.coupon(tx, member_id=(await member(tx)).id, batch_id=batch.id)
    order = await ordered(database, coupon.member_id, {}, refunded_fen=9_000)
    await follow(database, coupon.member_id, order)
    assert await outcomes(database, coupon) == [ReturnOutcome.NO_BUDGET]
    assert await batch_of(database, coupon) == (0, 3_000, 0)


async def test_a_revoked_batch_s_coupons_stay_away(database: Database) -> None:
    coupon = await used(database)
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=coupon.batch_id, to=coupons.BatchState.REVOKED)
    order = await ordered(database, coupon.member_id, {}, refunded_fen=9_000)
    await follow(database, coupon.member_id, order)
    assert await outcomes(database, coupon) == [ReturnOutcome.BATCH_REVOKED]


async def test_a_cancelled_order_lets_go_of_what_is_held_for_it(database: Database) -> None:
    async with database.begin() as tx:
        coupon = await make.coupon(tx, member_id=(await member(tx)).id)
        await coupons.reserve(
            tx, coupon_id=coupon.id, member_id=coupon.member_id, order_ref="A-1", basket=CART
        )
    order = await ordered(database, coupon.member_id, {}, cancelled=True, paid=False)
    await follow(database, coupon.member_id, order)
    assert await state_of(database, coupon) is CouponState.ACTIVE


async def test_a_discount_is_lost_with_its_threshold_and_the_amount_explained(
    database: Database,
) -> None:
    coupon = await used(database, threshold_fen=7_000)
    order = await ordered(database, coupon.member_id, {"milk": 1}, refunded_fen=3_000)
    await follow(database, coupon.member_id, order)
    use = await use_of(database, coupon)
    assert use.lost_fen == 1_000
    assert use.settlement is not None
    told = {name: use.settlement[name] for name in ("goods_fen", "lost_fen", "give_back_fen")}
    assert told == {"goods_fen": 4_000, "lost_fen": 1_000, "give_back_fen": 3_000}
    assert await state_of(database, coupon) is CouponState.REDEEMED
    assert await batch_of(database, coupon) == (1, 0, 0)


async def test_while_the_rest_reaches_it_the_discount_stays_and_then_all_goes(
    database: Database,
) -> None:
    coupon = await used(database, threshold_fen=7_000)
    order = await ordered(database, coupon.member_id, {"apple": 1}, refunded_fen=3_000)
    await follow(database, coupon.member_id, order)
    assert (await use_of(database, coupon)).lost_fen == 0
    async with database.begin() as tx:
        row = await tx.session.get_one(orders.Order, (coupon.member_id, order))
        row.refunded_fen = 9_000
    await follow(database, coupon.member_id, order)
    assert await state_of(database, coupon) is CouponState.ACTIVE
    assert await batch_of(database, coupon) == (0, 1_000, 0)


async def test_a_gift_s_own_line_was_never_in_the_basket_of_the_coupon(database: Database) -> None:
    async with database.begin() as tx:
        made = await make.template(tx, threshold_fen=1_000, value=300)
        batch = await make.batch(tx, template_id=made.id)
        coupon = await make.coupon(tx, member_id=(await member(tx)).id, batch_id=batch.id)
        eggs = Basket([Line("EGGS", "fresh", 1, 1_290)], apart=(Apart("hold", "EGGS", 1_290, 100),))
        await coupons.redeem(
            tx, coupon_id=coupon.id, member_id=coupon.member_id, order_ref="A-1", basket=eggs
        )
        order = await make_orders.order(
            tx,
            member_id=coupon.member_id,
            order_no="A-1",
            total_fen=1_090,
            sku=None,
            refunded_fen=1,
        )
        await make_orders.line(tx, order=order, sku="EGGS", paid_fen=990)
        gift = await make_orders.line(tx, order=order, line_no=2, sku="EGGS", paid_fen=100)
        gift.refunded_quantity = 1
    await follow(database, coupon.member_id, order.id)
    assert (await use_of(database, coupon)).lost_fen == 0, "the eggs at their price are still there"
    async with database.begin() as tx:
        dear = await tx.session.get_one(orders.OrderLine, (coupon.member_id, order.id, 1))
        dear.refunded_quantity = 1
    await follow(database, coupon.member_id, order.id)
    assert (await use_of(database, coupon)).lost_fen == 300


def test_what_earlier_returns_have_lost_stays_lost() -> None:
    things = [("rice", 2, 10_000), ("salt", 1, 100), ("oil", 1, 20_000)]
    basket = Basket([Line(sku, "", units, fen) for sku, units, fen in things])
    staples = frozenset({"rice", "salt"})
    first = Terms(Kind.FIXED, 9_000, 20_100, 9_000, staples, frozenset())
    second = Terms(Kind.FIXED, 1_000, 12_000, 1_000, frozenset(), frozenset())
    end = datetime(2026, 4, 1, tzinfo=UTC)
    told = explain(
        price(basket, [Offer(UUID(int=n), t, end) for n, t in ((1, first), (2, second))])
    )
    uses = [Use(str(UUID(int=1)), 9_000, told), Use(str(UUID(int=2)), 1_000, told)]
    # Without the oil the rest is under the second's threshold, for the first takes so much off.
    assert settle(uses, {"oil": 1}).lost == (0, 1_000)
    uses[1] = replace(uses[1], lost_fen=1_000)
    # Without the salt the first is lost, and the rest would reach the second's threshold again.
    later = settle(uses, {"oil": 1, "salt": 1})
    assert later.lost == (9_000, 1_000)
    assert later.give_back_fen == 20_100 - 10_000


async def test_another_till_s_order_of_the_same_number_gives_nothing_back(
    database: Database, clock: TestClock
) -> None:
    coupon = await used(database)
    mine = await ordered(database, coupon.member_id, {"apple": 1}, refunded_fen=3_000)
    async with database.begin() as tx:
        other = await make_orders.order(
            tx, member_id=coupon.member_id, order_no="A-1", source="till", cancelled=True
        )
    await follow(database, coupon.member_id, other.id)
    await follow(database, coupon.member_id, mine)
    assert await state_of(database, coupon) is CouponState.REDEEMED
    assert (await use_of(database, coupon)).lost_fen == 0
    async with database.begin() as tx:
        row = await tx.session.get_one(orders.Order, (coupon.member_id, mine))
        row.cancelled_at = clock.now
    await follow(database, coupon.member_id, mine)
    assert await state_of(database, coupon) is CouponState.ACTIVE


@pytest.mark.parametrize("how", [{"refunded_fen": 9_000}, {"cancelled": True}])
async def test_an_order_that_came_to_nothing_takes_no_coupon(
    database: Database, how: dict[str, Any]
) -> None:
    coupon = await used(database)
    order = await ordered(database, coupon.member_id, {}, **how)
    await follow(database, coupon.member_id, order)
    asked: dict[str, Any] = {"coupon_id": coupon.id, "member_id": coupon.member_id}
    asked |= {"order_ref": " A-1", "basket": CART}
    for command in (coupons.redeem, coupons.reserve):
        async with database.begin() as tx:
            with pytest.raises(InvalidInput, match="called off"):
                await command(tx, **asked)
    assert await state_of(database, coupon) is CouponState.ACTIVE


async def test_money_without_goods_leaves_the_discount(database: Database) -> None:
    coupon = await used(database, threshold_fen=7_000)
    order = await ordered(database, coupon.member_id, {}, refunded_fen=8_000)
    await follow(database, coupon.member_id, order)
    assert (await use_of(database, coupon)).settlement is None


async def test_two_refunds_at_once_free_the_money_once(database: Database) -> None:
    coupon = await used(database)
    order = await ordered(database, coupon.member_id, {}, refunded_fen=9_000)
    await asyncio.gather(*(follow(database, coupon.member_id, order, times=1) for _ in range(10)))
    assert await batch_of(database, coupon) == (0, 1_000, 0)
    assert await outcomes(database, coupon) == [ReturnOutcome.CAME_BACK]


async def test_of_two_returns_of_one_instant_the_last_is_the_same_however_they_lie(
    database: Database,
) -> None:
    async with database.begin() as tx:
        coupon = await make.coupon(tx, member_id=(await member(tx)).id)
        for order_ref in ("B", "A"):
            tx.session.add(
                Return(
                    member_id=coupon.member_id,
                    coupon_id=coupon.id,
                    order_ref=order_ref,
                    discount_fen=1,
                    explanation={},
                    redeemed_at=tx.now,
                    outcome=ReturnOutcome.CAME_BACK,
                    at=tx.now,
                )
            )
            await tx.session.flush()
    key = (coupon.member_id, coupon.id)
    async with database.read() as read:
        assert (await coupons.last_returns(read, [key]))[key].order_ref == "B"


@settings(max_examples=200, deadline=None)
@given_by(basket=BASKETS, candidates=offers(4), back=st.lists(st.integers(0, 5), min_size=3))
def test_discounts_never_grow_and_nobody_pays_for_a_return(
    basket: Basket, candidates: list[coupons.Offer], back: list[int]
) -> None:
    found = price(basket, candidates)
    told = explain(found)
    uses = [
        Use(str(step.coupon_id), step.fen, told)
        for step in found.steps
        if step.coupon_id is not None
    ][:1]
    if not uses:
        return
    returned = dict(zip(("a", "b", "c"), back, strict=False))
    nothing = settle(uses, {})
    assert (nothing.lost, nothing.goods_fen, nothing.give_back_fen) == ((0,), 0, 0)
    settled = settle(uses, returned)
    assert 0 <= settled.lost[0] <= uses[0].discount_fen
    assert 0 <= settled.give_back_fen <= settled.goods_fen
    everything = settle(uses, Counter({"a": 99, "b": 99, "c": 99}))
    assert everything.goods_fen == found.subtotal_fen
    assert everything.lost == (uses[0].discount_fen,)
