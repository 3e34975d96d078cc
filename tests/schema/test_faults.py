"""Faults are masked and logged under an id; staff's deeds are written down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select, text

from app.kernel.auth import MemberCaller, StaffCaller
from app.staff import AuditEntry
from schema.live import live_cursor
from schema.nodes import global_id
from tests.conftest import Api
from tests.make.members import member


@asynccontextmanager
async def without(api: Api, table: str) -> AsyncIterator[None]:
    """A database that has lost a table: its errors hold SQL and names that no client may see."""
    engine = api.resources.database.engine
    async with engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE {table} RENAME TO lost"))
    try:
        yield
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(f"ALTER TABLE lost RENAME TO {table}"))


async def test_an_unexpected_error_shows_only_an_id(
    api: Api,
    owner: StaffCaller,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with without(api, "member"):
        answer = await api('{ members(search: "+861000007") { nodes { id } } }', caller=owner)
    error = answer["errors"][0]
    assert error["message"] == "Internal error."
    assert error["extensions"]["code"] == "INTERNAL"
    said = caplog.text + "".join(capsys.readouterr())
    assert error["extensions"]["id"] in said, "staff find the fault by its id"
    assert "[SQL: SELECT" in said
    assert "[parameters" not in said, "bound values may be personal data"
    assert not any(word in str(answer) for word in ("SELECT", "asyncpg", "does not exist"))


async def test_an_error_in_a_subscription_is_masked_too(api: Api, as_member: Any) -> None:
    async with api.resources.database.begin() as tx:
        row = await member(tx)
    caller: MemberCaller = as_member(row.id)
    async with without(api, "live_event"):
        after = {"after": live_cursor(2**40)}
        document = "subscription($after: String) { myUpdates(after: $after) { kind } }"
        stream = await api.subscribe(document, after, caller=caller)
        result = await anext(stream)
    told = [error.formatted for error in result.errors]
    assert told[0]["extensions"]["code"] == "INTERNAL"
    assert not any(word in str(told) for word in ("SELECT", "asyncpg", "does not exist"))


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
    answer = await api(query, {"id": global_id("Member", theirs.id)}, caller=caller)
    assert answer["data"] == {"node": None, "member": None}
    own = await api(query, {"id": global_id("Member", mine.id)}, caller=caller)
    assert own["data"]["member"] == {"nickname": mine.nickname}
