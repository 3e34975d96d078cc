"""Signing in over GraphQL, rotating and ending sessions."""

from app import staff
from app.kernel.auth import MemberCaller, Role, StaffCaller, hash_password
from tests.conftest import Api, TestClock
from tests.make.members import community

REQUEST = """mutation($phone: String!) { requestPhoneCode(input: {phone: $phone}) {
  ... on RequestPhoneCodeSuccess { developmentCode } ... on UserError { code message } } }"""
LOGIN = """mutation($phone: String!, $code: String!) {
  loginWithPhone(input: {phone: $phone, code: $code}) {
    __typename
    ... on MemberSession { session { accessToken refreshToken } member { id nickname } }
    ... on UserError { code } } }"""
REFRESH = """mutation($token: String!) { refreshSession(input: {refreshToken: $token}) {
  __typename ... on RefreshSessionSuccess { session { refreshToken } }
  ... on UserError { code } } }"""
STAFF = """mutation($login: String!, $password: String!) {
  staffLogin(input: {login: $login, password: $password}) {
    __typename ... on StaffSession { staff { role } session { accessToken } }
    ... on UserError { code message } } }"""


async def sign_in(api: Api) -> dict[str, str]:
    async with api.resources.database.begin() as tx:
        await community(tx)
    phone = "+8610000123456"
    sent = await api(REQUEST, {"phone": phone})
    code = sent["data"]["requestPhoneCode"]["developmentCode"]
    answer = await api(LOGIN, {"phone": phone, "code": code})
    assert answer["data"]["loginWithPhone"]["__typename"] == "MemberSession"
    return answer["data"]["loginWithPhone"]["session"]


async def test_a_replayed_refresh_token_ends_the_family(api: Api) -> None:
    first = (await sign_in(api))["refreshToken"]
    second = (await api(REFRESH, {"token": first}))["data"]["refreshSession"]
    assert second["__typename"] == "RefreshSessionSuccess"
    replay = (await api(REFRESH, {"token": first}))["data"]["refreshSession"]
    assert replay == {"__typename": "SessionEnded", "code": "SESSION_ENDED"}
    newest = second["session"]["refreshToken"]
    after = (await api(REFRESH, {"token": newest}))["data"]["refreshSession"]
    assert after["__typename"] == "SessionEnded", "the thief and the owner are both out"


async def test_an_access_token_speaks_for_its_member_for_fifteen_minutes(
    api: Api, clock: TestClock
) -> None:
    token = (await sign_in(api))["accessToken"]
    caller = api.resources.tokens.verify(token, clock.now)
    assert isinstance(caller, MemberCaller)
    me = await api("{ me { nickname community { name } } }", caller=caller)
    assert me["data"]["me"]["community"] == {"name": "翠湖花园"}


async def test_staff_login_is_braked_and_says_nothing_of_why(api: Api) -> None:
    database = api.resources.database
    hashed = await hash_password("correct horse battery")
    async with database.begin() as tx:
        await staff.create_account(
            tx, login="owner", name="Owner", role=Role.OWNER, password_hash=hashed
        )
    wrong = {"login": "owner", "password": "guess"}
    nobody = {"login": "nobody", "password": "guess"}
    first = (await api(STAFF, wrong))["data"]["staffLogin"]
    assert first == (await api(STAFF, nobody))["data"]["staffLogin"]
    for _ in range(4):
        await api(STAFF, wrong)
    good = {"login": "owner", "password": "correct horse battery"}
    held = (await api(STAFF, good))["data"]["staffLogin"]
    assert held["__typename"] == "TooManyAttempts"


async def test_staff_roles_reach_the_token(api: Api, clock: TestClock) -> None:
    hashed = await hash_password("correct horse battery")
    async with api.resources.database.begin() as tx:
        await staff.create_account(
            tx, login="Analyst", name="A", role=Role.ANALYST, password_hash=hashed
        )
    answer = await api(STAFF, {"login": "analyst", "password": "correct horse battery"})
    session = answer["data"]["staffLogin"]
    assert session["staff"] == {"role": "ANALYST"}
    caller = api.resources.tokens.verify(session["session"]["accessToken"], clock.now)
    assert isinstance(caller, StaffCaller)
    assert caller.role is Role.ANALYST


async def test_a_query_without_rights_is_an_error_with_a_code(api: Api) -> None:
    answer = await api("{ members { nodes { id } } }")
    assert answer["errors"][0]["extensions"]["code"] == "NOT_SIGNED_IN"
    bad = await api('{ node(id: "%%%") { id } }')
    assert bad["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
