"""Copies of a member's data, and accounts that are closed: nothing forgotten, nothing left."""

import asyncio
import io
import json
import zipfile
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app import leaving, members, merging, points
from app.kernel.auth import open_session
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.members import IdentityKind, Member, MemberStatus
from app.merging import PARTS
from app.metadata import all_tables
from tests.conftest import TestClock
from tests.make import coupons as make_coupons
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import points as make_points
from tests.make import reviews as make_reviews

PHONE, OPENID, SECRETS = (
    "+8613812345678",
    "openid-of-nobody",
    ("13812345678", "openid-of-nobody", "罕见的名字", "https://example.com/face.png", "翠湖三栋"),
)


async def person(database: Database, vault: Vault) -> UUID:
    """A member with personal data wherever there may be some."""
    async with database.begin() as tx:
        row = await make_members.member(tx, nickname="罕见的名字")
        row.avatar_url = "https://example.com/face.png"
        row.birthday = {"calendar": "SOLAR", "month": 3, "day": 7}
        row.consents = {"sms": "翠湖三栋"}
        await members.link_phone(tx, vault=vault, member_id=row.id, phone=PHONE)
        await members.link(
            tx,
            vault=vault,
            member=row,
            kind=IdentityKind.WECHAT_OPENID,
            app="wx",
            value=OPENID,
        )
        await open_session(tx, kind="member", subject_id=row.id)
        await make_points.lot(tx, member_id=row.id, amount=40, subject="gift")
        await make_coupons.coupon(tx, member_id=row.id)
        await make_reviews.review(tx, member_id=row.id, text="送到翠湖三栋，很好")
        await members.request_phone_code(tx, vault=vault, phone=PHONE)
        return row.id


async def copied(database: Database, vault: Vault, member_id: UUID) -> dict[str, Any]:
    async with database.begin() as tx:
        export = await leaving.request_export(tx, member_id=member_id)
    async with database.begin() as tx, database.read() as read:
        assert await leaving.make_export(
            tx, read, vault=vault, member_id=member_id, export_id=export.id
        )
    return await unpacked(database, vault, member_id, export.id)


async def unpacked(
    database: Database, vault: Vault, member_id: UUID, export_id: UUID
) -> dict[str, Any]:
    pieces: list[bytes] = []
    async with database.read() as read:
        row = await leaving.ready(read, member_id=member_id, export_id=export_id)
        assert row is not None
        while piece := await leaving.part(read, vault, export=row, number=len(pieces)):
            pieces.append(piece)
    body = b"".join(pieces)
    assert len(body) == row.bytes
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return json.loads(archive.read(archive.namelist()[0]))


async def test_a_copy_holds_everything_of_the_member_and_nothing_of_others(
    database: Database, vault: Vault
) -> None:
    async with database.begin() as tx:
        other = await make_members.member(tx, nickname="别人的名字")
        await make_orders.order(tx, member_id=other.id)
    me = await person(database, vault)
    told = await copied(database, vault, me)
    tables = told["tables"]
    assert set(tables) == {name for name, part in PARTS.items() if not part.withheld}
    assert {row["value"] for row in tables["identity"]} == {PHONE, OPENID}
    assert tables["member"][0]["nickname"] == "罕见的名字"
    assert [row["remaining"] for row in tables["points_lot"]] == [40]
    assert tables["review"][0]["text"] == "送到翠湖三栋，很好"
    # Row by row the same as what the database has.
    async with database.read() as read:
        for name in tables:
            own = f"SELECT count(*) FROM {name} WHERE {PARTS[name].by[0]} = :me"
            assert await read.session.scalar(text(own), {"me": me}) == len(tables[name]), name
    assert "别人的名字" not in json.dumps(told, ensure_ascii=False)


async def test_a_survivors_copy_holds_what_stayed_under_the_old_id(
    database: Database, vault: Vault
) -> None:
    me = await person(database, vault)
    async with database.begin() as tx:
        old = (await make_members.member(tx)).id
        await make_points.lot(tx, member_id=old, amount=9, subject="gift")
    async with database.begin() as tx:
        await merging.merge(
            tx, from_id=old, into_id=me, actor_kind="staff", actor_id=me, reason="同一人"
        )
    told = await copied(database, vault, me)
    assert {row["id"] for row in told["tables"]["member"]} == {str(me), str(old)}
    entries = told["tables"]["points_entry"]
    assert {row["member_id"] for row in entries} == {str(me), str(old)}


async def test_one_copy_under_way_and_one_a_day(
    database: Database, vault: Vault, clock: TestClock
) -> None:
    me = await person(database, vault)

    async def ask() -> str:
        try:
            async with database.begin() as tx:
                await leaving.request_export(tx, member_id=me)
        except Refusal as refusal:
            return refusal.code
        return "asked"

    told = await asyncio.gather(*(ask() for _ in range(50)))
    assert sorted(set(told)) == ["EXPORT_UNDER_WAY", "asked"]
    assert told.count("asked") == 1
    clock.advance(hours=7)
    async with database.begin() as tx:
        assert await leaving.give_up_exports(tx) == 1
    assert await ask() == "asked", "one that failed does not count"
    async with database.begin() as tx, database.read() as read:
        export = (await leaving.newest_by_member(read, [me]))[me]
        await leaving.make_export(tx, read, vault=vault, member_id=me, export_id=export.id)
    clock.advance(hours=23)
    assert await ask() == "EXPORTED_RECENTLY"
    clock.advance(hours=1)
    assert await ask() == "asked"


