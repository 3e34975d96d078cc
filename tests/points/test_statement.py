"""Statements, what ends when, sharing and staff notices over GraphQL, as clients ask for them."""

import itertools
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app import points, tiers
from app.kernel.auth import Caller, MemberCaller, StaffCaller
from app.kernel.db import Database
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make.members import member
from tests.make.points import lot, order_facts
from workers.jobs import Work
from workers.points import audit_points

STATEMENT = """query($of: ID, $from: DateTime, $until: DateTime, $after: String) {
  pointsStatement(memberId: $of, from: $from, until: $until) {
    from until reconciles
    opening { balance pending debt } closing { balance pending debt }
    totals { kind entries effect { balance pending debt } }
    entries(first: 3, after: $after) { nodes { kind amount } pageInfo { hasNextPage endCursor } }
  }
}"""


@pytest.fixture
async def person(api: Api) -> MemberCaller:
    async with api.resources.database.begin() as tx:
        await tiers.ensure_tiers(tx)
        return MemberCaller((await member(tx)).id, uuid4())


async def stated(api: Api, caller: Caller, **given: Any) -> dict[str, Any]:
    answer = await api(STATEMENT, given, caller=caller)
    assert "errors" not in answer, answer
    return answer["data"]["pointsStatement"]


async def a_history(database: Database, who: UUID, clock: TestClock) -> None:
    """Four days: an order and a lot; a spending; a refund with debt; an earning that settles."""
    order, settled = uuid4(), clock.now - timedelta(days=7)
    async with database.begin() as tx:
        await points.follow_order(tx, order_facts(order, who, settled, settled_at=settled))
        await points.follow_order(tx, order_facts(uuid4(), who, clock.now))
    clock.advance(days=1)
    async with database.begin() as tx:
        await points.spend(tx, member_id=who, amount=70, subject="s")
    clock.advance(days=1)
    async with database.begin() as tx:
        facts = order_facts(order, who, settled, settled_at=settled, refunded_fen=10_000)
        await points.follow_order(tx, facts)
    clock.advance(days=1)
    async with database.begin() as tx:
        await lot(tx, member_id=who, amount=100)


async def test_a_statement_leads_from_its_opening_to_its_closing(
    api: Api, person: MemberCaller, clock: TestClock
) -> None:
    start = clock.now
    await a_history(api.resources.database, person.id, clock)
    days = [(start + timedelta(days=n)).isoformat() for n in range(5)]
    whole = await stated(api, person)
    assert whole["reconciles"]
    assert whole["opening"] == {"balance": 0, "pending": 0, "debt": 0}
    assert whole["closing"] == {"balance": 30, "pending": 100, "debt": 0}
    one = await stated(api, person, **{"from": days[1], "until": days[3]})
    assert one["opening"] == {"balance": 100, "pending": 100, "debt": 0}
    assert one["closing"] == {"balance": 0, "pending": 100, "debt": 70}
    assert one["reconciles"]
    assert {row["kind"]: (row["entries"], row["effect"]) for row in one["totals"]} == {
        "SPEND": (1, {"balance": -70, "pending": 0, "debt": 0}),
        "CLAWBACK": (1, {"balance": -30, "pending": 0, "debt": 0}),
        "DEBT": (1, {"balance": 0, "pending": 0, "debt": 70}),
    }
    # The end is exclusive: spans laid end to end hold every movement once, and close as the next
    # opens.
    spans = [
        await stated(api, person, **{"from": since, "until": until})
        for since, until in itertools.pairwise(days)
    ]
    for before, after in itertools.pairwise(spans):
        assert before["closing"] == after["opening"]
    entries = sum(row["entries"] for span in spans for row in span["totals"])
    assert entries == sum(row["entries"] for row in whole["totals"])


async def test_a_statements_movements_come_in_pages(
    api: Api, person: MemberCaller, clock: TestClock
) -> None:
    await a_history(api.resources.database, person.id, clock)
    seen: list[dict[str, Any]] = []
    after = None
    while True:
        page = (await stated(api, person, after=after))["entries"]
        seen += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    kinds = [row["kind"] for row in seen]
    assert kinds[:2] == ["SETTLE", "EARN"]
    assert len(kinds) == 7


async def test_whose_statement_and_which_spans_are_refused(
    api: Api, person: MemberCaller, owner: StaffCaller
) -> None:
    mine = global_id("Member", person.id)
    assert (await stated(api, owner, of=mine))["reconciles"]
    assert await stated(api, MemberCaller(uuid4(), uuid4()), of=mine) is None
    turned = {"from": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}
    for caller, given in [(owner, {}), (person, turned)]:
        answer = await api(STATEMENT, given, caller=caller)
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def test_a_ledger_that_does_not_add_up_says_so(api: Api, person: MemberCaller) -> None:
    async with api.resources.database.begin() as tx:
        await lot(tx, member_id=person.id, amount=5)
        await tx.session.execute(text("UPDATE points_account SET active = 6"))
    assert not (await stated(api, person))["reconciles"]


