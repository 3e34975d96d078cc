"""Group commit: one answer to everyone who waits, whatever comes together and whatever fails."""

import asyncio
import os
import signal
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import select, text
from strawberry import ID

from app import coupons, drops
from app.drops import Claims, DropState, batching, connecting
from app.kernel.db import Database
from app.kernel.errors import IdempotencyKeyReused, InvalidInput
from app.kernel.idempotency import IdempotencyRow
from app.members import MemberNotActive, MemberStatus
from schema.drops_changes import ClaimDropInput
from schema.fields import shown
from tests.conftest import TestClock
from tests.drops.claimants import (
    all_of,
    drop_now,
    facts,
    gathered,
    given_in,
    members,
    open_drop,
    plain,
)
from tests.make import drops as make
from tests.make.members import community, member


async def test_claims_that_wait_leave_together(database: Database, claims: Claims) -> None:
    drop = await open_drop(database, stock=300)
    ids = await members(database, 300)
    made = await all_of(gathered(claims, drop.id, one) for one in ids)
    assert await given_in(database, drop.id) == dict(zip(ids, made, strict=True))
    told = await facts(database, drops.drop_topic(drop.id))
    assert len(told) < 10, "one fact a batch, and a batch is everyone who waits"
    assert (told[-1].kind, told[-1].payload["remaining"]) == ("drop.sold_out", 0)
    assert (await drop_now(database, drop.id)).version == told[-1].payload["version"]


async def test_those_who_come_first_are_served_first(database: Database, claims: Claims) -> None:
    drop = await open_drop(database, stock=7)
    ids = await members(database, 20)
    made = await all_of(gathered(claims, drop.id, one) for one in ids)
    assert drops.SoldOut not in made[:7]
    assert made[7:] == [drops.SoldOut] * 13
    assert (await drop_now(database, drop.id)).state is DropState.SOLD_OUT


async def test_a_key_gets_one_answer(database: Database, claims: Claims, clock: TestClock) -> None:
    drop = await open_drop(database)
    one, two = await members(database, 2)
    made = await all_of(gathered(claims, drop.id, one) for _ in range(20))
    clock.advance(minutes=1)
    again = await claims.claim(
        drop_id=drop.id, member_id=one, key="tap", given={"drop": str(drop.id)}
    )
    assert set(made) == {again.coupon_id} == {await plain(database, drop.id, one)}
    assert again.claimed_at == clock.now - timedelta(minutes=1)
    by_plain = await plain(database, drop.id, two)
    assert await gathered(claims, drop.id, two) == by_plain
    assert len(await given_in(database, drop.id)) == 2


async def test_another_input_under_the_same_key_is_refused(
    database: Database, claims: Claims
) -> None:
    first, second = await open_drop(database), await open_drop(database)
    (one,) = await members(database, 1)
    coupon = await gathered(claims, first.id, one)
    assert await gathered(claims, second.id, one) is IdempotencyKeyReused
    assert await gathered(claims, first.id, one) == coupon
    assert await given_in(database, second.id) == {}


async def test_one_key_for_two_drops_at_once_serves_one(database: Database, claims: Claims) -> None:
    first, second = await open_drop(database, 20), await open_drop(database, 20)
    ids = await members(database, 20)
    made = await all_of(gathered(claims, drop.id, one) for one in ids for drop in (first, second))
    pairs = list(zip(made[::2], made[1::2], strict=True))
    assert [pair.count(IdempotencyKeyReused) for pair in pairs] == [1] * 20, pairs
    served = len(await given_in(database, first.id)) + len(await given_in(database, second.id))
    assert served == 20


async def test_two_keys_of_one_member_at_once(database: Database, claims: Claims) -> None:
    drop = await open_drop(database)
    (one,) = await members(database, 1)
    made = await all_of(gathered(claims, drop.id, one, f"tap {nth}") for nth in range(5))
    assert made[1:] == [drops.AlreadyClaimed] * 4
    assert await given_in(database, drop.id) == {one: made[0]}


