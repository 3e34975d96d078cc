"""One claim a person: by identity, whatever the account, and when two accounts become one."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, text

from app import coupons, drops
from app.drops import Claims, DropState
from app.kernel.db import Database
from app.members import Identity, IdentityKind
from tests.conftest import TestClock
from tests.drops.claimants import (
    all_of,
    drop_now,
    facts,
    gathered,
    given_in,
    identity,
    members,
    open_drop,
    plain,
)
from tests.make import coupons as make_coupons
from tests.make import drops as make


async def known_by(database: Database, member_id: UUID, blind: str) -> None:
    """From now on this identity is this member's, and nobody else's."""
    async with database.begin() as tx:
        await tx.session.execute(delete(Identity).where(Identity.blind == blind))
        tx.session.add(identity(tx, member_id, blind=blind))


async def batch_of(database: Database, drop: drops.Drop) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [drop.batch_id]))[drop.batch_id]


@pytest.mark.parametrize("way", ["group", "plain"])
async def test_a_phone_claims_once_whatever_the_account(
    database: Database, claims: Claims, way: str
) -> None:
    drop = await open_drop(database)
    first, second, third = await members(database, 3)

    async def claim(one: UUID, key: str = "tap") -> Any:
        if way == "group":
            return await gathered(claims, drop.id, one, key)
        return await plain(database, drop.id, one, key)

    await known_by(database, first, "phone")
    assert isinstance(await claim(first), UUID)
    await known_by(database, second, "phone")
    assert await claim(second) is drops.AlreadyClaimed
    await known_by(database, third, "other phone")
    assert isinstance(await claim(third), UUID)
    assert isinstance(await claim(first), UUID), "the key keeps its answer"
    assert await claim(first, "another") is drops.AlreadyClaimed


async def test_a_phone_that_goes_from_account_to_account_in_a_race_gets_one(
    database: Database,
    claims: Claims,
) -> None:
    drop = await open_drop(database, stock=50)
    ids = await members(database, 25)
    made: list[object] = []
    for start in range(0, 25, 5):
        group = ids[start : start + 5]
        for one in group:
            await known_by(database, one, "phone")
            made += await all_of(
                [gathered(claims, drop.id, one), plain(database, drop.id, one)] * 2
            )
    given = await given_in(database, drop.id)
    assert list(given) == ids[:1]
    assert set(made[4:]) == {drops.AlreadyClaimed}


async def test_the_database_itself_keeps_identities_apart(database: Database) -> None:
    drop = await open_drop(database)
    async with database.begin() as tx:
        row = {"drop_id": drop.id, "kind": IdentityKind.PHONE, "app": "", "blind": "phone"}
        tx.session.add(drops.ClaimedIdentity(**row))
    with pytest.raises(Exception, match="pk_drop_identity"):
        async with database.begin() as tx:
            tx.session.add(drops.ClaimedIdentity(**row))


async def test_identities_are_forgotten_when_the_drop_has_ended(database: Database) -> None:
    drop = await open_drop(database)
    ids = await members(database, 3)
    for one in ids:
        await known_by(database, one, f"phone {one}")
        assert isinstance(await plain(database, drop.id, one), UUID)
    async with database.begin() as tx:
        assert await drops.forget_identities(tx) == 0
        await drops.close_drop(tx, drop_id=drop.id)
        assert await drops.forget_identities(tx, most=2) == 2
        assert await drops.forget_identities(tx, most=2) == 1
        left = await tx.session.scalars(select(drops.ClaimedIdentity))
        assert left.all() == []


async def both_claimed(database: Database, clock: TestClock, **more: Any) -> tuple[Any, UUID, UUID]:
    """A drop from which two accounts have claimed, a minute apart."""
    async with database.begin() as tx:
        template = await make_coupons.template(tx, per_member=5)
        batch = await make_coupons.batch(tx, template_id=template.id, quantity=10)
        drop = await make.open_drop(tx, batch_id=batch.id, **more)
    one, two = await members(database, 2)
    assert isinstance(await plain(database, drop.id, one), UUID)
    clock.now += timedelta(minutes=1)
    assert isinstance(await plain(database, drop.id, two), UUID)
    return drop, one, two


@pytest.mark.parametrize("later_is_from", [False, True])
async def test_of_two_claims_the_later_stays_and_the_other_goes_back_to_the_stock(
    database: Database, clock: TestClock, later_is_from: bool
) -> None:
    drop, one, two = await both_claimed(database, clock, stock=5)
    given = await given_in(database, drop.id)
    from_id, into_id = (two, one) if later_is_from else (one, two)
    for _ in range(2):
        async with database.begin() as tx:
            await drops.merge(tx, from_id, into_id)
    async with database.read() as read:
        claims = (await read.session.scalars(select(drops.Claim))).all()
        rows = {row.id: row for row in await read.session.scalars(select(coupons.Coupon))}
    assert [(claim.member_id, claim.coupon_id) for claim in claims] == [(into_id, given[two])]
    assert rows[given[one]].state is coupons.CouponState.REVOKED
    assert rows[given[two]].state is not coupons.CouponState.REVOKED
    now = await drop_now(database, drop.id)
    assert (now.claimed, now.remaining) == (1, 4)
    told = await facts(database, drops.drop_topic(drop.id))
    assert (told[-1].kind, told[-1].payload["remaining"]) == ("drop.returned", 4)
    async with database.begin() as tx:
        await drops.close_drop(tx, drop_id=drop.id)
    batch = await batch_of(database, drop)
    assert (batch.granted, batch.set_aside, batch.reserved_fen) == (1, 0, 500)


async def test_of_a_drop_that_is_over_the_money_goes_back_to_the_batch(
    database: Database, clock: TestClock
) -> None:
    drop, one, two = await both_claimed(database, clock, stock=2)
    async with database.begin() as tx:
        assert await drops.close_due(tx) == [drop.id]
    async with database.begin() as tx:
        await drops.merge(tx, one, two)
    now = await drop_now(database, drop.id)
    assert (now.state, now.claimed) == (DropState.SOLD_OUT, 2)
    batch = await batch_of(database, drop)
    assert (batch.granted, batch.reserved_fen) == (2, 500)


async def test_claims_of_one_account_go_to_the_other_after_their_coupons_have(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    drop, one, two = await both_claimed(database, clock, stock=5)
    other = await open_drop(database, guests_only=True)
    async with database.begin() as tx:
        await drops.invite(tx, drop_id=other.id, member_ids=[one])
    assert isinstance(await plain(database, other.id, one, "other"), UUID)
    async with database.begin() as tx:
        await coupons.merge(tx, one, two)
        await drops.merge(tx, one, two)
    async with database.read() as read:
        found = await drops.claims_by_member_and_drop(read, [(two, drop.id), (two, other.id)])
        assert len(found) == 2
        assert await drops.guests_of(read, [(two, other.id), (one, other.id)]) == {
            (two, other.id): True
        }
        loose = await read.session.scalar(
            text(
                "SELECT count(*) FROM drop_claim AS c LEFT JOIN coupon AS o "
                "ON o.member_id = c.member_id AND o.id = c.coupon_id WHERE o.id IS NULL"
            )
        )
    assert loose == 0
    assert (await drop_now(database, drop.id)).claimed == 1
    assert await gathered(claims, drop.id, two, "again") is drops.AlreadyClaimed
