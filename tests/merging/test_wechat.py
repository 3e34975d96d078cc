"""WeChat accounts over the fake WeChat: connected, merged, and closing an account by one."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select, text
from starlette.applications import Starlette

from app import leaving, members
from app.kernel.auth import MemberCaller, Role, StaffCaller
from app.kernel.db import Database
from app.members import Identity, IdentityKind
from app.points.tables import InvitedIdentity
from app.wechat import fake_routes
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import members as make
from tests.make import points as make_points

PHONE = "13812345678"
ERROR = "... on UserError { code message }"
CONNECT = f"""mutation($input: ConnectWechatInput!) {{ connectWechat(input: $input) {{
  ... on ConnectWechatSuccess {{ member {{ id }} offer {{ token nickname }} }} {ERROR} }} }}"""
CONNECT_PHONE = f"""mutation($input: ConnectPhoneInput!) {{ connectPhone(input: $input) {{
  ... on ConnectPhoneSuccess {{ member {{ id }} offer {{ token }} }} {ERROR} }} }}"""
YES = f"""mutation($input: MergeMyAccountsInput!) {{ mergeMyAccounts(input: $input) {{
  ... on MergeMyAccountsSuccess {{ member {{ id points {{ balance }} }} }} {ERROR} }} }}"""
CLOSE = f"""mutation($input: CloseMyAccountInput!) {{ closeMyAccount(input: $input) {{
  ... on CloseMyAccountSuccess {{ eraseAt }} {ERROR} }} }}"""
KEEP = f"""mutation($input: KeepMyAccountInput!) {{ keepMyAccount(input: $input) {{
  ... on KeepMyAccountSuccess {{ member {{ id }} }} {ERROR} }} }}"""
FREEZE = f"""mutation($input: FreezeMemberInput!) {{ freezeMember(input: $input) {{
  ... on FreezeMemberSuccess {{ member {{ status }} }} {ERROR} }} }}"""
THAW = FREEZE.replace("freezeM", "unfreezeM").replace("FreezeM", "UnfreezeM")
ASK = """mutation($phone: String!) { requestPhoneCode(input: {phone: $phone}) {
  ... on RequestPhoneCodeSuccess { developmentCode } ... on UserError { code } } }"""


@pytest.fixture
async def wechat(api: Api) -> Api:
    """The API with the built-in WeChat behind it, spoken to over HTTP without a port."""
    client = api.resources.wechat
    await client.close()
    client._client = httpx2.AsyncClient(  # pyright: ignore[reportPrivateUsage]
        transport=httpx2.ASGITransport(app=Starlette(routes=fake_routes())),
        base_url="http://wechat/dev/wechat",
    )
    return api


async def act(api: Api, caller: Any, document: str, **given: Any) -> dict[str, Any]:
    answer = await api(document, {"input": given}, caller=caller)
    assert "errors" not in answer, answer
    [found] = answer["data"].values()
    return found


async def person(database: Database, points: int = 0) -> MemberCaller:
    async with database.begin() as tx:
        one = (await make.member(tx)).id
        if points:
            await make_points.lot(tx, member_id=one, amount=points, subject=str(one))
    return MemberCaller(one, uuid4())


async def link(api: Api, who: MemberCaller, openid: str) -> None:
    wechat = api.resources.wechat
    async with api.resources.database.begin() as tx:
        row = await tx.session.get_one(members.Member, who.id)
        await members.link(
            tx,
            vault=api.resources.vault,
            member=row,
            kind=IdentityKind.WECHAT_OPENID,
            app=wechat.app_id,
            value=openid,
        )


async def count(database: Database, query: Any) -> int:
    async with database.read() as read:
        return await read.session.scalar(query) or 0


async def test_a_free_account_is_connected_and_a_bad_code_is_refused(
    wechat: Api, database: Database
) -> None:
    me = await person(database)
    refused = await act(wechat, me, CONNECT, code="nonsense")
    assert refused["code"] == "WECHAT_REFUSED"
    for _ in range(2):
        done = await act(wechat, me, CONNECT, code="dev-lihua")
        assert done == {"member": {"id": global_id("Member", me.id)}, "offer": None}
    assert await count(database, select(func.count()).select_from(Identity)) == 1


async def test_another_s_account_is_offered_and_merged(wechat: Api, database: Database) -> None:
    me, other = await person(database, 30), await person(database, 12)
    await link(wechat, other, "lihua")
    first = await act(wechat, me, CONNECT, code="dev-lihua", idempotencyKey="tap")
    again = await act(wechat, me, CONNECT, code="dev-lihua", idempotencyKey="tap")
    assert again == first, "the very offer"
    odd = await act(wechat, me, CONNECT, code="dev-other", idempotencyKey="tap")
    assert odd["code"] == "IDEMPOTENCY_KEY_REUSED"
    merged = await act(wechat, me, YES, offer=first["offer"]["token"], idempotencyKey="yes")
    assert merged["member"]["points"]["balance"] == 42
    mine = select(Identity.member_id)
    async with database.read() as read:
        assert await read.session.scalar(mine) == me.id


async def test_a_phone_code_with_a_key_may_be_sent_again(wechat: Api, database: Database) -> None:
    me = await person(database)
    sent = await wechat(ASK, {"phone": PHONE})
    code = sent["data"]["requestPhoneCode"]["developmentCode"]
    given = {"phone": PHONE, "code": code, "idempotencyKey": "tap"}
    first = await act(wechat, me, CONNECT_PHONE, **given)
    assert first["offer"] is None
    assert await act(wechat, me, CONNECT_PHONE, **given) == first
    bare = {"phone": PHONE, "code": code}
    assert (await act(wechat, me, CONNECT_PHONE, **bare))["code"] == "CODE_REFUSED"
    async with database.read() as read:
        stored = (await read.session.execute(text("SELECT * FROM idempotency_key"))).mappings()
        assert all(code not in str(dict(row)) and PHONE not in str(dict(row)) for row in stored)


async def test_a_code_sent_twice_at_the_same_instant_has_one_answer(
    wechat: Api, database: Database
) -> None:
    """Whichever of the two uses the code up, the other waits for its answer."""
    for number in range(8):
        me, phone = await person(database), f"1381234567{number}"
        sent = await wechat(ASK, {"phone": phone})
        code = sent["data"]["requestPhoneCode"]["developmentCode"]
        given = {"phone": phone, "code": code, "idempotencyKey": "tap"}
        first, second = await asyncio.gather(
            *(act(wechat, me, CONNECT_PHONE, **given) for _ in range(2))
        )
        assert first == second
        assert first["offer"] is None
    wrong = {"phone": PHONE, "code": "000000", "idempotencyKey": "wrong"}
    refused = await act(wechat, await person(database), CONNECT_PHONE, **wrong)
    assert refused["code"] == "CODE_REFUSED"
    async with database.read() as read:
        keys = await read.session.execute(text("SELECT key FROM idempotency_key"))
        assert {row.key for row in keys} == {"tap"}, "a refused key may be used again"


async def test_fifty_at_once_twice_each_connect_one_account(
    wechat: Api, database: Database
) -> None:
    crowd = [await person(database) for _ in range(25)]

    async def attempt(number: int) -> tuple[UUID, bool]:
        who = crowd[number]
        done = await act(wechat, who, CONNECT, code="dev-lihua", idempotencyKey="tap")
        return who.id, done.get("code") is None and done["offer"] is None

    found = await asyncio.gather(*(attempt(at) for at in range(25) for _ in range(2)))
    winners = {who for who, won in found if won}
    assert len(winners) == 1
    async with database.read() as read:
        assert set(await read.session.scalars(select(Identity.member_id))) == winners


async def test_an_account_is_closed_by_its_wechat_alone(
    wechat: Api, database: Database, clock: TestClock
) -> None:
    me, other = await person(database), await person(database)
    await link(wechat, me, "lihua")
    assert (await act(wechat, other, CLOSE, wechatCode="dev-lihua"))["code"] == "NOT_YOUR_IDENTITY"
    assert (await act(wechat, me, CLOSE, wechatCode="dev-nobody"))["code"] == "NOT_YOUR_IDENTITY"
    assert (await act(wechat, me, CLOSE, wechatCode="?"))["code"] == "WECHAT_REFUSED"
    assert (await act(wechat, me, CLOSE, phone=PHONE))["code"] == "INVALID_INPUT"
    given = {"wechatCode": "dev-lihua", "idempotencyKey": "close"}
    first = await act(wechat, me, CLOSE, **given)
    clock.advance(hours=30)
    assert await act(wechat, me, CLOSE, **given) == first
    for _ in range(2):
        kept = await act(wechat, me, KEEP, idempotencyKey="keep")
        assert kept["member"]["id"] == global_id("Member", me.id)
    assert (await act(wechat, me, KEEP, idempotencyKey="more"))["code"] == "NOT_CLOSING"
    late = await act(wechat, me, CLOSE, **given)
    assert late == first, "the answer of its time: nothing closes anew"
    async with database.read() as read:
        assert (await members.closing_by_member(read, [me.id])).get(me.id) is None


async def test_erasure_takes_the_fingerprints_of_invitations_along(
    wechat: Api, database: Database
) -> None:
    me = await person(database)
    await link(wechat, me, "lihua")
    async with database.begin() as tx:
        await tx.session.execute(
            text(
                "INSERT INTO invited_identity (member_id, kind, app, blind)"
                " SELECT member_id, kind, app, blind FROM identity"
            )
        )
    fingerprints = select(func.count()).select_from(InvitedIdentity)
    assert await count(database, fingerprints) == 1
    async with database.begin() as tx:
        await leaving.erase(tx, member_id=me.id)
    assert await count(database, fingerprints) == 0
    assert await count(database, select(func.count()).select_from(Identity)) == 0


async def test_staff_freeze_once_for_a_key(wechat: Api, database: Database) -> None:
    me = await person(database)
    support = StaffCaller(uuid4(), uuid4(), Role.SUPPORT)
    given = {"memberId": global_id("Member", me.id), "reason": "盗号", "idempotencyKey": "tap"}
    assert (await act(wechat, support, FREEZE, **given))["member"]["status"] == "FROZEN"
    assert (await act(wechat, support, THAW, **given))["member"]["status"] == "ACTIVE"
    late = await act(wechat, support, FREEZE, **given)
    assert late["member"]["status"] == "ACTIVE", "nobody is frozen anew"
    other = {**given, "reason": "别的"}
    assert (await act(wechat, support, FREEZE, **other))["code"] == "IDEMPOTENCY_KEY_REUSED"