async def test_a_refused_claim_leaves_its_key_free(
    database: Database, claims: Claims, clock: TestClock
) -> None:
    (one,) = await members(database, 1)
    async with database.begin() as tx:
        drop = await make.drop(tx)
    assert await gathered(claims, drop.id, one) is drops.NotOpen
    async with database.read() as read:
        assert (await read.session.scalars(select(IdempotencyRow))).all() == []
    clock.now = drop.opens_at
    assert await given_in(database, drop.id) == {}
    coupon = await gathered(claims, drop.id, one)
    assert await given_in(database, drop.id) == {one: coupon}
    told = await facts(database, drops.drop_topic(drop.id))
    assert [fact.kind for fact in told] == ["drop.opened", "drop.claimed"]


async def test_everyone_is_told_why_not(database: Database, claims: Claims) -> None:
    async with database.begin() as tx:
        home = await community(tx, "滨江里")
        drop = await make.drop(tx, community_id=home.id)
        await drops.open_drop(tx, drop_id=drop.id)
        frozen = (await member(tx, community_id=home.id, status=MemberStatus.FROZEN)).id
        stranger = (await member(tx)).id
        neighbour = (await member(tx, community_id=home.id)).id
    made = await all_of(
        gathered(claims, drop.id, one) for one in (frozen, stranger, uuid4(), neighbour)
    )
    assert made[:3] == [MemberNotActive, drops.NotInAudience, MemberNotActive]
    assert await given_in(database, drop.id) == {neighbour: made[3]}
    assert await gathered(claims, uuid4(), neighbour, "other") is drops.DropNotFound
    assert await gathered(claims, drop.id, neighbour, "") is InvalidInput
    assert await gathered(claims, drop.id, neighbour, "k" * 129) is InvalidInput


async def test_a_community_in_a_new_zone_is_served(database: Database, claims: Claims) -> None:
    drop = await open_drop(database)
    (one,) = await members(database, 1)
    await gathered(claims, drop.id, one)
    async with database.begin() as tx:
        far = await community(tx, "喀什花园", "Asia/Urumqi")
        there = (await member(tx, community_id=far.id)).id
    coupon = await gathered(claims, drop.id, there)
    assert isinstance(coupon, type(drop.id))
    async with database.read() as read:
        row = (await coupons.by_member_and_id(read, [(there, coupon)]))[(there, coupon)]
    assert row.expires_at.hour == 18, "midnight in Urumqi"


async def test_who_goes_away_still_has_the_claim(database: Database, claims: Claims) -> None:
    drop = await open_drop(database, stock=50)
    ids = await members(database, 50)
    tasks = [asyncio.create_task(gathered(claims, drop.id, one)) for one in ids]
    for nth, task in enumerate(tasks):
        if nth % 2:
            await asyncio.sleep(0)
            task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    await claims.drain()
    given = await given_in(database, drop.id)
    assert all(
        given[one] == made
        for one, made in zip(ids, ended, strict=True)
        if not isinstance(made, asyncio.CancelledError)
    )
    later = Claims(database)
    made = await all_of(gathered(later, drop.id, one) for one in ids)
    await later.drain()
    assert dict(zip(ids, made, strict=True)) == await given_in(database, drop.id)
    assert given.items() <= (await given_in(database, drop.id)).items()


async def test_a_full_house_says_so(database: Database) -> None:
    drop = await open_drop(database, stock=20)
    ids = await members(database, 20)
    narrow = Claims(database, most_waiting=5)
    made = await all_of(gathered(narrow, drop.id, one) for one in ids)
    assert made[5:] == [drops.TooManyClaims] * 15
    assert len(await given_in(database, drop.id)) == 5
    again = await all_of(gathered(narrow, drop.id, one) for one in ids[:5])
    assert again == made[:5]
    await narrow.drain()
    assert await gathered(narrow, drop.id, ids[0]) is drops.TooManyClaims, "it has closed"


