"""Early access may be changed until its first instant, and links lead to drops that there are."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import drops, tiers
from app.drops import Window
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.db import Database
from app.kernel.errors import InvalidInput, Refusal
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import drops as make
from tests.make.members import member
from tests.make.tiers import standing

SET = """mutation($input: SetDropEarlyAccessInput!) { setDropEarlyAccess(input: $input) {
  ... on SetDropEarlyAccessSuccess { drop { earlyAccess { rank stock } } }
  ... on UserError { code message } } }"""
SHARE = """mutation($input: ShareInput!) { share(input: $input) {
  ... on ShareSuccess { share { code target } } ... on UserError { code } } }"""


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def a_drop(database: Database, **more: Any) -> drops.Drop:
    async with database.begin() as tx:
        return await make.drop(tx, stock=10, **more)


async def change(database: Database, drop_id: UUID, *early: Window) -> drops.Drop:
    async with database.begin() as tx:
        return await drops.set_early_access(tx, drop_id=drop_id, early=early)


def window(clock: TestClock, minutes: int, rank: int, stock: int) -> Window:
    return Window(rank, clock.now + timedelta(minutes=minutes), stock)


async def test_windows_are_replaced_and_members_claim_by_the_new_ones(
    database: Database, clock: TestClock
) -> None:
    drop = await a_drop(database, early=[window(clock, 30, 3, 8)])
    changed = await change(database, drop.id, window(clock, 40, 2, 1), window(clock, 20, 3, 1))
    assert (changed.early_stock, changed.terms, changed.version) == (2, 2, 2)
    assert changed.early_opens_at == clock.now + timedelta(minutes=20)
    async with database.begin() as tx:
        people = [(await member(tx)).id for _ in range(3)]
        for who, tier in zip(people, ("DIAMOND", "DIAMOND", "GOLD"), strict=True):
            await standing(tx, member_id=who, tier_code=tier)
    clock.advance(minutes=20)

    async def claim(who: UUID) -> str:
        async with database.begin() as tx:
            try:
                await drops.claim(tx, drop_id=drop.id, member_id=who)
            except Refusal as refusal:
                return refusal.code
        return "claimed"

    assert [await claim(who) for who in people] == ["claimed", "NOT_YET_YOURS", "NOT_YET_YOURS"]
    with pytest.raises(drops.EarlyAccessBegun):
        await change(database, drop.id)
    clock.advance(minutes=20)
    assert await claim(people[2]) == "claimed"


async def test_early_access_may_be_given_and_ended(database: Database, clock: TestClock) -> None:
    drop = await a_drop(database)
    given = await change(database, drop.id, window(clock, 10, 2, 4))
    assert given.early_stock == 4
    ended = await change(database, drop.id)
    assert (ended.early_opens_at, ended.early_stock) == (None, 0)
    async with database.read() as read:
        assert await drops.windows_by_drop(read, [drop.id]) == {}


async def test_what_cannot_be_is_refused_and_the_old_windows_stay(
    database: Database, clock: TestClock
) -> None:
    drop = await a_drop(database, early=[window(clock, 30, 3, 8)])
    for wrong in (
        window(clock, 10, 3, 11),
        window(clock, 60, 3, 1),
        window(clock, 0, 3, 1),
        window(clock, 10, 3, 0),
    ):
        with pytest.raises(InvalidInput):
            await change(database, drop.id, wrong)
    async with database.read() as read:
        assert len((await drops.windows_by_drop(read, [drop.id]))[drop.id]) == 1
    clock.advance(hours=1)
    with pytest.raises(drops.DropNotScheduled):
        await change(database, drop.id)
    with pytest.raises(drops.DropNotFound):
        await change(database, uuid4())


async def test_fifty_changes_at_once_leave_one_whole_set(
    database: Database, clock: TestClock
) -> None:
    drop = await a_drop(database)
    at = [window(clock, 10 + number % 5, 3, 1 + number % 9) for number in range(50)]
    await asyncio.gather(*(change(database, drop.id, one) for one in at for _ in range(2)))
    async with database.read() as read:
        row = (await drops.by_id(read, [drop.id]))[drop.id]
        [left] = (await drops.windows_by_drop(read, [drop.id]))[drop.id]
    assert (left.opens_at, left.stock) == (row.early_opens_at, row.early_stock)
    assert row.terms == 101


async def test_staff_change_them_over_graphql_and_the_log_says_so(
    api: Api, database: Database, owner: StaffCaller, clock: TestClock
) -> None:
    drop = await a_drop(database)

    def at(minutes: int) -> str:
        moment: datetime = clock.now + timedelta(minutes=minutes)
        return moment.isoformat()

    given = {
        "dropId": global_id("Drop", drop.id),
        "earlyAccess": [{"tier": "GOLD", "opensAt": at(10), "stock": 2}],
        "idempotencyKey": "one",
    }
    for _ in range(2):
        done = (await api(SET, {"input": given}, caller=owner))["data"]["setDropEarlyAccess"]
        assert done["drop"]["earlyAccess"] == [{"rank": 2, "stock": 2}]
    tin = {**given, "idempotencyKey": "two"}
    tin["earlyAccess"] = [{"tier": "TIN", "opensAt": at(10), "stock": 2}]
    odd = (await api(SET, {"input": tin}, caller=owner))["data"]["setDropEarlyAccess"]
    assert odd["code"] == "TIER_NOT_FOUND"
    log = "{ auditLog(first: 9) { nodes { action before after } } }"
    nodes = (await api(log, caller=owner))["data"]["auditLog"]["nodes"]
    seen = Counter((node["after"] or {}).get("early_stock") for node in nodes)
    assert seen == {2: 1, None: 1}


async def test_only_a_drop_that_there_is_can_be_shared(api: Api, database: Database) -> None:
    drop = await a_drop(database)
    async with database.begin() as tx:
        caller = MemberCaller((await member(tx)).id, uuid4())

    async def share(target: str | None, key: str) -> dict[str, Any]:
        given = {"targetKind": "DROP", "target": target, "idempotencyKey": key}
        return (await api(SHARE, {"input": given}, caller=caller))["data"]["share"]

    real = global_id("Drop", drop.id)
    made = (await share(real, "1"))["share"]
    assert made["target"] == real
    assert (await share(real, "2"))["share"] == made
    assert (await share(global_id("Drop", uuid4()), "3"))["code"] == "DROP_NOT_FOUND"
    for odd in (global_id("Coupon", drop.id), "PEACH", None):
        assert (await share(odd, f"4 {odd}"))["code"] == "INVALID_INPUT"
