"""A coupon is held for one order at a time, and never longer than it was asked for."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import coupons
from app.coupons import BatchState, CouponState
from app.kernel.db import Database
from app.kernel.errors import InvalidInput, Refusal
from app.kernel.idempotency import once
from app.members import MemberNotActive, MemberStatus
from tests.conftest import TestClock
from tests.make import coupons as make
from tests.make.members import member

BASKET = coupons.Basket([coupons.Line("apple", "fruit", 3, 333)], shipping_fen=600)


async def given(database: Database, **template: object) -> coupons.Coupon:
    async with database.begin() as tx:
        made = await make.template(tx, **template)
        batch = await make.batch(tx, template_id=made.id)
        return await make.coupon(tx, member_id=(await member(tx)).id, batch_id=batch.id)


async def reserve(
    database: Database, coupon: coupons.Coupon, order_ref: str = "A-1", minutes: int = 30
) -> coupons.Step:
    async with database.begin() as tx:
        _, step = await coupons.reserve(
            tx,
            coupon_id=coupon.id,
            member_id=coupon.member_id,
            order_ref=order_ref,
            basket=BASKET,
            hold=timedelta(minutes=minutes),
        )
        return step


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


async def release(
    database: Database, coupon: coupons.Coupon, order_ref: str = "A-1"
) -> coupons.Coupon:
    async with database.begin() as tx:
        return await coupons.release(
            tx, coupon_id=coupon.id, member_id=coupon.member_id, order_ref=order_ref
        )


async def state_of(database: Database, coupon: coupons.Coupon) -> CouponState:
    key = (coupon.member_id, coupon.id)
    async with database.read() as read:
        return (await coupons.by_member_and_id(read, [key]))[key].state


async def batch_of(database: Database, coupon: coupons.Coupon) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [coupon.batch_id]))[coupon.batch_id]


async def test_a_held_coupon_is_for_its_order_only(database: Database) -> None:
    coupon = await given(database)
    assert (await reserve(database, coupon)).fen == 500
    assert await state_of(database, coupon) is CouponState.RESERVED
    for attempt in (reserve, redeem):
        with pytest.raises(coupons.CouponNotUsable) as refused:
            await attempt(database, coupon, "A-2")
        assert refused.value.facts == {"state": CouponState.RESERVED}
    with pytest.raises(coupons.CouponNotReserved):
        await release(database, coupon, "A-2")
    assert (await redeem(database, coupon)).discount_fen == 500
    with pytest.raises(coupons.CouponNotReserved):
        await release(database, coupon)


async def test_a_released_coupon_is_free_at_once(database: Database) -> None:
    coupon = await given(database)
    await reserve(database, coupon)
    await release(database, coupon)
    assert await state_of(database, coupon) is CouponState.ACTIVE
    assert (await redeem(database, coupon, "A-2")).discount_fen == 500


async def test_a_reservation_ends_at_its_instant_whatever_the_jobs_do(
    database: Database, clock: TestClock
) -> None:
    coupon = await given(database)
    await reserve(database, coupon, minutes=30)
    clock.advance(minutes=30, microseconds=-1)
    assert await state_of(database, coupon) is CouponState.RESERVED
    async with database.begin() as tx:
        assert await coupons.free_due(tx) == 0
    clock.advance(microseconds=1)
    assert await state_of(database, coupon) is CouponState.ACTIVE, "readers see it at once"
    page = coupons.CouponPage(coupon.member_id, 5, state=CouponState.ACTIVE)
    async with database.read() as read:
        found = await coupons.pages(read, [page])
    assert [row.id for row, _ in found[page]] == [coupon.id]
    assert (await redeem(database, coupon, "A-2")).order_ref == "A-2"


async def test_the_job_frees_what_was_held_too_long_once(
    database: Database, clock: TestClock
) -> None:
    coupon = await given(database)
    await reserve(database, coupon)
    clock.advance(hours=1)
    async with database.begin() as tx:
        assert await coupons.free_due(tx) == 1
        assert await coupons.free_due(tx) == 0
    assert await state_of(database, coupon) is CouponState.ACTIVE
    with pytest.raises(coupons.CouponNotReserved):
        await release(database, coupon)


async def test_a_reservation_never_outlives_the_coupon(
    database: Database, clock: TestClock
) -> None:
    coupon = await given(database)
    clock.now = coupon.expires_at - timedelta(minutes=1)
    await reserve(database, coupon, minutes=60)
    clock.now = coupon.expires_at
    assert await state_of(database, coupon) is CouponState.EXPIRED
    with pytest.raises(coupons.CouponNotUsable):
        await redeem(database, coupon)
    async with database.begin() as tx:
        assert await coupons.free_due(tx) == 1
        assert await coupons.expire_due(tx) == 1
    assert (await batch_of(database, coupon)).reserved_fen == 0


async def test_reserving_again_for_the_same_order_holds_it_anew(
    database: Database, clock: TestClock
) -> None:
    coupon = await given(database)
    await reserve(database, coupon)
    clock.advance(minutes=20)
    await reserve(database, coupon)
    clock.advance(minutes=20)
    assert await state_of(database, coupon) is CouponState.RESERVED


@pytest.mark.parametrize("minutes", [0, 24 * 60 + 1])
async def test_a_hold_has_bounds(database: Database, minutes: int) -> None:
    coupon = await given(database)
    with pytest.raises(InvalidInput):
        await reserve(database, coupon, minutes=minutes)


async def test_what_is_refused_holds_nothing(database: Database) -> None:
    coupon = await given(database, threshold_fen=5_000)
    with pytest.raises(coupons.BelowThreshold):
        await reserve(database, coupon)
    assert await state_of(database, coupon) is CouponState.ACTIVE
    fine = await given(database)
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=fine.batch_id, to=BatchState.REVOKED)
    with pytest.raises(coupons.CouponNotUsable):
        await reserve(database, fine)


async def test_revoking_a_batch_takes_held_coupons_too(database: Database) -> None:
    coupon = await given(database)
    await reserve(database, coupon)
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=coupon.batch_id, to=BatchState.REVOKED)
    with pytest.raises(coupons.CouponNotUsable):
        await redeem(database, coupon)
    async with database.begin() as tx:
        assert await coupons.expire_due(tx) == 1
    assert await state_of(database, coupon) is CouponState.REVOKED
    assert (await batch_of(database, coupon)).reserved_fen == 0


@pytest.mark.parametrize("template", [{"exclusive": True}, {"stacking_group": "shop"}])
async def test_held_coupons_keep_out_those_they_do_not_suffer(
    database: Database, template: dict[str, object]
) -> None:
    first = await given(database, **template)
    async with database.begin() as tx:
        other = await make.template(tx, **template)
        batch = await make.batch(tx, template_id=other.id)
        second = await make.coupon(tx, member_id=first.member_id, batch_id=batch.id)
    await reserve(database, first)
    for attempt in (reserve, redeem):
        with pytest.raises(coupons.CannotCombine):
            await attempt(database, second)
    await release(database, first)
    assert (await redeem(database, second)).discount_fen == 500


async def test_coupons_of_one_order_never_take_off_more_than_it_costs(database: Database) -> None:
    async with database.begin() as tx:
        who = (await member(tx)).id
        made: list[coupons.Coupon] = []
        for _ in range(3):
            base = await make.template(tx)
            batch = await make.batch(tx, template_id=base.id)
            made.append(await make.coupon(tx, member_id=who, batch_id=batch.id))
    took = [(await redeem(database, coupon)).discount_fen for coupon in made[:2]]
    assert took == [500, 499]
    with pytest.raises(coupons.NothingInScope):
        await redeem(database, made[2])


async def test_a_frozen_member_holds_nothing(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make.batch(tx)
        person = await member(tx)
        coupon = await make.coupon(tx, member_id=person.id, batch_id=batch.id)
        person.status = MemberStatus.FROZEN
    with pytest.raises(MemberNotActive):
        await reserve(database, coupon)


async def race(
    database: Database,
    coupon: coupons.Coupon,
    action: Callable[..., Awaitable[object]],
    **given: Any,
) -> Counter[str]:
    """Fifty at once do something with one coupon, each twice under the same key."""

    async def attempt(number: int) -> str:
        try:
            async with database.begin() as tx:

                async def work() -> dict[str, object]:
                    await action(
                        tx,
                        coupon_id=coupon.id,
                        member_id=coupon.member_id,
                        **({"order_ref": f"A-{number}"} | given),
                    )
                    return {"order": number}

                answer = await once(
                    tx,
                    owner_id=coupon.member_id,
                    command="race",
                    key=str(number),
                    given={"number": number},
                    work=work,
                )
            return f"won {answer['order']}"
        except Refusal as refusal:
            return type(refusal).__name__

    return Counter(
        await asyncio.gather(*(attempt(number) for number in range(50) for _ in range(2)))
    )


def one_won(told: Counter[str], refusal: str) -> bool:
    """Both with the winner's key have its answer, and all others the refusal."""
    [winner] = [name for name in told if name.startswith("won")]
    return told == {winner: 2, refusal: 98}