async def test_a_copy_is_made_once_and_ends(
    database: Database, vault: Vault, clock: TestClock
) -> None:
    me = await person(database, vault)
    async with database.begin() as tx:
        export = await leaving.request_export(tx, member_id=me)

    async def make() -> bool:
        async with database.begin() as tx, database.read() as read:
            return await leaving.make_export(
                tx, read, vault=vault, member_id=me, export_id=export.id
            )

    made = await asyncio.gather(*(make() for _ in range(8)))
    assert made.count(True) == 1
    clock.advance(hours=48)
    async with database.begin() as tx:
        assert await leaving.ready(tx, member_id=me, export_id=export.id) is None
        assert await leaving.end_exports(tx) == 1
    assert await found_in(database, "data_export_part", "") == 0


async def found_in(database: Database, table: str, value: str) -> int:
    async with database.read() as read:
        return int(
            await read.session.scalar(
                text(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%' || :value || '%'"),
                {"value": value},
            )
            or 0
        )


async def everywhere(database: Database, values: list[str]) -> dict[str, list[str]]:
    """Where in the whole database any of these texts stands."""
    found: dict[str, list[str]] = {}
    for name in all_tables().tables:
        for value in values:
            if await found_in(database, name, value):
                found.setdefault(name, []).append(value)
    return found


async def test_erased_values_are_nowhere_in_the_database(
    database: Database, vault: Vault, clock: TestClock
) -> None:
    me = await person(database, vault)
    await copied(database, vault, me)
    blinds = [
        vault.blind(IdentityKind.PHONE, PHONE),
        vault.blind(IdentityKind.WECHAT_OPENID, OPENID),
    ]
    values = [*SECRETS, *blinds, '"month": 3', "翠湖三栋"]
    assert await everywhere(database, values), "they were there"
    held = await make_points.balance(database, me)
    async with database.begin() as tx:
        at = await members.request_closure(tx, member_id=me)
    clock.now = at - timedelta(seconds=1)
    async with database.begin() as tx:
        assert await leaving.erase_due(tx) == 0
    clock.now = at
    async with database.begin() as tx:
        assert await leaving.erase_due(tx) == 1
        assert await leaving.erase_due(tx) == 0
    assert await everywhere(database, values) == {}
    assert await make_points.balance(database, me) == held, "the ledger stays"
    async with database.read() as read:
        row = await read.session.get_one(Member, me)
        assert row.status is MemberStatus.CLOSED
        live = text("SELECT count(*) FROM login_session WHERE revoked_at IS NULL")
        assert await read.session.scalar(live) == 0


async def test_the_same_phone_is_a_new_member_after_closing(
    database: Database, vault: Vault, clock: TestClock
) -> None:
    me = await person(database, vault)
    async with database.begin() as tx:
        clock.now = await members.request_closure(tx, member_id=me)

    async def sign_in() -> UUID:
        async with database.begin() as tx:
            return (await members.sign_in_by_phone(tx, vault=vault, phone=PHONE)).id

    async def erase() -> UUID:
        async with database.begin() as tx:
            await leaving.erase_due(tx)
        return me

    await asyncio.gather(erase(), *(sign_in() for _ in range(24)), return_exceptions=True)
    after = await asyncio.gather(*(sign_in() for _ in range(25)))
    assert len(set(after)) == 1
    assert after[0] != me


async def test_a_change_of_mind_and_the_erasing_at_once_end_one_way(
    database: Database, vault: Vault, clock: TestClock
) -> None:
    me = await person(database, vault)
    async with database.begin() as tx:
        clock.now = await members.request_closure(tx, member_id=me)

    async def keep() -> str:
        try:
            async with database.begin() as tx:
                await members.keep(tx, member_id=me)
        except Refusal as refusal:
            return refusal.code
        return "kept"

    async def erase() -> str:
        async with database.begin() as tx:
            await leaving.erase_due(tx)
        return "erased"

    told = await asyncio.gather(*(keep() if n % 2 else erase() for n in range(50)))
    async with database.read() as read:
        status = (await read.session.get_one(Member, me)).status
    assert told.count("kept") == (1 if status is MemberStatus.ACTIVE else 0)
    assert set(told) <= {"kept", "erased", "NOT_CLOSING", "MEMBER_CLOSED"}


async def test_asking_again_keeps_the_first_date_and_keeping_forgets_it(
    database: Database, vault: Vault, clock: TestClock
) -> None:
    me = await person(database, vault)
    ends: list[Any] = []
    for _ in range(2):
        async with database.begin() as tx:
            ends.append(await members.request_closure(tx, member_id=me))
        clock.advance(days=1)
    assert ends[0] == ends[1]
    async with database.begin() as tx:
        await members.keep(tx, member_id=me)
    async with database.begin() as tx:
        assert await members.request_closure(tx, member_id=me) > ends[0]
    async with database.begin() as tx:
        await members.keep(tx, member_id=me)
        with pytest.raises(members.NotClosing):
            await members.keep(tx, member_id=me)


async def test_the_frozen_look_and_do_not_act(database: Database, vault: Vault) -> None:
    me = await person(database, vault)

    async def freeze() -> int:
        async with database.begin() as tx:
            return len((await members.freeze(tx, member_id=me, reason="盗号"))[1])

    ended = await asyncio.gather(*(freeze() for _ in range(20)))
    assert sum(ended) == 1, "the one session ended once"
    async with database.begin() as tx:
        assert (await members.sign_in_by_phone(tx, vault=vault, phone=PHONE)).id == me
        with pytest.raises(members.MemberNotActive):
            await points.check_in(tx, member_id=me)
    async with database.begin() as tx:
        await members.unfreeze(tx, member_id=me, reason="已核实")
        await points.check_in(tx, member_id=me)
    for reason in ("", " ", "长" * 201):
        with pytest.raises(members.ReasonNeeded):
            async with database.begin() as tx:
                await members.freeze(tx, member_id=me, reason=reason)
