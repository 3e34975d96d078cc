"""Keys of personal data rotate while people sign in, and nobody is made twice."""

import asyncio
import os
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from app import coupons, leaving, members
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.members import Identity, IdentityKind, Member
from cli.doctor_database import look_at_keys
from cli.keys import rotate_all
from tests.make import coupons as make_coupons
from tests.make import members as make_members

OLD, NEW, OLD_INDEX, NEW_INDEX = (os.urandom(32) for _ in range(4))
BEFORE = Vault({"old": OLD}, OLD_INDEX, "oldix")
# First every server learns the new keys, then they write by them, then the old ones go.
KNOWS = Vault({"old": OLD, "new": NEW}, OLD_INDEX, "oldix", {"newix": NEW_INDEX})
WRITES = Vault({"new": NEW, "old": OLD}, NEW_INDEX, "newix", {"oldix": OLD_INDEX})
AFTER = Vault({"new": NEW}, NEW_INDEX, "newix")


def phone(number: int) -> str:
    return f"+86138{number:08d}"


async def sign_in(database: Database, vault: Vault, number: int) -> UUID:
    async with database.begin() as tx:
        found = await members.recognise(
            tx, vault=vault, kind=IdentityKind.PHONE, app="", value=phone(number), nickname="邻居"
        )
        return found.id


async def test_both_keys_rotate_while_people_sign_in(database: Database) -> None:
    async with database.begin() as tx:
        await make_members.community(tx)
    known = {number: await sign_in(database, BEFORE, number) for number in range(60)}
    # New people join meanwhile, by servers that write with either key first.
    vaults = [KNOWS, WRITES]

    async def visits(number: int) -> list[UUID]:
        return [await sign_in(database, vaults[turn % 2], number) for turn in range(6)]

    async def rotation() -> None:
        for _ in range(3):
            await rotate_all(database, WRITES, batch=7, told=lambda _: None)

    work: list[Any] = [rotation(), *(visits(number) for number in range(80))]
    _, *seen = await asyncio.gather(*work)
    for number, ids in enumerate(seen):
        assert len(set(ids)) == 1, "one person, one member"
        assert known.get(number, ids[0]) == ids[0]
    await rotate_all(database, WRITES, batch=7, told=lambda _: None)

    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(Member)) == 80
        assert await read.session.scalar(select(func.count()).select_from(Identity)) == 80
        assert await members.stale_identities(read, vault=AFTER) == 0
        assert (await members.keys_in_use(read)).missing(AFTER) == []
        sealed = list(await read.session.scalars(select(Identity.sealed)))
    assert {AFTER.open(IdentityKind.PHONE, item) for item in sealed} == {
        phone(number) for number in range(80)
    }
    for number in (0, 30, 79):
        assert await sign_in(database, AFTER, number) == seen[number][0]


async def test_fifty_first_log_ins_by_servers_of_both_keys_make_one_member(
    database: Database,
) -> None:
    async with database.begin() as tx:
        await make_members.community(tx)
    ids = await asyncio.gather(
        *(sign_in(database, WRITES if n % 2 else KNOWS, 1) for n in range(50))
    )
    assert len(set(ids)) == 1
    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(Member)) == 1


async def test_a_code_sent_before_the_rotation_is_good_after_it(database: Database) -> None:
    async with database.begin() as tx:
        code = await members.request_phone_code(tx, vault=KNOWS, phone=phone(1))
    async with database.begin() as tx:
        assert await members.try_phone_code(tx, vault=WRITES, phone=phone(1), code=code)
    async with database.begin() as tx:
        assert not await members.try_phone_code(tx, vault=KNOWS, phone=phone(1), code=code)


async def test_a_rotation_that_was_cut_short_goes_on(database: Database) -> None:
    async with database.begin() as tx:
        await make_members.community(tx)
    for number in range(20):
        await sign_in(database, BEFORE, number)
    async with database.begin() as tx:
        step = await members.rekey(tx, vault=WRITES, limit=8)
    assert (step.done, step.unreadable) == (8, 0)
    done, _ = await rotate_all(database, WRITES, batch=8, told=lambda _: None)
    assert done == 12


async def test_what_no_key_opens_is_counted_and_passed_over(database: Database) -> None:
    async with database.begin() as tx:
        await make_members.community(tx)
    for number in range(6):
        await sign_in(database, Vault({"lost": os.urandom(32)}, OLD_INDEX, "oldix"), number)
    await sign_in(database, BEFORE, 7)
    assert await rotate_all(database, WRITES, batch=2, told=lambda _: None) == (1, 6)


async def test_fingerprints_elsewhere_change_with_the_identity(database: Database) -> None:
    async with database.begin() as tx:
        one = (await make_members.member(tx)).id
        await members.link_phone(tx, vault=BEFORE, member_id=one, phone=phone(1))
        await tx.session.execute(
            text(
                "INSERT INTO invited_identity (member_id, kind, app, blind)"
                " SELECT member_id, kind, app, blind FROM identity"
            )
        )
    await rotate_all(database, WRITES, batch=10, told=lambda _: None)
    async with database.read() as read:
        found = await read.session.scalar(text("SELECT blind FROM invited_identity"))
    assert found == AFTER.blind(IdentityKind.PHONE, phone(1))


async def test_a_person_s_limit_of_a_coupon_outlives_the_rotation(database: Database) -> None:
    async with database.begin() as tx:
        one = (await make_members.member(tx)).id
        await members.link_phone(tx, vault=BEFORE, member_id=one, phone=phone(1))
        template = await make_coupons.template(tx, per_member=5, per_identity=1)
        batch = await make_coupons.batch(tx, template_id=template.id)
        await make_coupons.coupon(tx, member_id=one, batch_id=batch.id)
    await rotate_all(database, WRITES, batch=10, told=lambda _: None)
    async with database.read() as read:
        person = await read.session.scalar(text("SELECT person FROM coupon_person"))
    assert person == f"PHONE::{AFTER.blind(IdentityKind.PHONE, phone(1))}"
    async with database.begin() as tx:
        grants = await coupons.grant(
            tx, batch_id=batch.id, member_ids=[one], source=coupons.Source.STAFF
        )
    assert not grants.granted


async def test_the_doctor_tells_of_keys_that_are_missing_and_of_old_ones(
    database: Database, settings: Settings
) -> None:
    mine = Vault.from_settings(settings)
    async with database.begin() as tx:
        await make_members.community(tx)
    await sign_in(database, mine, 1)
    assert (await look_at_keys(database, settings)).state == "ok"
    await sign_in(database, Vault({"lost": NEW}, mine.index_key, mine.index_kid), 2)
    found = await look_at_keys(database, settings)
    assert (found.state, "lost" in found.found) == ("wrong", True)


async def test_files_of_copies_are_sealed_anew(database: Database) -> None:
    async with database.begin() as tx:
        one = (await make_members.member(tx)).id
        export = await leaving.request_export(tx, member_id=one)
    async with database.begin() as tx, database.read() as read:
        await leaving.make_export(tx, read, vault=BEFORE, member_id=one, export_id=export.id)
    async with database.read() as read:
        first = await leaving.part(read, BEFORE, export=export, number=0)
    await rotate_all(database, WRITES, batch=10, told=lambda _: None)
    async with database.read() as read:
        assert await leaving.part(read, AFTER, export=export, number=0) == first
        assert await leaving.parts_by_kid(read) == {"new": 1}
    assert replace(AFTER).kid == "new"
