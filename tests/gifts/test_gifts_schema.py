"""Packs, gifts and birthdays as clients see them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app import coupons, gifts, staff
from app.gifts import ItemDraft, PackOnce
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.clock import day_start
from app.kernel.db import Database
from app.segments import SilenceEpisode
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import coupons as make_coupons
from tests.make import gifts as make
from tests.make.members import member

CLAIM = """mutation($input: ClaimPackInput!) { claimPack(input: $input) {
  __typename ... on UserError { code }
  ... on ClaimPackSuccess { claim { pack { remaining } parts {
    status unlocksAt coupon { status } item { position unlock day points template { name } } } } }
} }"""
HOLD = """mutation($input: HoldGiftInput!) { holdGift(input: $input) {
  __typename ... on UserError { code }
  ... on HoldGiftSuccess { hold { id status expiresAt offer { left priceFen } } }
} }"""
TAKE = """mutation($input: TakeGiftInput!) { takeGift(input: $input) {
  __typename ... on UserError { code } ... on TakeGiftSuccess { hold { status orderRef } } } }"""
RELEASE = """mutation($input: ReleaseGiftInput!) { releaseGift(input: $input) {
  __typename ... on UserError { code } ... on ReleaseGiftSuccess { hold { status } } } }"""
BIRTHDAY = """mutation($input: SetBirthdayInput!) { setBirthday(input: $input) {
  __typename ... on UserError { code message }
  ... on SetBirthdaySuccess { birthday { nextOn mayChange countsFromCycle } } } }"""


async def ask(api: Api, document: str, caller: object, **given: Any) -> dict[str, Any]:
    """The mutation's one answer."""
    answer = await api(document, {"input": given}, caller=caller)  # pyright: ignore[reportArgumentType]
    assert "errors" not in answer, answer
    (found,) = answer["data"].values()
    return found


async def people(database: Database, count: int) -> list[UUID]:
    async with database.begin() as tx:
        return [(await member(tx)).id for _ in range(count)]


async def test_a_returning_member_claims_a_pack_and_sees_it(
    api: Api, database: Database, clock: TestClock, as_member: Callable[[UUID], MemberCaller]
) -> None:
    (one,) = await people(database, 1)
    async with database.begin() as tx:
        pack = await make.pack(tx, once=PackOnce.PER_EPISODE)
    key = global_id("Pack", pack.id)
    given = {"packId": key, "idempotencyKey": "tap"}
    refused = await ask(api, CLAIM, as_member(one), **given)
    assert refused["code"] == "PACK_FOR_RETURNING"
    async with database.begin() as tx:
        tx.session.add(
            SilenceEpisode(
                member_id=one, id=tx.new_id(), silent_from=clock.now - timedelta(days=40)
            )
        )
    first = await ask(api, CLAIM, as_member(one), **given)
    assert first["claim"]["pack"]["remaining"] == 9
    coupon, waits, points = first["claim"]["parts"]
    assert (coupon["status"], coupon["coupon"]) == ("GIVEN", {"status": "ACTIVE"})
    assert (waits["status"], waits["unlocksAt"]) == ("LOCKED", None)
    assert waits["item"]["unlock"] == "WHEN_PREVIOUS_REDEEMED"
    assert (points["unlocksAt"], points["item"]["points"]) == ("2026-03-19T16:00:00Z", 50)
    assert await ask(api, CLAIM, as_member(one), **given) == first, "the same key, the same answer"
    again = await ask(api, CLAIM, as_member(one), **given | {"idempotencyKey": "other"})
    assert again["code"] == "PACK_ALREADY_CLAIMED"
    seen = await api(
        "{ me { packs { nodes { claimedAt pack { title items { position } } } } }"
        " packs { nodes { title remaining } } }",
        caller=as_member(one),
    )
    (mine,) = seen["data"]["me"]["packs"]["nodes"]
    assert mine["pack"]["title"] == "回归礼包"
    assert [item["position"] for item in mine["pack"]["items"]] == [1, 2, 3]
    assert seen["data"]["packs"]["nodes"] == [{"title": "回归礼包", "remaining": 9}]


