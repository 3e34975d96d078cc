"""Leaving over the API: copies fetched with the member's own token, closing, freezing."""

import asyncio
import io
import json
import zipfile
from typing import Any
from uuid import UUID

import httpx2
from redis.asyncio import Redis

from app import leaving, members
from app.kernel.auth import MemberCaller, Role, StaffCaller, open_session
from app.kernel.db import Database
from app.main import Parts, create_app
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import members as make_members

PHONE = "13812345678"
EXPORT = """
mutation ($key: String!) { exportMyData(input: {idempotencyKey: $key}) {
  __typename ... on ExportMyDataSuccess { export { id state downloadPath } }
  ... on UserError { code } } }
"""
MINE = "{ myDataExport { state downloadPath bytes endsAt } }"
ASK = """
mutation ($phone: String!) { requestPhoneCode(input: {phone: $phone}) {
  ... on RequestPhoneCodeSuccess { developmentCode } ... on UserError { code } } }
"""
CLOSE = """
mutation ($phone: String, $code: String) { closeMyAccount(input: {phone: $phone, code: $code}) {
  __typename ... on CloseMyAccountSuccess { eraseAt } ... on UserError { code } } }
"""
KEEP = """
mutation { keepMyAccount(input: {}) {
  __typename ... on KeepMyAccountSuccess { member { closingAt } } ... on UserError { code } } }
"""
FREEZE = """
mutation ($id: ID!) { freezeMember(input: {memberId: $id, reason: "盗号"}) {
  ... on FreezeMemberSuccess { member { status } } ... on UserError { code } } }
"""
THAW = FREEZE.replace("freezeMember", "unfreezeMember").replace("FreezeM", "UnfreezeM")
LOGIN = """
mutation ($phone: String!, $code: String!) { loginWithPhone(input: {phone: $phone, code: $code}) {
  __typename ... on MemberSession { member { id status } } ... on UserError { code } } }
"""
CHECK_IN = "mutation { checkIn(input: {}) { __typename ... on UserError { code } } }"


async def someone(api: Api, database: Database) -> tuple[MemberCaller, str]:
    """A member with a phone, and the access token of their session."""
    async with database.begin() as tx:
        one = await make_members.member(tx)
        await members.link_phone(tx, vault=api.resources.vault, member_id=one.id, phone=PHONE)
        pair = await open_session(tx, kind="member", subject_id=one.id)
    caller = MemberCaller(one.id, pair.session_id)
    return caller, api.resources.tokens.sign(caller, database.clock())


async def fetch(api: Api, redis: Redis, path: str, token: str | None) -> httpx2.Response:
    app: Any = create_app(api.resources.settings, Parts(api.resources, redis))
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://linli"
    ) as client:
        return await client.get(path, headers=headers)


async def test_a_copy_is_fetched_by_its_member_alone(
    api: Api, database: Database, redis: Redis, clock: TestClock
) -> None:
    me, token = await someone(api, database)
    async with database.begin() as tx:
        stranger = (await make_members.member(tx)).id
        pair = await open_session(tx, kind="member", subject_id=stranger)
    thief = api.resources.tokens.sign(MemberCaller(stranger, pair.session_id), clock.now)
    answers = await asyncio.gather(*(api(EXPORT, {"key": "k"}, caller=me) for _ in range(10)))
    assert all(answer.get("data") for answer in answers), answers
    asked = [answer["data"]["exportMyData"]["export"] for answer in answers]
    assert len({item["id"] for item in asked}) == 1
    assert asked[0]["downloadPath"] is None
    again = (await api(EXPORT, {"key": "other"}, caller=me))["data"]["exportMyData"]
    assert again["code"] == "EXPORT_UNDER_WAY"

    async with database.begin() as tx, database.read() as read:
        row = (await leaving.newest_by_member(read, [me.id]))[me.id]
        await leaving.make_export(
            tx, read, vault=api.resources.vault, member_id=me.id, export_id=row.id
        )
    mine = (await api(MINE, caller=me))["data"]["myDataExport"]
    assert mine["state"] == "READY"
    path = mine["downloadPath"]
    assert (await fetch(api, redis, path, None)).status_code == 401
    assert (await fetch(api, redis, path, thief)).status_code == 404
    assert (await fetch(api, redis, "/exports/x", token)).status_code == 404
    found = await fetch(api, redis, path, token)
    assert found.status_code == 200
    assert found.headers["cache-control"] == "no-store"
    assert len(found.content) == mine["bytes"]
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        told = json.loads(archive.read("linli.json"))
    assert told["member"] == str(me.id)

    clock.advance(hours=48)
    fresh = api.resources.tokens.sign(me, clock.now)
    assert (await fetch(api, redis, path, fresh)).status_code == 404


async def code_for(api: Api) -> str:
    answer = await api(ASK, {"phone": PHONE})
    return answer["data"]["requestPhoneCode"]["developmentCode"]


async def test_closing_is_confirmed_and_can_be_taken_back(
    api: Api, database: Database, clock: TestClock
) -> None:
    me, _ = await someone(api, database)
    assert (await api(KEEP, caller=me))["data"]["keepMyAccount"]["code"] == "NOT_CLOSING"
    missing = (await api(CLOSE, {}, caller=me))["data"]["closeMyAccount"]
    assert missing["code"] == "INVALID_INPUT"
    wrong = (await api(CLOSE, {"phone": PHONE, "code": "000000"}, caller=me))["data"]
    assert wrong["closeMyAccount"]["code"] == "CODE_REFUSED"
    async with database.begin() as tx:
        other = MemberCaller((await make_members.member(tx)).id, me.session_id)
    given = {"phone": PHONE, "code": await code_for(api)}
    answer = (await api(CLOSE, given, caller=other))["data"]["closeMyAccount"]
    assert answer["code"] == "NOT_YOUR_IDENTITY"
    clock.advance(minutes=2)
    given = {"phone": PHONE, "code": await code_for(api)}
    closed = (await api(CLOSE, given, caller=me))["data"]["closeMyAccount"]
    # Asked on Wednesday 18 March at noon: the seventh business day is Tuesday 24 March.
    assert closed["eraseAt"].startswith("2026-03-24T16:00:00")
    seen = (await api("{ me { closingAt } }", caller=me))["data"]["me"]
    assert seen["closingAt"] == closed["eraseAt"]
    kept = (await api(KEEP, caller=me))["data"]["keepMyAccount"]
    assert kept["member"] == {"closingAt": None}


async def test_staff_freeze_and_the_frozen_look(
    api: Api, database: Database, clock: TestClock
) -> None:
    me, token = await someone(api, database)
    support = StaffCaller(UUID(int=5), UUID(int=6), Role.SUPPORT)
    given = {"id": global_id("Member", me.id)}
    told = (await api(FREEZE, given, caller=support))["data"]["freezeMember"]
    assert told["member"]["status"] == "FROZEN"
    assert (await api.resources.callers.of_token(token)) != me, "the session has ended"
    login = {"phone": PHONE, "code": await code_for(api)}
    back = (await api(LOGIN, login))["data"]["loginWithPhone"]
    assert back["member"]["status"] == "FROZEN"
    assert (await api(CHECK_IN, caller=me))["data"]["checkIn"]["code"] == "MEMBER_NOT_ACTIVE"
    told = (await api(THAW, given, caller=support))["data"]["unfreezeMember"]
    assert told["member"]["status"] == "ACTIVE"
    assert (await api(CHECK_IN, caller=me))["data"]["checkIn"]["__typename"] == "CheckInSuccess"
    clock.advance(minutes=1)
