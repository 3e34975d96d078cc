"""Merging over the API: by support, and by a member who proves both identities."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, text

from app import members
from app.kernel.auth import MemberCaller, Role, StaffCaller
from app.kernel.db import Database
from app.staff import AuditEntry, words_by_entry
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import members as make_members
from tests.make import points as make_points

PHONE = "13812345678"
MERGE = """
mutation ($input: MergeMembersInput!) { mergeMembers(input: $input) {
  __typename ... on MergeMembersSuccess { member { id points { balance } } moves { what rows } }
  ... on UserError { code message } } }
"""
PREVIEW = """
query ($a: ID!, $b: ID!) { previewMerge(survivorId: $a, mergedId: $b) {
  survivor { points } merged { points orders tier } after { points coupons identities }
  moves { what rows } } }
"""
CONNECT = """
mutation ($phone: String!, $code: String!) {
  connectPhone(input: {phone: $phone, code: $code}) {
    __typename
    ... on ConnectPhoneSuccess { member { id } offer { token endsAt nickname } }
    ... on UserError { code } } }
"""
YES = """
mutation ($offer: String!, $key: String!) {
  mergeMyAccounts(input: {offer: $offer, idempotencyKey: $key}) {
    __typename
    ... on MergeMyAccountsSuccess { member { id points { balance } } }
    ... on UserError { code message } } }
"""
ASK = """
mutation ($phone: String!) { requestPhoneCode(input: {phone: $phone}) {
  ... on RequestPhoneCodeSuccess { developmentCode } ... on UserError { code } } }
