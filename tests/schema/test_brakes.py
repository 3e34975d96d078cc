"""Log-in brakes as a client meets them: typed, with the seconds to wait."""

import asyncio
from typing import Any

import pytest

from app import staff
from app.kernel.auth import Role, hash_password
from schema import sessions
from tests.conftest import Api, TestClock
from tests.make.members import community

STAFF = """mutation($login: String!, $password: String!) {
  staffLogin(input: {login: $login, password: $password}) {
    __typename ... on UserError { code message }
    ... on TooManyAttempts { retryAfterSeconds } } }"""
REQUEST = """mutation($phone: String!) { requestPhoneCode(input: {phone: $phone}) {
  __typename ... on RequestPhoneCodeSuccess { developmentCode }
  ... on CodeSentRecently { retryAfterSeconds }
  ... on TooManyAttempts { retryAfterSeconds message } } }"""
LOGIN = """mutation($phone: String!, $code: String!) {
  loginWithPhone(input: {phone: $phone, code: $code}) {
    __typename ... on TooManyAttempts { retryAfterSeconds } } }"""
PHONE = "+8610000123456"


async def at(api: Api, address: str, document: str, **variables: str) -> dict[str, Any]:
    """The one answer of a mutation sent from an address."""
    [answer] = (await api(document, variables, address=address))["data"].values()
    return answer


async def test_fifty_wrong_passwords_at_once_are_checked_five_times(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = await hash_password("correct horse battery")
    async with api.resources.database.begin() as tx:
        await staff.create_account(
            tx, login="owner", name="Owner", role=Role.OWNER, password_hash=hashed
        )
    checked: list[str] = []
    real = sessions.password_matches

    async def counting(stored: str | None, password: str) -> bool:
        checked.append(password)
        return await real(stored, password)

    monkeypatch.setattr(sessions, "password_matches", counting)
    answers = await asyncio.gather(
        *(at(api, f"192.0.2.{n}", STAFF, login="Owner", password=f"guess {n}") for n in range(50))
    )
    kinds = [answer["__typename"] for answer in answers]
    assert kinds.count("LoginRefused") == len(checked) == 5
    held = [answer for answer in answers if answer["__typename"] == "TooManyAttempts"]
    assert len(held) == 45
    assert {answer["retryAfterSeconds"] for answer in held} == {2}


async def test_an_address_that_guesses_at_many_accounts_is_held(
    api: Api, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(sessions, "password_matches", never)
    kinds = [
        (await at(api, "192.0.2.1", STAFF, login=f"user{n}", password="x"))["__typename"]
        for n in range(52)
    ]
    assert kinds == ["LoginRefused"] * 50 + ["TooManyAttempts"] * 2
    elsewhere = await at(api, "192.0.2.2", STAFF, login="user0", password="x")
    assert elsewhere["__typename"] == "LoginRefused"
    clock.advance(hours=1)
    again = await at(api, "192.0.2.1", STAFF, login="user0", password="x")
    assert again["__typename"] == "LoginRefused"


async def test_a_phone_gets_few_codes_and_they_get_few_guesses(api: Api, clock: TestClock) -> None:
    sent = 0
    guesses = 0
    asked: dict[str, Any] = {}
    for _ in range(60):
        clock.advance(minutes=1)
        asked = await at(api, "192.0.2.1", REQUEST, phone=PHONE)
        sent += asked["__typename"] == "RequestPhoneCodeSuccess"
        for _ in range(6):
            answer = await at(api, "192.0.2.1", LOGIN, phone=PHONE, code="wrong!")
            guesses += answer["__typename"] == "CodeRefused"
    assert 3 <= sent <= 8
    assert guesses <= 20
    assert asked["__typename"] == "TooManyAttempts"
    assert asked["retryAfterSeconds"] > 60
    assert str(asked["retryAfterSeconds"]) in asked["message"]


async def test_who_signs_in_every_time_is_not_held(api: Api, clock: TestClock) -> None:
    async with api.resources.database.begin() as tx:
        await community(tx)
    for _ in range(20):
        clock.advance(minutes=2)
        asked = await at(api, "192.0.2.1", REQUEST, phone=PHONE)
        answer = await at(api, "192.0.2.1", LOGIN, phone=PHONE, code=asked["developmentCode"])
        assert answer["__typename"] == "MemberSession"


async def test_a_second_code_within_a_minute_says_when(api: Api) -> None:
    await at(api, "192.0.2.1", REQUEST, phone=PHONE)
    again = await at(api, "192.0.2.1", REQUEST, phone=PHONE)
    assert again == {"__typename": "CodeSentRecently", "retryAfterSeconds": 61}
