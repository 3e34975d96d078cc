"""Early access, closing and cancelling over GraphQL, and every change of state as it is pushed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app import coupons, drops, points, segments, tiers
from app.drops import Window
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.config import Settings
from app.kernel.db import Database, Tx
from app.kernel.outbox import OutboxRow
from app.staff import AuditEntry
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.drops.claimants import members
from tests.make import coupons as make_coupons
from tests.make import drops as make
from tests.make.members import member
from tests.make.segments import stage
from tests.make.tiers import standing
from workers.drops import compensate_claimants, tidy_drops
from workers.jobs import Work
from workers.schedule import TICK_SECONDS, Scheduler

Relay = Callable[[], Awaitable[int]]

CREATE = """mutation($input: CreateDropInput!) { createDrop(input: $input) {
  ... on CreateDropSuccess { drop { id minRank guestsOnly earlyAccess { rank opensAt stock } } }
  ... on UserError { code message } } }"""
MINE = "query($id: ID!) { drop(id: $id) { state myOpensAt earlyAccess { rank stock } } }"
CLAIM = """mutation($id: ID!, $key: String!) {
  claimDrop(input: { dropId: $id, idempotencyKey: $key }) { __typename
    ... on NotYetYours { code message notBefore } ... on UserError { code } } }"""
CANCEL = """mutation($input: CancelDropInput!) { cancelDrop(input: $input) {
  ... on CancelDropSuccess { drop { state cancellation { reason claims points revoked doneAt } } }
  ... on UserError { code message } } }"""
CLOSE = """mutation($id: ID!, $key: String!) {
  closeDrop(input: { dropId: $id, idempotencyKey: $key }) {
    ... on CloseDropSuccess { drop { state } } ... on UserError { code } } }"""
WATCH = """subscription($id: ID!) {
  dropUpdated(dropId: $id) { drop { state remaining opensAt } } }"""
CANCELLATION = "query($id: ID!) { drop(id: $id) { cancellation { reason revoked doneAt } } }"


async def member_of(api: Api, code: str | None = None) -> MemberCaller:
    async with api.resources.database.begin() as tx:
        await tiers.ensure_tiers(tx)
        row = await member(tx)
        if code is not None:
            await standing(tx, member_id=row.id, tier_code=code)
        return MemberCaller(row.id, uuid4())


async def made(api: Api, **more: Any) -> drops.Drop:
    async with api.resources.database.begin() as tx:
        return await make.drop(tx, **more)


async def opened(api: Api, **more: Any) -> drops.Drop:
    async with api.resources.database.begin() as tx:
        return await make.open_drop(tx, **more)


async def claim(api: Api, drop_id: UUID, caller: MemberCaller) -> dict[str, Any]:
    given = {"id": global_id("Drop", drop_id), "key": "tap"}
    return (await api(CLAIM, given, caller=caller))["data"]["claimDrop"]


async def test_staff_carve_early_access_out_and_members_see_their_hour(
    api: Api, owner: StaffCaller, clock: TestClock
) -> None:
    diamond, gold, normal = [await member_of(api, code) for code in ("DIAMOND", "GOLD", None)]
    async with api.resources.database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=10)
    start = clock.now + timedelta(hours=1)
    windows = [
        {"tier": "GOLD", "opensAt": start.isoformat(), "stock": 3},
        {"tier": "DIAMOND", "opensAt": clock.now.isoformat(), "stock": 2},
    ]
    given = {
        "batchId": global_id("CouponBatch", batch.id),
        "title": "周三秒杀",
        "opensAt": (start + timedelta(hours=1)).isoformat(),
        "closesAt": (start + timedelta(hours=2)).isoformat(),
        "stock": 10,
        "earlyAccess": windows,
        "idempotencyKey": "one",
    }
    wrong = given | {"earlyAccess": [windows[0] | {"tier": "TIN"}], "idempotencyKey": "two"}
    answer = await api(CREATE, {"input": wrong}, caller=owner)
    assert answer["data"]["createDrop"]["code"] == "TIER_NOT_FOUND"
    wrong = given | {"earlyAccess": [windows[0] | {"stock": 11}], "idempotencyKey": "three"}
    answer = await api(CREATE, {"input": wrong}, caller=owner)
    assert answer["data"]["createDrop"]["code"] == "INVALID_INPUT"
    drop = (await api(CREATE, {"input": given}, caller=owner))["data"]["createDrop"]["drop"]
    assert [(one["rank"], one["stock"]) for one in drop["earlyAccess"]] == [(3, 2), (2, 3)]
    hours = {
        caller.id: (await api(MINE, {"id": drop["id"]}, caller=caller))["data"]["drop"]["myOpensAt"]
        for caller in (diamond, gold, normal)
    }
    assert list(hours.values()) == [
        "2026-03-18T04:00:00Z",
        "2026-03-18T05:00:00Z",
        "2026-03-18T06:00:00Z",
    ]
    refused = (await api(CLAIM, {"id": drop["id"], "key": "tap"}, caller=gold))["data"]["claimDrop"]
    assert (refused["code"], refused["notBefore"]) == ("NOT_YET_YOURS", hours[gold.id])
    taken = (await api(CLAIM, {"id": drop["id"], "key": "tap"}, caller=diamond))["data"]
    assert taken["claimDrop"]["__typename"] == "ClaimDropSuccess"
    seen = (await api(MINE, {"id": drop["id"]}, caller=owner))["data"]["drop"]
    assert (seen["state"], seen["myOpensAt"]) == ("SCHEDULED", None)


async def test_those_whom_a_drop_is_not_for_have_no_hour(api: Api, owner: StaffCaller) -> None:
    gold, normal = await member_of(api, "GOLD"), await member_of(api)
    for_gold = global_id("Drop", (await made(api, min_rank=2)).id)
    hours = [
        (await api(MINE, {"id": for_gold}, caller=one))["data"]["drop"]["myOpensAt"]
        for one in (gold, normal)
    ]
    assert hours == ["2026-03-18T05:00:00Z", None]
    listed = await made(api, guests_only=True)
    async with api.resources.database.begin() as tx:
        await drops.invite(tx, drop_id=listed.id, member_ids=[normal.id])
    hours = [
        (await api(MINE, {"id": global_id("Drop", listed.id)}, caller=one))["data"]["drop"]
        for one in (gold, normal)
    ]
    assert [one["myOpensAt"] for one in hours] == [None, "2026-03-18T05:00:00Z"]


async def test_a_drop_for_stages_is_for_those_who_are_in_them_when_it_is_made(
    api: Api, owner: StaffCaller, clock: TestClock
) -> None:
    silent, regular = await member_of(api), await member_of(api)
    async with api.resources.database.begin() as tx:
        await stage(tx, member_id=silent.id, stage=segments.Stage.SILENT)
        await stage(tx, member_id=regular.id, stage=segments.Stage.REGULAR)
        batch = await make_coupons.batch(tx, quantity=10)
    given = {
        "batchId": global_id("CouponBatch", batch.id),
        "title": "欢迎回来",
        "opensAt": clock.now.isoformat(),
        "closesAt": (clock.now + timedelta(hours=2)).isoformat(),
        "stock": 10,
        "stages": ["SILENT", "CHURNED"],
        "idempotencyKey": "one",
    }
    drop = (await api(CREATE, {"input": given}, caller=owner))["data"]["createDrop"]["drop"]
    assert drop["guestsOnly"] is True
    answers = [
        (await api(CLAIM, {"id": drop["id"], "key": "tap"}, caller=one))["data"]["claimDrop"]
        for one in (silent, regular)
    ]
    assert [one["__typename"] for one in answers] == ["ClaimDropSuccess", "NotInAudience"]


async def test_a_cancelled_drop_is_audited_and_its_claimants_are_made_good(
    api: Api, owner: StaffCaller, settings: Settings
) -> None:
    drop = await opened(api, stock=3)
    caller = await member_of(api)
    await claim(api, drop.id, caller)
    given = {
        "dropId": global_id("Drop", drop.id),
        "reason": "wrong coupons were printed",
        "claims": "REVOKE",
        "points": 50,
        "idempotencyKey": "stop",
    }
    refused = await api(CANCEL, {"input": given}, caller=caller)
    assert refused["data"]["cancelDrop"]["code"] == "NOT_ALLOWED"
    first = (await api(CANCEL, {"input": given}, caller=owner))["data"]["cancelDrop"]
    assert first["drop"]["state"] == "CANCELLED"
    assert first["drop"]["cancellation"] == {
        "reason": "wrong coupons were printed",
        "claims": "REVOKE",
        "points": 50,
        "revoked": 0,
        "doneAt": None,
    }
    again = (await api(CANCEL, {"input": given}, caller=owner))["data"]["cancelDrop"]
    assert again == first, "the same key, the same answer"
    other = await api(CANCEL, {"input": given | {"idempotencyKey": "other"}}, caller=owner)
    assert other["data"]["cancelDrop"]["code"] == "DROP_NOT_CANCELLABLE"

    work = Work(api.resources.database, settings)
    for _ in range(2):
        await compensate_claimants.body(work, drop_id=str(drop.id))
    async with api.resources.database.read() as read:
        found = await points.balances_by_member(read, [caller.id])
        entries = await read.session.scalars(
            select(AuditEntry).where(
                AuditEntry.action == "cancelDrop", AuditEntry.subject_id == drop.id
            )
        )
        # What was sent again is written down too, as a change of nothing.
        (entry,) = [entry for entry in entries if entry.before]
    assert found[caller.id].points.balance == 50
    assert ((entry.before or {})["state"], (entry.after or {})["state"]) == ("OPEN", "CANCELLED")
    seen = await api(CANCELLATION, {"id": given["dropId"]}, caller=owner)
    assert seen["data"]["drop"]["cancellation"]["revoked"] == 1
    hidden = await api(CANCELLATION, {"id": given["dropId"]}, caller=caller)
    assert hidden["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"


async def test_what_was_left_is_taken_up_by_the_plan(
    api: Api, settings: Settings, clock: TestClock
) -> None:
    database = api.resources.database
    drop = await opened(api, stock=3)
    callers = [await member_of(api) for _ in range(2)]
    for caller in callers:
        await claim(api, drop.id, caller)
    async with database.begin() as tx:
        other = await make_coupons.batch(tx, quantity=3)
        await drops.cancel_drop(
            tx, drop_id=drop.id, reason="why", fate=drops.ClaimsFate.REVOKE, batch_id=other.id
        )
        await coupons.move_batch(tx, batch_id=other.id, to=coupons.BatchState.PAUSED)
    work = Work(database, settings)
    await compensate_claimants.body(work, drop_id=str(drop.id))
    async with database.begin() as tx:
        assert await drops.uncompensated(tx) == [drop.id]
        await coupons.move_batch(tx, batch_id=other.id, to=coupons.BatchState.ACTIVE)
    await tidy_drops.body(work, plan="drops", due_at=clock.now.isoformat())
    async with database.read() as read:
        assert await drops.uncompensated(read) == []
        batch = (await coupons.batches_by_id(read, [other.id]))[other.id]
    assert (batch.granted, batch.set_aside) == (2, 0)


async def test_closing_answers_its_key_again(api: Api, owner: StaffCaller) -> None:
    drop = await opened(api)
    given = {"id": global_id("Drop", drop.id), "key": "close"}
    for _ in range(2):
        answer = (await api(CLOSE, given, caller=owner))["data"]["closeDrop"]
        assert answer == {"drop": {"state": "CLOSED"}}
    other = await api(CLOSE, given | {"key": "again"}, caller=owner)
    assert other["data"]["closeDrop"]["code"] == "DROP_NOT_OPEN"


async def look(stream: AsyncIterator[Any]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        result = await anext(stream)
    assert not result.errors
    return result.data["dropUpdated"]["drop"]


@pytest.mark.parametrize("end", ["SOLD_OUT", "CLOSED", "CANCELLED", "CLOSED by staff"])
async def test_every_state_is_pushed(api: Api, relay: Relay, clock: TestClock, end: str) -> None:
    drop = await made(api, stock=1)
    caller = await member_of(api)
    database = api.resources.database
    given = {"id": global_id("Drop", drop.id)}
    async with aclosing(await api.subscribe(WATCH, given, caller=caller)) as stream:
        first = await look(stream)
        assert (first["state"], first["opensAt"]) == ("SCHEDULED", "2026-03-18T05:00:00Z")
        clock.now = drop.opens_at
        async with database.begin() as tx:
            assert await drops.open_due(tx) == [drop.id]
        await relay()
        assert (await look(stream))["state"] == "OPEN"
        async with database.begin() as tx:
            if end == "SOLD_OUT":
                await drops.claim(tx, drop_id=drop.id, member_id=caller.id)
            elif end == "CANCELLED":
                await drops.cancel_drop(tx, drop_id=drop.id, reason="why")
            elif end == "CLOSED by staff":
                await drops.close_drop(tx, drop_id=drop.id)
            else:
                clock.now = drop.closes_at
                tx.now = clock.now
                assert await drops.close_due(tx) == [drop.id]
        await relay()
        assert (await look(stream))["state"] == end.split()[0]


async def test_a_sale_is_shown_at_most_five_times_a_second_and_to_its_end(
    api: Api, relay: Relay
) -> None:
    """Claims go on for more than a second, each committed and relayed by itself."""
    count = 60
    drop = await opened(api, stock=count)
    ids = await members(api.resources.database, count)
    watcher = await member_of(api)
    seen: list[tuple[float, int]] = []
    still: list[float] = []
    loop = asyncio.get_running_loop()
    given = {"id": global_id("Drop", drop.id)}
    async with aclosing(await api.subscribe(WATCH, given, caller=watcher)) as stream:
        await look(stream)

        async def watch() -> None:
            while not seen or seen[-1][1]:
                shown = await look(stream)
                seen.append((loop.time(), shown["remaining"]))

        async def stand_still() -> None:
            while True:
                asleep = loop.time()
                await asyncio.sleep(0.005)
                still.append(loop.time() - asleep)

        watching, standing = asyncio.create_task(watch()), asyncio.create_task(stand_still())
        begun = loop.time()
        for one in ids:
            await claim(api, drop.id, MemberCaller(one, uuid4()))
            await relay()
            await asyncio.sleep(1.5 / count)
        await watching
        standing.cancel()
    left = [remaining for _, remaining in seen]
    assert left == sorted(set(left), reverse=True), "never back, never twice"
    assert left[-1] == 0, "the end is always shown"
    instants = [at for at, _ in seen]
    span = instants[-1] - begun
    assert len(seen) >= 5, "it is shown while it goes"
    assert len(seen) <= 5 * span + 2
    # Any six in a row take a second, but for what the first of them was delayed by.
    gaps = [later - earlier for earlier, later in zip(instants, instants[5:], strict=False)]
    assert all(gap > 0.95 - max(still) for gap in gaps), (gaps, max(still))


async def test_the_opening_is_told_at_the_first_look_after_its_hour(
    database: Database, schema_ready: str
) -> None:
    """A scheduler with its own pace of a second, and the machine's clock."""
    here = Database(schema_ready, pool_size=3)
    stop = asyncio.Event()
    running: asyncio.Task[None] | None = None
    looks: list[datetime] = []

    async def look(tx: Tx) -> None:
        looks.append(tx.now)
        await drops.open_due(tx)

    try:
        opens_at = datetime.now(UTC) + timedelta(seconds=1.3)
        async with here.begin() as tx:
            drop = await make.drop(tx, opens_in=opens_at - tx.now)
        scheduler = Scheduler(here, plans=(), ticks=(look,), zone="Asia/Shanghai")
        running = asyncio.create_task(scheduler.run(stop))
        told = None
        async with asyncio.timeout(60):
            while told is None:
                await asyncio.sleep(0.02)
                async with here.read() as read:
                    told = await read.session.scalar(
                        select(OutboxRow).where(OutboxRow.kind == drops.DropOpened.kind)
                    )
        assert TICK_SECONDS == 1
        assert told.at == min(at for at in looks if at >= drop.opens_at)
        assert told.payload["state"] == "OPEN"
    finally:
        stop.set()
        if running is not None:
            await running
        await here.close()


async def test_windows_of_a_drop_are_read_with_it(api: Api, clock: TestClock) -> None:
    drop = await made(api, early=[Window(2, clock.now, 4)])
    caller = await member_of(api)
    seen = await api(MINE, {"id": global_id("Drop", drop.id)}, caller=caller)
    assert seen["data"]["drop"]["earlyAccess"] == [{"rank": 2, "stock": 4}]