async def test_fifty_orders_at_once_hold_it_once_and_each_key_once(database: Database) -> None:
    coupon = await given(database)
    told = await race(database, coupon, coupons.reserve, basket=BASKET)
    assert one_won(told, "CouponNotUsable")
    batch = await batch_of(database, coupon)
    assert (batch.redeemed, batch.reserved_fen, batch.spent_fen) == (0, 500, 0)


@pytest.mark.parametrize("held", [False, True])
async def test_fifty_at_once_redeem_it_once_and_each_key_once(
    database: Database, held: bool
) -> None:
    coupon = await given(database)
    if held:
        await reserve(database, coupon)
    one_order = {"order_ref": "A-1"} if held else {}
    told = await race(database, coupon, coupons.redeem, basket=BASKET, **one_order)
    assert one_won(told, "CouponNotUsable")
    batch = await batch_of(database, coupon)
    assert (batch.redeemed, batch.reserved_fen, batch.spent_fen) == (1, 0, 500)


async def test_fifty_at_once_let_it_go_once_and_each_key_once(database: Database) -> None:
    coupon = await given(database)
    await reserve(database, coupon)
    told = await race(database, coupon, coupons.release, order_ref="A-1")
    assert one_won(told, "CouponNotReserved")
    assert await state_of(database, coupon) is CouponState.ACTIVE


