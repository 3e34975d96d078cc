"""Reports over GraphQL, with the documents that partner systems send."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from app.kernel.auth import MemberCaller, PartnerCaller, Scope, StaffCaller
from app.kernel.db import Database
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import members as make

DOCUMENTS = Path(__file__).parents[2] / "examples" / "graphql"
ORDERS = (DOCUMENTS / "record-orders.graphql").read_text()
EVENTS = (DOCUMENTS / "record-events.graphql").read_text()


async def order(database: Database, **facts: Any) -> dict[str, Any]:
    async with database.begin() as tx:
        who = (await make.member(tx)).id
    return {
        "member": {"id": global_id("Member", who)},
        "orderNo": "20260318-1",
        "channel": "MINI_PROGRAM",
        "placedAt": "2026-03-18T09:00:00+08:00",
        "paidAt": "2026-03-18T09:01:00+08:00",
        "lines": [{"sku": "A", "name": "赣南脐橙", "quantity": 2, "paidFen": 3980}],
        **facts,
    }


async def test_partners_get_a_verdict_for_each_row(
    api: Api, database: Database, partner: PartnerCaller
) -> None:
    good = await order(database)
    given = [good, {**good, "orderNo": "2", "member": {"id": "nonsense"}}, {**good, "lines": []}]
    given.append({**good, "orderNo": "3", "leaderId": "nonsense"})
    answer = await api(ORDERS, {"input": {"source": "shop", "orders": given}}, caller=partner)
    assert "errors" not in answer
    verdicts = answer["data"]["recordOrders"]["verdicts"]
    assert [(item["index"], item["status"], item["code"]) for item in verdicts] == [
        (0, "STORED", None),
        (1, "REJECTED", "MEMBER_UNKNOWN"),
        (2, "DUPLICATE", None),
        (3, "REJECTED", "LEADER_UNKNOWN"),
    ]
    assert verdicts[1]["message"] == "No member is known by this."
    async with database.read() as read:
        audited = await read.session.scalar(text("SELECT given FROM audit_entry"))
    assert audited == {"source": "shop", "rows": 4}


async def test_events(api: Api, database: Database, partner: PartnerCaller) -> None:
    who = (await order(database))["member"]
    event = {"member": who, "eventId": "e1", "kind": "BROWSE", "at": "2026-03-18T09:00:00+08:00"}
    for status in ("STORED", "DUPLICATE"):
        answer = await api(EVENTS, {"input": {"events": [event]}}, caller=partner)
        assert [item["status"] for item in answer["data"]["recordEvents"]["verdicts"]] == [status]


async def test_only_partners_with_the_scope_and_owners(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    given = {"input": {"source": "shop", "orders": [await order(database)]}}
    wrong = PartnerCaller(uuid4(), frozenset({Scope.EVENTS_WRITE}))
    for caller in (wrong, MemberCaller(uuid4(), uuid4())):
        answer = await api(ORDERS, given, caller=caller)
        assert answer["data"]["recordOrders"]["code"] == "NOT_ALLOWED"
    answer = await api(ORDERS, given, caller=owner)
    assert answer["data"]["recordOrders"]["verdicts"][0]["status"] == "STORED"


async def test_a_batch_beyond_the_limit_is_refused(
    api: Api, partner: PartnerCaller, database: Database
) -> None:
    given = {"input": {"source": "shop", "orders": [await order(database)] * 1001}}
    answer = await api(ORDERS, given, caller=partner)
    assert answer["data"]["recordOrders"]["code"] == "BATCH_TOO_LARGE"