async def test_a_member_sees_what_ends_when(
    api: Api, person: MemberCaller, clock: TestClock
) -> None:
    ends = [clock.now + timedelta(days=n) for n in range(1, 24)]
    async with api.resources.database.begin() as tx:
        for at in ends:
            await lot(tx, member_id=person.id, amount=2, expires_at=at)
        await lot(tx, member_id=person.id, amount=3, expires_at=ends[0])
    document = "{ me { points { expiring { expiresAt points } } carbon { expiring { points } } } }"
    answer = (await api(document, caller=person))["data"]["me"]
    found = answer["points"]["expiring"]
    assert [row["points"] for row in found] == [5, *[2] * 19]
    assert found[0]["expiresAt"] == "2026-03-19T04:00:00Z"
    assert answer["carbon"]["expiring"] == []


SHARE = """mutation($input: ShareInput!) { share(input: $input) {
  ... on ShareSuccess { share { code targetKind target } } ... on UserError { code } } }"""
ACCEPT = """mutation($input: AcceptInvitationInput!) { acceptInvitation(input: $input) {
  ... on AcceptInvitationSuccess { invitation { state } } ... on UserError { code } } }"""


async def test_a_member_shares_and_a_newcomer_accepts(api: Api, person: MemberCaller) -> None:
    async with api.resources.database.begin() as tx:
        newcomer = MemberCaller((await member(tx)).id, uuid4())

    async def share(key: str) -> dict[str, Any]:
        given = {"targetKind": "PRODUCT", "target": "PEACH", "idempotencyKey": key}
        return (await api(SHARE, {"input": given}, caller=person))["data"]["share"]["share"]

    first, again, other = await share("a"), await share("a"), await share("b")
    assert first == again == other
    assert (first["targetKind"], first["target"]) == ("PRODUCT", "PEACH")

    async def accept(who: MemberCaller, code: str, key: str) -> dict[str, Any]:
        given = {"code": code, "idempotencyKey": key}
        answer = await api(ACCEPT, {"input": given}, caller=who)
        return answer["data"]["acceptInvitation"]

    assert await accept(person, first["code"], "k") == {"code": "OWN_INVITATION"}
    assert await accept(newcomer, "2222222222", "k") == {"code": "SHARE_NOT_FOUND"}
    done = await accept(newcomer, first["code"].lower(), "k")
    assert done == {"invitation": {"state": "ACCEPTED"}}
    assert await accept(newcomer, first["code"].lower(), "k") == done
    assert await accept(newcomer, first["code"], "k") == {"code": "IDEMPOTENCY_KEY_REUSED"}
    assert await accept(newcomer, first["code"], "") == {"code": "INVALID_INPUT"}
    document = "{ me { sharing { accepted rewarded points leftThisMonth } } }"
    answer = await api(document, caller=person)
    figures = {"accepted": 1, "rewarded": 0, "points": 0, "leftThisMonth": 19}
    assert answer["data"]["me"]["sharing"] == figures


NOTICES = """query($waiting: Boolean!) { staffNotices(waiting: $waiting) {
  nodes { id kind facts acknowledgedAt acknowledgedBy } } }"""
ACKNOWLEDGE = """mutation($input: AcknowledgeNoticeInput!) { acknowledgeNotice(input: $input) {
  ... on AcknowledgeNoticeSuccess { notice { acknowledgedAt acknowledgedBy } }
  ... on UserError { code } } }"""


async def test_breaches_of_the_ledger_are_put_before_staff_once_a_day(
    api: Api, person: MemberCaller, owner: StaffCaller, clock: TestClock
) -> None:
    database = api.resources.database
    work = Work(database, api.resources.settings)

    async def nightly() -> None:
        async with database.begin() as tx:
            await tx.session.execute(text("DELETE FROM schedule_run"))
        given = {"plan": "points audit", "due_at": clock.now.isoformat()}
        await audit_points.body(work, **given)

    async def notices(*, waiting: bool = True) -> list[dict[str, Any]]:
        answer = await api(NOTICES, {"waiting": waiting}, caller=owner)
        return answer["data"]["staffNotices"]["nodes"]

    await nightly()
    assert await notices() == []
    async with database.begin() as tx:
        await lot(tx, member_id=person.id, amount=5)
        await tx.session.execute(text("UPDATE points_account SET active = 6"))
    for _ in range(2):
        await nightly()
    found = await notices()
    assert {one["kind"] for one in found} == {"points.breach"}
    assert {one["facts"]["rule"]: one["facts"]["found"] for one in found} == {
        "active is the sum of active lots": 6,
        "totals are the sum of entries": 6,
    }
    given = {"input": {"id": found[0]["id"]}}
    told = []
    for caller in (owner, StaffCaller(uuid4(), uuid4(), owner.role)):
        clock.advance(minutes=1)
        answer = await api(ACKNOWLEDGE, given, caller=caller)
        told.append(answer["data"]["acknowledgeNotice"]["notice"])
    assert (
        told[0]
        == told[1]
        == {
            "acknowledgedAt": "2026-03-18T04:01:00Z",
            "acknowledgedBy": global_id("StaffAccount", owner.id),
        }
    )
    assert len(await notices()) == 1
    clock.advance(days=1)
    await nightly()
    assert len(await notices()) == 3
    assert len(await notices(waiting=False)) == 4
    missing = {"input": {"id": global_id("StaffNotice", uuid4())}}
    answer = await api(ACKNOWLEDGE, missing, caller=owner)
    assert answer["data"]["acknowledgeNotice"] == {"code": "NOTICE_NOT_FOUND"}