async def test_draining_answers_everyone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "DRAIN_SECONDS", 120)
    drop = await open_drop(database, stock=100)
    ids = await members(database, 100)
    closing = Claims(database)
    tasks = [asyncio.create_task(gathered(closing, drop.id, one)) for one in ids]
    await asyncio.sleep(0)
    await closing.drain()
    assert [await task for task in tasks] == [
        (await given_in(database, drop.id))[one] for one in ids
    ]


async def test_draining_ends_though_the_server_stands_still(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = connecting.Wire(database)
    pid = (await wire.connection()).get_server_pid()
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.2)
    os.kill(pid, signal.SIGSTOP)
    try:
        await wire.close()
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_one_bad_claim_takes_nobody_along(database: Database, claims: Claims) -> None:
    drop = await open_drop(database, stock=50)
    ids = await members(database, 30)
    poison = ids[17]
    async with database.engine.begin() as connection:
        await connection.execute(
            text(f"ALTER TABLE coupon ADD CONSTRAINT poison CHECK (member_id <> '{poison}')")
        )
    try:
        made = await all_of(gathered(claims, drop.id, one) for one in ids)
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE coupon DROP CONSTRAINT poison"))
    assert made[17] is asyncpg.CheckViolationError
    given = await given_in(database, drop.id)
    assert given == {one: coupon for one, coupon in zip(ids, made, strict=True) if one != poison}
    assert (await drop_now(database, drop.id)).claimed == 29
    assert isinstance(await gathered(claims, drop.id, poison), type(poison)), "and may try again"


async def test_a_terminated_connection_doubles_nothing(database: Database) -> None:
    drop = await open_drop(database, stock=400)
    ids = await members(database, 400)
    shaken = Claims(database)
    struck, ending = asyncio.Event(), asyncio.Event()

    async def terminate() -> int:
        ended = 0
        while ended < 5 and not ending.is_set():
            async with database.engine.begin() as connection:
                rows = await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE (query LIKE '%WITH asked AS%' OR query = 'DISCARD PLANS')"
                        " AND pid <> pg_backend_pid()"
                    )
                )
                ended += len(rows.all())
            if ended:
                struck.set()
            await asyncio.sleep(0.1)
        return ended

    async def arrive(nth: int) -> object:
        await asyncio.sleep(0.002 * nth)
        if nth >= 300:
            await struck.wait()  # however fast the others were served
        return await gathered(shaken, drop.id, ids[nth])

    terminator = asyncio.create_task(terminate())
    made = await all_of(arrive(nth) for nth in range(400))
    ending.set()
    assert await terminator > 0
    await shaken.drain()
    assert dict(zip(ids, made, strict=True)) == await given_in(database, drop.id)
    assert (await drop_now(database, drop.id)).claimed == 400


async def test_without_a_database_everyone_hears_of_it() -> None:
    nowhere = Database("postgresql://linli@127.0.0.1:1/linli")
    lost = Claims(nowhere)
    drop_id = uuid4()
    made = await all_of(gathered(lost, drop_id, uuid4()) for _ in range(50))
    assert all(issubclass(one, OSError) for one in made)
    await lost.drain()
    await nowhere.close()


async def test_behind_pgbouncer_the_row_is_locked_in_a_transaction(
    database: Database, schema_ready: str, clock: TestClock
) -> None:
    drop = await open_drop(database, stock=30)
    ids = await members(database, 40)
    bouncing = Database(schema_ready, pgbouncer=True, clock=clock)
    claims = Claims(bouncing)
    made = await all_of(gathered(claims, drop.id, one) for one in ids)
    await claims.drain()
    await bouncing.close()
    assert made[30:] == [drops.SoldOut] * 10
    assert await given_in(database, drop.id) == dict(zip(ids[:30], made[:30], strict=True))


async def test_keys_of_the_plain_way_and_of_the_mutation_have_one_digest() -> None:
    given = ClaimDropInput(drop_id=ID("RHJvcDox"), idempotency_key="tap")
    assert shown(given) == {"drop_id": given.drop_id, "idempotency_key": given.idempotency_key}
