"""Faults are masked and logged under an id; staff's deeds are written down."""

from typing import Any

import pytest
from sqlalchemy import select

from app import members
from app.kernel.auth import MemberCaller, StaffCaller
from app.staff import AuditEntry
from tests.conftest import Api
from tests.make.members import member


async def test_an_unexpected_error_shows_only_an_id(
    api: Api, owner: StaffCaller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("SELECT secret FROM member")

    monkeypatch.setattr(members, "page", broken)
    answer = await api("{ members { nodes { id } } }", caller=owner)
    error = answer["errors"][0]
    assert error["message"] == "Internal error."
    assert error["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(answer)
    assert error["extensions"]["id"]


async def test_an_error_in_a_subscription_is_masked_too(
    api: Api, monkeypatch: pytest.MonkeyPatch, as_member: Any
) -> None:
    async with api.resources.database.begin() as tx:
        row = await member(tx)

    async def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("SELECT secret FROM member")
        yield

    monkeypatch.setattr(api.resources.live, "follow", broken)
    caller: MemberCaller = as_member(row.id)
    stream = await api.subscribe("subscription { myUpdates { kind } }", caller=caller)
    result = await anext(stream)
    assert "secret" not in str([error.formatted for error in result.errors])
    assert result.errors[0].extensions["code"] == "INTERNAL"


async def test_what_staff_change_is_audited_in_the_same_transaction(
    api: Api, owner: StaffCaller
) -> None:
    async with api.resources.database.begin() as tx:
        row = await member(tx)
    found = await api("{ members { nodes { id } } }", caller=owner)
    key = found["data"]["members"]["nodes"][0]["id"]
    link = """mutation($id: ID!, $phone: String!) {
      linkPhone(input: {memberId: $id, phone: $phone}) { __typename } }"""
    await api(link, {"id": key, "phone": "not a phone"}, caller=owner)
    await api(link, {"id": key, "phone": "+8610000000002"}, caller=owner)
    async with api.resources.database.read() as read:
        entries = list(await read.session.scalars(select(AuditEntry)))
    assert [entry.action for entry in entries] == ["linkPhone"], "a refusal changed nothing"
    assert entries[0].actor_id == owner.id
    assert entries[0].given["member_id"] == key
    assert "+8610000000002" not in str(entries[0].given), "no personal data in the log"
    assert row.id


async def test_another_members_record_stays_closed(api: Api, as_member: Any) -> None:
    async with api.resources.database.begin() as tx:
        mine, theirs = await member(tx), await member(tx)
    caller = as_member(mine.id)
    query = "query($id: ID!) { node(id: $id) { id } member(id: $id) { nickname } }"
    from schema.nodes import global_id

    answer = await api(query, {"id": global_id("Member", theirs.id)}, caller=caller)
    assert answer["data"] == {"node": None, "member": None}
    own = await api(query, {"id": global_id("Member", mine.id)}, caller=caller)
    assert own["data"]["member"] == {"nickname": mine.nickname}
