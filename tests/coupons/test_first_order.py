"""A first-order coupon (首单券) is for the first order alone, whatever races for being it."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from app import coupons
from app.coupons import CouponState
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.kernel.idempotency import once
from app.kernel.table import Json
from tests.conftest import TestClock
from tests.make import coupons as make
from tests.make.members import member
from tests.make.orders import order

BASKET = coupons.Basket([coupons.Line("apple", "fruit", 3, 333)])


async def holder(database: Database, count: int = 1) -> tuple[UUID, list[UUID]]:
    """A newcomer with first-order coupons of templates of their own."""
    async with database.begin() as tx:
        who = (await member(tx)).id
        ids: list[UUID] = []
        for _ in range(count):
            template = await make.template(tx, first_order=True)
            batch = await make.batch(tx, template_id=template.id)
            ids.append((await make.coupon(tx, member_id=who, batch_id=batch.id)).id)
    return who, ids


async def redeem(database: Database, who: UUID, coupon: UUID, order_ref: str = "A-1") -> None:
    async with database.begin() as tx:
        await coupons.redeem(
            tx, coupon_id=coupon, member_id=who, order_ref=order_ref, basket=BASKET
        )


async def reserve(database: Database, who: UUID, coupon: UUID, order_ref: str = "A-1") -> None:
    async with database.begin() as tx:
        await coupons.reserve(
            tx, coupon_id=coupon, member_id=who, order_ref=order_ref, basket=BASKET
        )


@pytest.mark.parametrize(
    ("facts", "is_first"),
    [
        ({}, False),
        ({"settled": False}, False),
        ({"refunded_fen": 400}, False),
        ({"paid": False}, True),
        ({"cancelled": True}, True),
        ({"refunded_fen": 1000}, True),
        ({"order_no": "A-1"}, True),
    ],
)
async def test_only_an_earlier_order_that_counts_is_in_the_way(
    database: Database, facts: dict[str, object], is_first: bool
) -> None:
    who, [coupon] = await holder(database)
    async with database.begin() as tx:
        await order(tx, member_id=who, **facts)  # pyright: ignore[reportArgumentType]
    for attempt in (reserve, redeem):
        if is_first:
            await attempt(database, who, coupon)
            continue
        with pytest.raises(coupons.NotFirstOrder):
            await attempt(database, who, coupon)
    async with database.read() as read:
        row = (await coupons.by_member_and_id(read, [(who, coupon)]))[who, coupon]
    assert row.state is (CouponState.REDEEMED if is_first else CouponState.ACTIVE)


async def test_of_two_orders_with_a_first_order_coupon_the_later_is_none(
    database: Database, clock: TestClock
) -> None:
    who, [one, two] = await holder(database, 2)
    await reserve(database, who, one, "A-1")
    for attempt in (reserve, redeem):
        with pytest.raises(coupons.NotFirstOrder):
            await attempt(database, who, two, "A-2")
    clock.advance(minutes=30)
    await redeem(database, who, two, "A-2")
    with pytest.raises(coupons.NotFirstOrder):
        await redeem(database, who, one, "A-1")


async def test_another_s_orders_and_ordinary_coupons_ask_for_nothing(database: Database) -> None:
    who, [coupon] = await holder(database)
    async with database.begin() as tx:
        await order(tx, member_id=(await member(tx)).id)
        plain = (await make.coupon(tx, member_id=who)).id
    await redeem(database, who, plain, "A-0")
    await redeem(database, who, coupon, "A-1")


async def test_fifty_orders_at_once_twice_each_take_one_first_order_coupon(
    database: Database,
) -> None:
    who, ids = await holder(database, 50)
    told = Counter[str]()

    async def attempt(number: int) -> None:
        async with database.begin() as tx:

            async def work() -> Json:
                made = await coupons.redeem(
                    tx,
                    coupon_id=ids[number],
                    member_id=who,
                    order_ref=f"A-{number}",
                    basket=BASKET,
                )
                return {"fen": made.discount_fen}

            await once(
                tx,
                owner_id=who,
                command="redeemCoupon",
                key=f"tap {number}",
                given={"coupon": str(ids[number])},
                work=work,
            )

    async def noted(number: int) -> None:
        try:
            await attempt(number)
        except Refusal as refusal:
            told[refusal.code] += 1
        else:
            told["used"] += 1

    await asyncio.gather(*(noted(number) for number in range(50) for _ in range(2)))
    assert told == {"used": 2, "NOT_FIRST_ORDER": 98}, "the winner's double has the same answer"
    async with database.read() as read:
        rows = await coupons.by_member_and_id(read, [(who, key) for key in ids])
    assert Counter(row.state for row in rows.values()) == {
        CouponState.REDEEMED: 1,
        CouponState.ACTIVE: 49,
    }


async def test_a_quote_leaves_it_out_and_says_why(database: Database) -> None:
    who, [coupon] = await holder(database)
    async with database.read() as read:
        found = await coupons.quote(read, member_id=who, basket=BASKET)
    assert [step.coupon_id for step in found.steps] == [coupon]
    async with database.begin() as tx:
        await order(tx, member_id=who)
    async with database.read() as read:
        found = await coupons.quote(read, member_id=who, basket=BASKET)
    assert not found.steps
    assert [(offer.coupon_id, why.code) for offer, why in found.left_out] == [
        (coupon, "NOT_FIRST_ORDER")
    ]


async def test_the_ready_offer_for_newcomers_is_one(database: Database) -> None:
    async with database.begin() as tx:
        await coupons.ensure_offers(tx)
        rows = await coupons.newest_templates(tx, after=None, first=50)
    assert [row.ready_key for row in rows if row.first_order] == ["newcomer.first-order"]