async def test_fifty_claim_twice_each_with_the_same_key(
    api: Api, database: Database, as_member: Callable[[UUID], MemberCaller]
) -> None:
    ids = await people(database, 50)
    async with database.begin() as tx:
        pack = await make.pack(tx, stock=20)
    key = global_id("Pack", pack.id)

    async def tap(one: UUID) -> dict[str, Any]:
        return await ask(api, CLAIM, as_member(one), packId=key, idempotencyKey="tap")

    answers = await asyncio.gather(*(tap(one) for one in ids for _ in range(2)))
    won = [answer["__typename"] == "ClaimPackSuccess" for answer in answers]
    assert won[::2] == won[1::2], "both taps of a key hear the same"
    assert sum(won) == 40
    assert {a["code"] for a in answers if "code" in a} == {"PACK_SOLD_OUT"}
    async with database.read() as read:
        count = await read.session.scalar(select(func.count()).select_from(coupons.Coupon))
    assert count == 20


async def test_fifty_hold_twice_each_with_the_same_key(
    api: Api, database: Database, as_member: Callable[[UUID], MemberCaller]
) -> None:
    ids = await people(database, 50)
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=20)
    key = global_id("GiftOffer", offer.id)

    async def tap(one: UUID) -> str:
        answer = await ask(api, HOLD, as_member(one), offerId=key, idempotencyKey="tap")
        return answer["code"] if "code" in answer else answer["hold"]["id"]

    answers = await asyncio.gather(*(tap(one) for one in ids for _ in range(2)))
    assert answers[::2] == answers[1::2]
    held = {answer for answer in answers if answer != "GIFT_OUT_OF_STOCK"}
    assert len(held) == 20
    async with database.read() as read:
        now = (await gifts.offers_by_id(read, [offer.id]))[offer.id]
    assert (now.held, now.taken) == (20, 0)


async def test_a_gift_is_held_seen_taken_and_released(
    api: Api, database: Database, clock: TestClock, as_member: Callable[[UUID], MemberCaller]
) -> None:
    one, two = await people(database, 2)
    async with database.begin() as tx:
        offer = await make.offer(tx, stock=2)
    key = global_id("GiftOffer", offer.id)
    mine = await ask(api, HOLD, as_member(one), offerId=key, idempotencyKey="a")
    assert mine["hold"]["offer"] == {"left": 1, "priceFen": 100}
    theirs = await ask(api, HOLD, as_member(two), offerId=key, idempotencyKey="a")
    hold, other = mine["hold"]["id"], theirs["hold"]["id"]
    stolen = await ask(api, TAKE, as_member(two), holdId=hold, orderRef="7", idempotencyKey="theft")
    assert stolen["code"] == "HOLD_NOT_FOUND"
    given = {"holdId": hold, "orderRef": "order-7", "idempotencyKey": "take"}
    taken = await ask(api, TAKE, as_member(one), **given)
    assert taken["hold"] == {"status": "TAKEN", "orderRef": "order-7"}
    assert await ask(api, TAKE, as_member(one), **given) == taken
    free = await ask(api, RELEASE, as_member(two), holdId=other, idempotencyKey="r")
    assert free["hold"]["status"] == "RELEASED"
    again = await ask(api, HOLD, as_member(two), offerId=key, idempotencyKey="b")
    clock.advance(hours=24)
    seen = await api(
        "{ me { gifts { nodes { id status } } } giftOffers { nodes { left } } }",
        caller=as_member(two),
    )
    states = {node["id"]: node["status"] for node in seen["data"]["me"]["gifts"]["nodes"]}
    assert states == {other: "RELEASED", again["hold"]["id"]: "EXPIRED"}
    assert seen["data"]["giftOffers"]["nodes"] == [{"left": 1}]


