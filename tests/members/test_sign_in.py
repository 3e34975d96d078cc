"""Signing in by phone and being recognised."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.members import (
    CodeSentRecently,
    Identity,
    IdentityKind,
    Member,
    recognise,
    request_phone_code,
    try_phone_code,
)
from tests.conftest import TestClock
from tests.make.members import community

PHONE = "+8610000123456"


async def test_fifty_first_logins_at_once_make_one_member(database: Database, vault: Vault) -> None:
    async with database.begin() as tx:
        await community(tx)

    async def sign_in() -> object:
        async with database.begin() as tx:
            member = await recognise(
                tx,
                vault=vault,
                kind=IdentityKind.WECHAT_OPENID,
                app="wx",
                value="openid-1",
                nickname="新邻居",
            )
            return member.id

    ids = await asyncio.gather(*(sign_in() for _ in range(50)))
    assert len(set(ids)) == 1
    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(Member)) == 1
        sealed = await read.session.scalar(select(Identity.sealed))
    assert sealed is not None
    assert "openid-1" not in sealed
    assert vault.open(IdentityKind.WECHAT_OPENID, sealed) == "openid-1"


async def test_a_code_is_good_once_within_five_tries_and_minutes(
    database: Database, vault: Vault, clock: TestClock
) -> None:
    async def attempt(code: str) -> bool:
        async with database.begin() as tx:
            return await try_phone_code(tx, vault=vault, phone=PHONE, code=code)

    async def request() -> str:
        async with database.begin() as tx:
            return await request_phone_code(tx, vault=vault, phone=PHONE)

    code = await request()
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert await attempt(code)
    assert not await attempt(code), "a code is used up"

    with pytest.raises(CodeSentRecently):
        await request()
    clock.now += timedelta(minutes=1)
    code = await request()
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert [await attempt(wrong) for _ in range(5)] == [False] * 5
    assert not await attempt(code), "five wrong tries close it"

    clock.now += timedelta(minutes=1)
    code = await request()
    clock.now += timedelta(minutes=5)
    assert not await attempt(code), "five minutes are over"
