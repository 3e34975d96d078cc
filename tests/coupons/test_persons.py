"""A limit by person holds under whatever account the person comes."""

import asyncio
from uuid import UUID

from sqlalchemy import delete

from app import coupons
from app.coupons import Source
from app.kernel.db import Database, Tx
from app.members import Identity, IdentityKind
from tests.make import coupons as make
from tests.make.members import member


async def known(tx: Tx, kind: IdentityKind, app: str, blind: str) -> UUID:
    """A member who is recognised so."""
    who = (await member(tx)).id
    await recognise(tx, who, kind, app, blind)
    return who


async def recognise(tx: Tx, who: UUID, kind: IdentityKind, app: str, blind: str) -> None:
    tx.session.add(
        Identity(kind=kind, app=app, blind=blind, sealed="x", member_id=who, linked_at=tx.now)
    )
    await tx.session.flush()


async def batches(database: Database, count: int = 1, **template: int) -> list[UUID]:
    async with database.begin() as tx:
        made = await make.template(tx, **{"per_member": 5, "per_identity": 1} | template)
        return [(await make.batch(tx, template_id=made.id)).id for _ in range(count)]


async def grant(database: Database, batch_id: UUID, *who: UUID) -> coupons.Grants:
    async with database.begin() as tx:
        return await coupons.grant(tx, batch_id=batch_id, member_ids=who, source=Source.STAFF)


async def test_one_phone_gets_one_though_the_account_is_new(database: Database) -> None:
    first, second = await batches(database, 2)
    async with database.begin() as tx:
        old = await known(tx, IdentityKind.PHONE, "", "p1")
    assert set((await grant(database, first, old)).granted) == {old}
    async with database.begin() as tx:
        await tx.session.execute(delete(Identity).where(Identity.member_id == old))
        new = await known(tx, IdentityKind.PHONE, "", "p1")
    for batch in (first, second):
        assert (await grant(database, batch, new)).at_limit == {new}


async def test_any_of_a_member_s_identities_counts(database: Database) -> None:
    [batch] = await batches(database)
    async with database.begin() as tx:
        one = await known(tx, IdentityKind.WECHAT_UNIONID, "", "u1")
    await grant(database, batch, one)
    async with database.begin() as tx:
        await tx.session.execute(delete(Identity).where(Identity.member_id == one))
        other = await known(tx, IdentityKind.PHONE, "", "p2")
        await recognise(tx, other, IdentityKind.WECHAT_UNIONID, "", "u1")
    assert (await grant(database, batch, other)).at_limit == {other}


async def test_linked_accounts_in_one_grant_are_one_person(database: Database) -> None:
    [batch] = await batches(database, per_identity=1)
    async with database.begin() as tx:
        one = await known(tx, IdentityKind.WECHAT_OPENID, "shop", "same")
        two = await known(tx, IdentityKind.WECHAT_OPENID, "group", "same")
        card = await known(tx, IdentityKind.STORE_CARD, "north", "7")
        namesake = await known(tx, IdentityKind.STORE_CARD, "south", "7")
        nobody = (await member(tx)).id
    grants = await grant(database, batch, one, two, card, namesake, nobody)
    assert set(grants.granted) == {one, card, namesake, nobody}
    assert grants.at_limit == {two}


async def test_more_are_given_where_more_are_allowed(database: Database) -> None:
    made = await batches(database, 3, per_identity=2)
    async with database.begin() as tx:
        one = await known(tx, IdentityKind.PHONE, "", "p3")
    given = [len((await grant(database, batch, one)).granted) for batch in made]
    assert given == [1, 1, 0]


async def test_grants_at_once_from_many_batches_keep_the_limit(database: Database) -> None:
    made = await batches(database, 10)
    async with database.begin() as tx:
        one = await known(tx, IdentityKind.WECHAT_OPENID, "shop", "same")
        two = await known(tx, IdentityKind.WECHAT_OPENID, "group", "same")
    grants = await asyncio.gather(
        *(grant(database, batch, who) for batch in made for who in (one, two))
    )
    assert sum(len(item.granted) for item in grants) == 1