async def test_redeeming_and_releasing_at_once_ends_in_one_of_the_two(database: Database) -> None:
    for _ in range(5):
        coupon = await given(database)
        await reserve(database, coupon)
        told = await asyncio.gather(
            *(redeem(database, coupon) for _ in range(25)),
            *(release(database, coupon) for _ in range(25)),
            return_exceptions=True,
        )
        kinds = Counter(type(item).__name__ for item in told)
        assert kinds["Redemption"] == 1
        assert kinds["Coupon"] <= 1
        assert (
            kinds["Redemption"]
            + kinds["Coupon"]
            + kinds["CouponNotUsable"]
            + kinds["CouponNotReserved"]
            == 50
        )
        batch = await batch_of(database, coupon)
        assert (batch.redeemed, batch.reserved_fen, batch.spent_fen) == (1, 0, 500)


async def test_an_unknown_coupon_is_not_found(database: Database) -> None:
    async with database.begin() as tx:
        who: UUID = (await member(tx)).id
        with pytest.raises(coupons.CouponNotFound):
            await coupons.reserve(
                tx, coupon_id=uuid4(), member_id=who, order_ref="A-1", basket=BASKET
            )
        with pytest.raises(coupons.CouponNotFound):
            await coupons.release(tx, coupon_id=uuid4(), member_id=who, order_ref="A-1")
