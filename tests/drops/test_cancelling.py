"""Cancelling and closing drops: nobody loses a coupon without what is given for it, and once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import coupons, drops, points
from app.drops import Claims, ClaimsFate, DropState
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.members import Member, MemberStatus
from tests.conftest import TestClock
from tests.drops.claimants import all_of, drop_now, facts, gathered, given_in, members, open_drop
from tests.make import coupons as make_coupons
from tests.make import drops as make

REVOKE = ClaimsFate.REVOKE


async def claimed_by(claims: Claims, drop: drops.Drop, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    made = await all_of(gathered(claims, drop.id, one) for one in ids)
    assert all(isinstance(one, UUID) for one in made)
    return dict(zip(ids, made, strict=True))


async def cancel(database: Database, drop_id: UUID, **more: Any) -> drops.Drop:
    async with database.begin() as tx:
        return await drops.cancel_drop(tx, drop_id=drop_id, reason="打印机坏了", **more)


async def compensated(database: Database, drop_id: UUID, most: int = 500) -> int:
    """Step by step to the end; answers the steps that found claims."""
    steps = 0
    while True:
        async with database.begin() as tx:
            if not await drops.compensate(tx, drop_id=drop_id, most=most):
                return steps
        steps += 1


async def states(database: Database, drop_id: UUID) -> dict[UUID, coupons.CouponState]:
    """Coupon -> state, of those that the drop gave."""
    async with database.read() as read:
        rows = await read.session.scalars(
            select(coupons.Coupon).where(
                coupons.Coupon.source_id == drop_id, coupons.Coupon.source == coupons.Source.DROP
            )
        )
        return {row.id: row.state for row in rows}


async def balances(database: Database, ids: Sequence[UUID]) -> list[int]:
    async with database.read() as read:
        found = await points.balances_by_member(read, ids)
        return [found[one].points.balance for one in ids]


async def batch_now(database: Database, batch_id: UUID) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [batch_id]))[batch_id]


async def fate_of(database: Database, drop_id: UUID) -> drops.Cancellation:
    async with database.read() as read:
        return (await drops.cancellations_by_drop(read, [drop_id]))[drop_id]


async def test_before_anyone_has_claimed_nothing_is_owed(database: Database) -> None:
    async with database.begin() as tx:
        drop = await make.drop(tx, stock=5)
    await cancel(database, drop.id, fate=REVOKE, points_each=10)
    assert (await drop_now(database, drop.id)).state is DropState.CANCELLED
    row = await fate_of(database, drop.id)
    assert row.done_at == row.at
    assert await compensated(database, drop.id) == 0
    now = await batch_now(database, drop.batch_id)
    assert (now.granted, now.set_aside, now.reserved_fen) == (0, 0, 0)


async def test_kept_coupons_stay_as_they_are(database: Database, claims: Claims) -> None:
    drop = await open_drop(database, stock=5)
    ids = await members(database, 3)
    given = await claimed_by(claims, drop, ids)
    await cancel(database, drop.id)
    assert await compensated(database, drop.id) == 0
    assert await given_in(database, drop.id) == given
    assert set((await states(database, drop.id)).values()) == {coupons.CouponState.ACTIVE}
    told = await facts(database, drops.drop_topic(drop.id))
    assert (told[-1].kind, told[-1].payload["state"]) == ("drop.cancelled", "CANCELLED")


async def test_revoked_coupons_are_paid_for_in_points_once_however_often_it_runs(
    database: Database, claims: Claims
) -> None:
    drop = await open_drop(database, stock=25)
    ids = await members(database, 25)
    given = await claimed_by(claims, drop, ids)
    assert (await drop_now(database, drop.id)).state is DropState.SOLD_OUT
    await cancel(database, drop.id, fate=REVOKE, points_each=30)
    async with database.read() as read:
        assert await drops.uncompensated(read) == [drop.id]
    # Workers at once, each in small steps: a killed one's step is another's.
    steps = await asyncio.gather(*(compensated(database, drop.id, most=4) for _ in range(6)))
    assert sum(steps) == 7
    assert await balances(database, ids) == [30] * 25
    assert set((await states(database, drop.id)).values()) == {coupons.CouponState.REVOKED}
    row = await fate_of(database, drop.id)
    assert (row.revoked, row.done_at is None) == (25, False)
    for one in ids:
        told = await facts(database, f"member:{one}")
        (fact,) = [fact.payload for fact in told if fact.kind == "drop.compensated"]
        assert (fact["coupon_id"], fact["points"]) == (str(given[one]), 30)
        assert fact["reason"] == "打印机坏了"
    now = await batch_now(database, drop.batch_id)
    assert (now.set_aside, now.reserved_fen) == (0, 0)


async def test_a_step_that_fails_in_the_midst_is_done_again_from_where_it_began(
    database: Database, claims: Claims
) -> None:
    drop = await open_drop(database, stock=10)
    ids = await members(database, 10)
    await claimed_by(claims, drop, ids)
    await cancel(database, drop.id, fate=REVOKE, points_each=30)
    async with database.begin() as tx:
        assert await drops.compensate(tx, drop_id=drop.id, most=4) == 4

    async def killed() -> None:
        async with database.begin() as tx:
            await drops.compensate(tx, drop_id=drop.id, most=4)
            raise ConnectionError("killed before the commit")

    with pytest.raises(ConnectionError):
        await killed()
    assert sorted(await balances(database, ids)) == [0] * 6 + [30] * 4
    assert await compensated(database, drop.id, most=4) == 2
    assert await balances(database, ids) == [30] * 10


async def test_another_coupon_is_given_for_each_that_is_taken_back(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    drop = await open_drop(database, stock=10)
    ids = await members(database, 6)
    given = await claimed_by(claims, drop, ids)
    async with database.begin() as tx:
        other = await make_coupons.batch(tx, quantity=6)
        used = await tx.session.get_one(coupons.Coupon, (ids[0], given[ids[0]]))
        used.state = coupons.CouponState.REDEEMED
        frozen = await tx.session.get_one(Member, ids[1])
        frozen.status = MemberStatus.FROZEN
        small = await make_coupons.batch(tx, quantity=5)
    with pytest.raises(coupons.BatchTooSmall):
        await cancel(database, drop.id, fate=REVOKE, batch_id=small.id)
    assert (await drop_now(database, drop.id)).state is DropState.OPEN, "all of it or nothing"
    await cancel(database, drop.id, fate=REVOKE, batch_id=other.id, points_each=5)
    assert (await batch_now(database, other.id)).set_aside == 6
    await compensated(database, drop.id, most=4)
    after = await states(database, drop.id)
    kept = {given[ids[0]]: coupons.CouponState.REDEEMED, given[ids[1]]: coupons.CouponState.ACTIVE}
    assert {key: state for key, state in after.items() if key in kept} == kept
    assert [state for key, state in after.items() if key not in kept] == [
        coupons.CouponState.REVOKED
    ] * 4
    assert await balances(database, ids) == [0, 0, 5, 5, 5, 5]
    now = await batch_now(database, other.id)
    assert (now.granted, now.set_aside, now.reserved_fen) == (4, 0, 2_000)
    async with database.read() as read:
        holders = await read.session.scalars(
            select(coupons.Coupon.member_id).where(coupons.Coupon.batch_id == other.id)
        )
        assert set(holders) == set(ids[2:])
    row = await fate_of(database, drop.id)
    assert (row.revoked, row.given, row.promised) == (4, 4, 6)


async def test_a_paused_batch_leaves_the_rest_for_later(database: Database, claims: Claims) -> None:
    drop = await open_drop(database, stock=5)
    ids = await members(database, 3)
    await claimed_by(claims, drop, ids)
    async with database.begin() as tx:
        other = await make_coupons.batch(tx, quantity=6)
    await cancel(database, drop.id, fate=REVOKE, batch_id=other.id)
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=other.id, to=coupons.BatchState.PAUSED)
    with pytest.raises(coupons.BatchNotActive):
        await compensated(database, drop.id)
    assert set((await states(database, drop.id)).values()) == {coupons.CouponState.ACTIVE}
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=other.id, to=coupons.BatchState.ACTIVE)
    assert await compensated(database, drop.id) == 1
    assert set((await states(database, drop.id)).values()) == {coupons.CouponState.REVOKED}


async def test_claims_that_race_a_cancellation_are_refused_or_made_good(
    database: Database, claims: Claims
) -> None:
    """Fifty at once, twice each with the same key, and staff in their midst."""
    drop = await open_drop(database, stock=50)
    ids = await members(database, 50)

    async def soon() -> None:
        await asyncio.sleep(0.01)
        await cancel(database, drop.id, fate=REVOKE, points_each=7)

    first = all_of(gathered(claims, drop.id, one) for one in ids[:25] for _ in range(2))
    second = all_of(gathered(claims, drop.id, one) for one in ids[25:] for _ in range(2))
    early, _, late = await asyncio.gather(first, soon(), second)
    made = [*early, *late][::2]
    await compensated(database, drop.id, most=10)
    told = [7 if isinstance(one, UUID) else 0 for one in made]
    assert {one for one in made if not isinstance(one, UUID)} <= {drops.NotOpen}
    assert await balances(database, ids) == told
    assert set((await states(database, drop.id)).values()) <= {coupons.CouponState.REVOKED}


async def test_staff_at_once_cancel_once(database: Database) -> None:
    drop = await open_drop(database)
    made = await asyncio.gather(
        *(cancel(database, drop.id) for _ in range(10)), return_exceptions=True
    )
    assert [type(one) for one in made].count(drops.DropNotCancellable) == 9
    async with database.read() as read:
        count = await read.session.scalar(select(func.count()).select_from(drops.Cancellation))
    assert count == 1


async def test_what_cannot_be_is_refused(database: Database) -> None:
    async with database.begin() as tx:
        drop = await make.open_drop(tx)
        template_id = (await coupons.batches_by_id(tx, [drop.batch_id]))[drop.batch_id].template_id
        alike = await make_coupons.batch(tx, template_id=template_id)
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"reason": " "}, InvalidInput),
        ({"fate": REVOKE}, InvalidInput),
        ({"points_each": 5}, InvalidInput),
        ({"fate": REVOKE, "points_each": 0}, InvalidInput),
        ({"fate": REVOKE, "batch_id": alike.id}, InvalidInput),
        ({"fate": REVOKE, "batch_id": uuid4()}, coupons.BatchNotFound),
        ({"drop_id": uuid4()}, drops.DropNotFound),
    ]
    for change, refusal in wrong:
        given: dict[str, Any] = {"drop_id": drop.id, "reason": "why"} | change
        async with database.begin() as tx:
            with pytest.raises(refusal):
                await drops.cancel_drop(tx, **given)
    assert (await drop_now(database, drop.id)).state is DropState.OPEN


async def test_closing_keeps_claims_and_happens_once(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    async with database.begin() as tx:
        drop = await make.drop(tx, stock=5)
        with pytest.raises(drops.DropNotOpen):
            await drops.close_drop(tx, drop_id=drop.id)
    clock.now = drop.opens_at
    one, two = await members(database, 2)
    await claimed_by(claims, drop, [one])
    clock.now += timedelta(seconds=1)
    async with database.begin() as tx:
        closed = await drops.close_drop(tx, drop_id=drop.id)
    assert (closed.state, closed.closes_at) == (DropState.CLOSED, clock.now)
    assert await gathered(claims, drop.id, two) is drops.NotOpen
    async with database.begin() as tx:
        with pytest.raises(drops.DropNotOpen):
            await drops.close_drop(tx, drop_id=drop.id)
        with pytest.raises(drops.DropNotCancellable):
            await drops.cancel_drop(tx, drop_id=drop.id, reason="too late")
    now = await batch_now(database, drop.batch_id)
    assert (now.granted, now.set_aside, now.reserved_fen) == (1, 0, 500)
