"""Codes made in advance: many in seconds, each works once, and never beyond the batch."""

import asyncio
from collections import Counter
from uuid import UUID

import psutil
import pytest
from sqlalchemy import func, select

from app import coupons
from app.coupons import BatchState, CodeMode
from app.kernel.db import Database
from app.kernel.embedded import PostgresServer
from app.kernel.errors import InvalidInput, Refusal
from app.kernel.idempotency import once
from app.members import MemberNotActive, MemberStatus
from tests.make import coupons as make
from tests.make.members import member


async def with_codes(
    database: Database, quantity: int = 3, **template: object
) -> tuple[UUID, list[str]]:
    async with database.begin() as tx:
        made = await make.template(tx, **template)
        batch = await make.batch(
            tx, template_id=made.id, quantity=quantity, code_mode=CodeMode.BULK
        )
        assert await coupons.make_codes(tx, batch_id=batch.id) == quantity
        assert await coupons.make_codes(tx, batch_id=batch.id) == 0
        codes = [code async for page in coupons.codes_of(tx, batch.id) for code, _ in page]
    return batch.id, codes


async def people(database: Database, count: int) -> list[UUID]:
    async with database.begin() as tx:
        return [(await member(tx)).id for _ in range(count)]


async def enter(database: Database, member_id: UUID, code: str) -> UUID:
    async with database.begin() as tx:
        return await coupons.enter_code(tx, member_id=member_id, code=code)


async def batch_now(database: Database, batch_id: UUID) -> coupons.Batch:
    async with database.read() as read:
        return (await coupons.batches_by_id(read, [batch_id]))[batch_id]


async def test_a_code_gives_its_coupon_once(database: Database) -> None:
    batch_id, codes = await with_codes(database)
    one, two = await people(database, 2)
    coupon = await enter(database, one, f" {codes[0][:4].lower()}-{codes[0][4:]} ")
    async with database.read() as read:
        row = (await coupons.by_member_and_id(read, [(one, coupon)]))[(one, coupon)]
    assert (row.source, row.code) == (coupons.Source.CODE, None)
    for who in (one, two):
        with pytest.raises(coupons.CodeTaken):
            await enter(database, who, codes[0])
    now = await batch_now(database, batch_id)
    assert (now.granted, now.reserved_fen) == (1, 500)


@pytest.mark.parametrize("code", ["", "7KQ2", "7KQ2U09VABCDE", "0" * 13, "零" * 13])
async def test_what_is_no_code_is_not_found(database: Database, code: str) -> None:
    [one] = await people(database, 1)
    with pytest.raises(coupons.CodeNotFound):
        await enter(database, one, code)


async def test_limits_and_states_hold_and_a_refused_code_stays_good(database: Database) -> None:
    batch_id, codes = await with_codes(database)
    one, two = await people(database, 2)
    await enter(database, one, codes[0])
    with pytest.raises(coupons.CouponLimitReached):
        await enter(database, one, codes[1])
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=batch_id, to=BatchState.PAUSED)
    with pytest.raises(coupons.BatchNotActive):
        await enter(database, two, codes[1])
    async with database.begin() as tx:
        await coupons.move_batch(tx, batch_id=batch_id, to=BatchState.ACTIVE)
        frozen = (await member(tx, status=MemberStatus.FROZEN)).id
    with pytest.raises(MemberNotActive):
        await enter(database, frozen, codes[1])
    assert await enter(database, two, codes[1])


async def test_the_budget_ends_before_the_codes_do(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=3, budget_fen=700, code_mode=CodeMode.BULK)
        await coupons.make_codes(tx, batch_id=batch.id)
        codes = [code async for page in coupons.codes_of(tx, batch.id) for code, _ in page]
    one, two = await people(database, 2)
    await enter(database, one, codes[0])
    with pytest.raises(coupons.BatchUsedUp):
        await enter(database, two, codes[1])


async def test_only_bulk_batches_have_codes_and_not_without_bound(database: Database) -> None:
    async with database.begin() as tx:
        with pytest.raises(InvalidInput):
            await coupons.make_codes(tx, batch_id=(await make.batch(tx)).id)
        with pytest.raises(InvalidInput):
            await make.batch(tx, quantity=1_000_001, code_mode=CodeMode.BULK)


def work_of(server: PostgresServer) -> float:
    """The seconds that we and the server have worked: others on the machine make them no more."""
    postmaster = psutil.Process(server.pid)
    ended = postmaster.cpu_times()
    seconds = ended.children_user + ended.children_system
    for process in (psutil.Process(), postmaster, *postmaster.children()):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system
    return seconds


async def test_a_hundred_thousand_codes_take_seconds(
    database: Database, postgres: PostgresServer
) -> None:
    began = work_of(postgres)
    batch_id, codes = await with_codes(database, 100_000)
    took = work_of(postgres) - began
    assert len(set(codes)) == 100_000
    async with database.read() as read:
        kept = await read.session.scalar(
            select(func.count()).select_from(coupons.Code).where(coupons.Code.batch_id == batch_id)
        )
    assert kept == 100_000
    assert took < 20, f"{took:.1f} s"


async def race(database: Database, who: list[UUID], codes: list[str]) -> Counter[str]:
    """Each member enters each of their codes twice under one key, all at once."""

    async def attempt(member_id: UUID, code: str) -> str:
        try:
            async with database.begin() as tx:

                async def work() -> dict[str, object]:
                    coupon = await coupons.enter_code(tx, member_id=member_id, code=code)
                    return {"coupon": str(coupon)}

                answer = await once(
                    tx,
                    owner_id=member_id,
                    command="code",
                    key=code,
                    given={"code": code},
                    work=work,
                )
            return str(answer["coupon"])
        except Refusal as refusal:
            return type(refusal).__name__

    pairs = [(one, code) for one, code in zip(who, codes, strict=True) for _ in range(2)]
    return Counter(await asyncio.gather(*(attempt(*pair) for pair in pairs)))


async def test_fifty_at_once_with_one_code_get_one_coupon(database: Database) -> None:
    batch_id, codes = await with_codes(database)
    told = await race(database, await people(database, 50), [codes[0]] * 50)
    assert told["CodeTaken"] == 98
    assert sorted(told.values()) == [2, 98]
    assert (await batch_now(database, batch_id)).granted == 1


async def test_fifty_at_once_with_a_code_each_never_break_the_budget(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make.batch(tx, quantity=50, budget_fen=20 * 500, code_mode=CodeMode.BULK)
        await coupons.make_codes(tx, batch_id=batch.id)
        codes = [code async for page in coupons.codes_of(tx, batch.id) for code, _ in page]
    told = await race(database, await people(database, 50), codes)
    assert told["BatchUsedUp"] == 60
    assert len(told) == 21
    now = await batch_now(database, batch.id)
    assert (now.granted, now.reserved_fen) == (20, 10_000)