async def test_a_birthday_is_told_and_changed_once(
    api: Api, database: Database, as_member: Callable[[UUID], MemberCaller]
) -> None:
    (one,) = await people(database, 1)
    me = as_member(one)
    lunar = {"calendar": "LUNAR", "month": 11, "day": 20}
    told = await ask(api, BIRTHDAY, me, **lunar)
    expected = {"nextOn": "2026-12-28", "mayChange": True, "countsFromCycle": None}
    assert told["birthday"] == expected
    assert (await ask(api, BIRTHDAY, me, **lunar))["birthday"] == expected
    changed = await ask(api, BIRTHDAY, me, calendar="SOLAR", month=2, day=29, feb29="MAR1")
    assert changed["birthday"] == {
        "nextOn": "2026-12-28",
        "mayChange": False,
        "countsFromCycle": 2027,
    }
    refused = await ask(api, BIRTHDAY, me, **lunar)
    assert refused["code"] == "BIRTHDAY_CHANGED_ALREADY"
    odd = await ask(api, BIRTHDAY, me, calendar="SOLAR", month=2, day=30)
    assert odd["code"] == "INVALID_INPUT"
    seen = await api("{ me { birthday { calendar month day feb29 } } }", caller=me)
    assert seen["data"]["me"]["birthday"] == {
        "calendar": "SOLAR",
        "month": 2,
        "day": 29,
        "feb29": "MAR1",
    }