"""

SUPPORT = StaffCaller(uuid4(), uuid4(), Role.SUPPORT)


async def two(database: Database) -> tuple[UUID, UUID]:
    async with database.begin() as tx:
        one, two = await make_members.member(tx), await make_members.member(tx)
        await make_points.lot(tx, member_id=one.id, amount=30, subject="a")
        await make_points.lot(tx, member_id=two.id, amount=12, subject="a")
        return one.id, two.id


def given(survivor: UUID, merged: UUID, key: str = "k", reason: str = "同一人") -> dict[str, Any]:
    return {
        "input": {
            "survivorId": global_id("Member", survivor),
            "mergedId": global_id("Member", merged),
            "reason": reason,
            "idempotencyKey": key,
        }
    }


async def test_support_previews_and_merges_once_and_it_is_audited(
    api: Api, database: Database
) -> None:
    gone, stays = await two(database)
    ids = {"a": global_id("Member", stays), "b": global_id("Member", gone)}
    told = (await api(PREVIEW, ids, caller=SUPPORT))["data"]["previewMerge"]
    assert (told["survivor"]["points"], told["merged"]["points"]) == (12, 30)
    assert told["after"]["points"] == 42

    answers = await asyncio.gather(
        *(api(MERGE, given(stays, gone), caller=SUPPORT) for _ in range(10))
    )
    firsts = [answer["data"]["mergeMembers"] for answer in answers]
    assert {item["__typename"] for item in firsts} == {"MergeMembersSuccess"}
    assert firsts[0]["member"]["points"]["balance"] == 42
    again = (await api(MERGE, given(stays, gone, "other"), caller=SUPPORT))["data"]["mergeMembers"]
    assert again["code"] == "ALREADY_MERGED"
    async with database.read() as read:
        log = list(
            await read.session.scalars(
                select(AuditEntry).where(
                    AuditEntry.action == "mergeMembers", AuditEntry.after.is_not(None)
                )
            )
        )
    changed = [entry for entry in log if entry.after and entry.after.get("status") == "CLOSED"]
    assert len(changed) == 1
    assert changed[0].subject_id == gone
    assert (changed[0].after or {})["merged_into"] == str(stays)
    async with database.read() as read:
        words = await words_by_entry(read, [changed[0].id])
    assert words[changed[0].id].given == {"reason": "同一人"}


async def test_old_ids_lead_to_the_survivor(api: Api, database: Database) -> None:
    gone, stays = await two(database)
    await api(MERGE, given(stays, gone), caller=SUPPORT)
    for document in ("{ member(id: $id) { id } }", "{ node(id: $id) { id } }"):
        answer = await api(
            f"query ($id: ID!) {document}", {"id": global_id("Member", gone)}, caller=SUPPORT
        )
        assert next(iter(answer["data"].values()))["id"] == global_id("Member", stays)


async def test_refusals_are_typed_in_both_languages(api: Api, database: Database) -> None:
    gone, stays = await two(database)
    cases = {
        "SAME_MEMBER": given(stays, stays),
        "MEMBER_NOT_FOUND": given(stays, uuid4()),
        "REASON_NEEDED": given(stays, gone, reason=" "),
        "INVALID_INPUT": given(stays, gone, key=""),
    }
    for code, variables in cases.items():
        said: set[str] = set()
        for locale in ("zh-CN", "en"):
            answer = await api(MERGE, variables, caller=SUPPORT, locale=locale)
            assert answer["data"]["mergeMembers"]["code"] == code
            said.add(answer["data"]["mergeMembers"]["message"])
        assert len(said) == 2


async def code_for(api: Api, phone: str = PHONE) -> str:
    answer = await api(ASK, {"phone": phone})
    return answer["data"]["requestPhoneCode"]["developmentCode"]


async def test_a_member_connects_a_phone_that_nobody_has(api: Api, database: Database) -> None:
    me, _ = await two(database)
    caller = MemberCaller(me, uuid4())
    variables = {"phone": PHONE, "code": await code_for(api)}
    answer = (await api(CONNECT, variables, caller=caller))["data"]["connectPhone"]
    assert answer["offer"] is None
    async with database.begin() as tx:
        found = await members.sign_in_by_phone(tx, vault=api.resources.vault, phone=PHONE)
        assert found.id == me
    again = (await api(CONNECT, variables, caller=caller))["data"]["connectPhone"]
    assert again["code"] == "CODE_REFUSED"


async def test_a_member_who_proves_both_merges_their_accounts(
    api: Api, database: Database, clock: TestClock
) -> None:
    me, other = await two(database)
    async with database.begin() as tx:
        await members.link_phone(tx, vault=api.resources.vault, member_id=other, phone=PHONE)
    caller, thief = MemberCaller(me, uuid4()), MemberCaller(other, uuid4())
    variables = {"phone": PHONE, "code": await code_for(api)}
    offer = (await api(CONNECT, variables, caller=caller))["data"]["connectPhone"]["offer"]
    assert offer["nickname"] == "李阿姨"
    yes = {"offer": offer["token"], "key": "one"}
    for wrong in ({**yes, "offer": "x"}, {**yes, "offer": offer["token"][:-4] + "AAAA"}):
        answer = await api(YES, wrong, caller=caller)
        assert answer["data"]["mergeMyAccounts"]["code"] == "OFFER_ENDED"
    answer = await api(YES, yes, caller=thief)
    assert answer["data"]["mergeMyAccounts"]["code"] == "OFFER_ENDED", "it is not theirs"

    answers = await asyncio.gather(*(api(YES, yes, caller=caller) for _ in range(10)))
    done = [item["data"]["mergeMyAccounts"] for item in answers]
    assert {item["__typename"] for item in done} == {"MergeMyAccountsSuccess"}
    assert {item["member"]["points"]["balance"] for item in done} == {42}
    async with database.read() as read:
        trail = (await read.session.execute(text("SELECT * FROM member_merge"))).one()
    assert (trail.actor_kind, trail.actor_id, trail.merged_id) == ("member", me, other)
    clock.advance(minutes=11)
    late = (await api(YES, {**yes, "key": "two"}, caller=caller))["data"]["mergeMyAccounts"]
    assert late["code"] == "OFFER_ENDED"
