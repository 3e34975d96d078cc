"""Two accounts of one person: their coupons come together, and what one may have still holds."""

from uuid import UUID

import pytest
from sqlalchemy import select

from app import coupons
from app.coupons import CouponState
from app.kernel.db import Database, Tx
from tests.conftest import TestClock
from tests.make import coupons as make
from tests.make.members import member

BASKET = coupons.Basket([coupons.Line("apple", "fruit", 3, 333)])


async def of(database: Database, member_id: UUID) -> dict[UUID, CouponState]:
    async with database.read() as read:
        rows = await read.session.scalars(
            select(coupons.Coupon).where(coupons.Coupon.member_id == member_id)
        )
        return {row.id: row.state for row in rows}


async def batch_now(database: Database, batch_id: UUID) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [batch_id]))[batch_id]


async def two(tx: Tx) -> tuple[UUID, UUID]:
    return (await member(tx)).id, (await member(tx)).id


async def test_all_coupons_move_with_their_uses(database: Database) -> None:
    async with database.begin() as tx:
        old, kept = await two(tx)
        used = await make.coupon(tx, member_id=old)
        unused = await make.coupon(tx, member_id=old)
        own = await make.coupon(tx, member_id=kept)
        await coupons.redeem(tx, coupon_id=used.id, member_id=old, order_ref="A-1", basket=BASKET)
    for _ in range(2):
        async with database.begin() as tx:
            await coupons.merge(tx, old, kept)
        assert await of(database, old) == {}
        assert await of(database, kept) == {
            used.id: CouponState.REDEEMED,
            unused.id: CouponState.ACTIVE,
            own.id: CouponState.ACTIVE,
        }
    async with database.read() as read:
        uses = await coupons.redemptions_by_member_and_id(read, [(kept, used.id)])
    assert uses[(kept, used.id)].order_ref == "A-1"


@pytest.mark.parametrize("limit", [{"per_member": 1}, {"per_member": 5, "per_identity": 1}])
async def test_of_two_the_younger_stays_where_one_is_allowed(
    database: Database, clock: TestClock, limit: dict[str, int]
) -> None:
    async with database.begin() as tx:
        old, kept = await two(tx)
        template = await make.template(tx, **limit)
        batch = await make.batch(tx, template_id=template.id)
        first = await make.coupon(tx, member_id=kept, batch_id=batch.id)
    clock.advance(hours=1)
    async with database.begin() as tx:
        second = await make.coupon(tx, member_id=old, batch_id=batch.id)
        await coupons.merge(tx, old, kept)
    assert await of(database, kept) == {
        first.id: CouponState.REVOKED,
        second.id: CouponState.ACTIVE,
    }
    assert (await batch_now(database, batch.id)).reserved_fen == 500


async def test_a_used_one_uses_the_limit_up(database: Database) -> None:
    async with database.begin() as tx:
        old, kept = await two(tx)
        template = await make.template(tx)
        batch = await make.batch(tx, template_id=template.id)
        used = await make.coupon(tx, member_id=old, batch_id=batch.id)
        spare = await make.coupon(tx, member_id=kept, batch_id=batch.id)
        await coupons.redeem(tx, coupon_id=used.id, member_id=old, order_ref="A-1", basket=BASKET)
        await coupons.merge(tx, old, kept)
    assert await of(database, kept) == {
        used.id: CouponState.REDEEMED,
        spare.id: CouponState.REVOKED,
    }
    now = await batch_now(database, batch.id)
    assert (now.reserved_fen, now.spent_fen) == (0, 500)