async def test_staff_make_packs_and_every_step_is_audited(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        offer = await make.offer(tx)
    made = await ask(
        api,
        "mutation($input: CreatePackInput!) { createPack(input: $input) { __typename"
        " ... on UserError { code message }"
        " ... on CreatePackSuccess { pack { id status items { gift { sku } } } } } }",
        owner,
        title="回归礼包",
        stock=3,
        items=[
            {"batchId": global_id("CouponBatch", batch.id)},
            {"unlock": "WHEN_PREVIOUS_REDEEMED", "offerId": global_id("GiftOffer", offer.id)},
            {"unlock": "DAY_N", "day": 7, "points": 20},
        ],
        idempotencyKey="make",
    )
    pack = made["pack"]
    assert pack["status"] == "DRAFT"
    assert [item["gift"] for item in pack["items"]] == [None, {"sku": "EGGS"}, None]
    for verb, status in (("open", "OPEN"), ("close", "CLOSED")):
        name = verb.capitalize() + "Pack"
        document = (
            f"mutation($input: {name}Input!) {{ {verb}Pack(input: $input) {{ __typename"
            f" ... on {name}Success {{ pack {{ status }} }} }} }}"
        )
        for _ in range(2):
            moved = await ask(api, document, owner, packId=pack["id"], idempotencyKey=verb)
            assert moved["pack"]["status"] == status
    async with database.read() as read:
        entries = await staff.audit_page(read, first=10)
        now = (await gifts.offers_by_id(read, [offer.id]))[offer.id]
    changes = {entry.action: (entry.before, entry.after) for entry in reversed(entries)}
    assert set(changes) == {"createPack", "openPack", "closePack"}
    states = [
        [side and side["state"] for side in changes[action] if side and "state" in side]
        for action in ("createPack",)
    ]
    assert states == [["DRAFT"]]
    assert now.promised == 0


async def test_staff_plan_what_an_occasion_brings(
    api: Api,
    database: Database,
    clock: TestClock,
    owner: StaffCaller,
    as_member: Callable[[UUID], MemberCaller],
) -> None:
    (one,) = await people(database, 1)
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
    added = await ask(
        api,
        "mutation($input: AddFestivalInput!) { addFestival(input: $input) {"
        " ... on UserError { code } ... on AddFestivalSuccess { festival { nextOn name } } } }",
        owner,
        code="LABA",
        nameZh="腊八",
        nameEn="Laba",
        calendar="LUNAR",
        month=12,
        day=8,
        idempotencyKey="laba",
    )
    assert added["festival"] == {"nextOn": "2027-01-15", "name": "Laba"}
    document = (
        "mutation($input: SetOccasionGiftInput!) { setOccasionGift(input: $input) {"
        " ... on UserError { code } ... on SetOccasionGiftSuccess { gift { occasion tier } } } }"
    )
    key = global_id("CouponBatch", batch.id)
    for _ in range(2):
        planned = await ask(api, document, owner, occasion="LABA", batchId=key)
        assert planned["gift"] == {"occasion": "LABA", "tier": None}
    odd = await ask(api, document, owner, occasion="NEVER", batchId=key)
    assert odd["code"] == "OCCASION_NOT_FOUND"
    seen = await api("{ occasionGifts { occasion batch { quantity } } }", caller=owner)
    assert seen["data"]["occasionGifts"] == [{"occasion": "LABA", "batch": {"quantity": 100}}]
    clock.now = day_start(date(2027, 1, 15))
    async with database.begin() as tx:
        await gifts.give_occasions(tx)
    home = await api(
        "{ me { coupons { nodes { status } } } festivals { code nextOn } }", caller=as_member(one)
    )
    assert home["data"]["me"]["coupons"]["nodes"] == [{"status": "ACTIVE"}]
    days = {item["code"]: item["nextOn"] for item in home["data"]["festivals"]}
    assert (days["LABA"], days["SPRING_FESTIVAL"]) == ("2027-01-15", "2027-02-06")


async def test_drafts_are_for_staff(
    api: Api, database: Database, owner: StaffCaller, as_member: Callable[[UUID], MemberCaller]
) -> None:
    (one,) = await people(database, 1)
    async with database.begin() as tx:
        draft = await make.pack(tx, items=[ItemDraft(points=1)], opened=False)
    document = (
        '{ packs(status: DRAFT) { nodes { id } } node(id: "'
        + global_id("Pack", draft.id)
        + '") { id } }'
    )
    hidden = await api(document, caller=as_member(one))
    assert hidden["data"] == {"packs": {"nodes": []}, "node": None}
    shown = await api(document, caller=owner)
    assert shown["data"]["node"] is not None
    assert len(shown["data"]["packs"]["nodes"]) == 1


async def test_a_change_of_an_occasion_s_gift_is_audited_with_before_and_after(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    async with database.begin() as tx:
        batches = [(await make_coupons.batch(tx)).id for _ in range(2)]
    document = (
        "mutation($input: SetOccasionGiftInput!) { setOccasionGift(input: $input) {"
        " ... on UserError { code } ... on SetOccasionGiftSuccess {"
        " gift { batch { id } } } } }"
    )
    first, second = (global_id("CouponBatch", batch) for batch in batches)
    set_to = {"occasion": "BIRTHDAY", "idempotencyKey": "one"}
    for _ in range(2):
        done = await ask(api, document, owner, **set_to, batchId=first)
        assert done["gift"]["batch"]["id"] == first
    again = await ask(api, document, owner, **set_to, batchId=second)
    assert again["code"] == "IDEMPOTENCY_KEY_REUSED"
    await ask(api, document, owner, occasion="BIRTHDAY", batchId=second, idempotencyKey="two")
    late = await ask(api, document, owner, **set_to, batchId=first)
    assert late["gift"]["batch"]["id"] == first, "the answer of its time, nothing is set back"
    ended = await ask(api, document, owner, occasion="BIRTHDAY", idempotencyKey="three")
    assert ended["gift"] is None
    log = "{ auditLog(first: 9) { nodes { action before after } } }"
    nodes = (await api(log, caller=owner))["data"]["auditLog"]["nodes"]
    seen = Counter(
        tuple((part or {}).get("batch_id") for part in (entry["before"], entry["after"]))
        for entry in nodes
    )
    one, two = (str(batch) for batch in batches)
    assert seen == {(None, one): 1, (one, two): 1, (two, None): 1, (None, None): 2}


async def test_a_birthday_told_twice_with_a_key_is_told_once(
    api: Api, database: Database, clock: TestClock, as_member: Callable[[UUID], MemberCaller]
) -> None:
    (one,) = await people(database, 1)
    caller = as_member(one)
    told = {"calendar": "SOLAR", "month": 5, "day": 7, "idempotencyKey": "tap"}
    first = await ask(api, BIRTHDAY, caller, **told)
    changed = {**told, "day": 8, "idempotencyKey": "second thoughts"}
    await ask(api, BIRTHDAY, caller, **changed)
    late = await ask(api, BIRTHDAY, caller, **told)
    assert late["__typename"] == "SetBirthdaySuccess", "no third change, which would be refused"
    assert late["birthday"]["mayChange"] is False
    assert first["birthday"]["mayChange"] is True
    odd = await ask(api, BIRTHDAY, caller, **{**told, "day": 9})
    assert odd["code"] == "IDEMPOTENCY_KEY_REUSED"
