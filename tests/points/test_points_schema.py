"""Points over GraphQL, with the documents that clients send."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from app import points, tiers
from app.kernel.auth import MemberCaller, Role, StaffCaller
from schema.live import live_cursor
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make.examples import operation
from tests.make.members import member
from tests.make.points import lot, order_facts

CHECK_IN = operation("check-in.graphql", "CheckIn")
MINE = operation("check-in.graphql", "MyPoints")
ADJUST = operation("adjust-points.graphql", "AdjustPoints")


@pytest.fixture
async def person(api: Api) -> MemberCaller:
    async with api.resources.database.begin() as tx:
        await tiers.ensure_tiers(tx)
        return MemberCaller((await member(tx)).id, uuid4())


async def adjust(api: Api, who: UUID, caller: Any, **given: Any) -> dict[str, Any]:
    full = {
        "memberId": global_id("Member", who),
        "amount": 40,
        "reason": "late delivery",
        "idempotencyKey": "k",
    } | given
    return (await api(ADJUST, {"input": full}, caller=caller))["data"]["adjustPoints"]


async def test_a_check_in_answers_alike_under_its_key_and_refuses_without(
    api: Api, person: MemberCaller
) -> None:
    first, again, other = [
        (await api(CHECK_IN, {"input": {"idempotencyKey": key}}, caller=person))["data"]["checkIn"]
        for key in ("a", "a", "b")
    ]
    assert first == again
    assert first == {
        "day": "2026-03-18",
        "streak": 1,
        "earned": 5,
        "points": {"balance": 5, "pending": 0, "debt": 0},
    }
    assert other == {
        "code": "ALREADY_CHECKED_IN",
        "message": "You have already checked in today.",
    }


async def test_a_member_sees_points_and_pages_through_entries(
    api: Api, person: MemberCaller, clock: TestClock
) -> None:
    for n in range(5):
        async with api.resources.database.begin() as tx:
            await lot(tx, member_id=person.id, amount=n + 1)
    async with api.resources.database.begin() as tx:
        await points.earn_for_order(tx, order_facts(uuid4(), person.id, clock.now))
        await points.check_in(tx, member_id=person.id)
    answer = await api(MINE, {"first": 4}, caller=person)
    mine = answer["data"]["me"]["points"]
    assert (mine["balance"], mine["pending"], mine["debt"], mine["expiringSoon"]) == (20, 100, 0, 0)
    page = mine["entries"]
    assert [entry["amount"] for entry in page["nodes"]] == [5, 100, 5, 4]
    assert page["pageInfo"]["hasNextPage"] is True
    rest = await api(MINE, {"first": 4, "after": page["pageInfo"]["endCursor"]}, caller=person)
    page = rest["data"]["me"]["points"]["entries"]
    assert [entry["amount"] for entry in page["nodes"]] == [3, 2, 1]
    assert page["pageInfo"]["hasNextPage"] is False


async def test_the_points_of_many_members_are_read_at_once(
    api: Api, owner: StaffCaller, person: MemberCaller
) -> None:
    document = "{ members(first: 10) { nodes { points { balance } carbon { balance } } } }"
    async with api.resources.database.begin() as tx:
        await lot(tx, member_id=(await member(tx)).id, amount=3)
    nodes = (await api(document, caller=owner))["data"]["members"]["nodes"]
    assert sorted(node["points"]["balance"] for node in nodes) == [0, 3]


async def test_support_adjusts_points_once_a_key_and_is_audited(
    api: Api, person: MemberCaller
) -> None:
    support = StaffCaller(uuid4(), uuid4(), Role.SUPPORT)
    first = await adjust(api, person.id, support)
    assert first == {
        "amount": 40,
        "account": {"currency": "POINTS", "balance": 40, "debt": 0},
    }
    assert await adjust(api, person.id, support) == first
    reused = await adjust(api, person.id, support, amount=41)
    assert reused["code"] == "IDEMPOTENCY_KEY_REUSED"
    below = await adjust(api, person.id, support, amount=-41, idempotencyKey="l")
    assert below["code"] == "NOT_ENOUGH_POINTS"


async def test_who_may_not_adjust_and_what_is_no_adjustment(
    api: Api, owner: StaffCaller, person: MemberCaller
) -> None:
    analyst = StaffCaller(uuid4(), uuid4(), Role.ANALYST)
    assert (await adjust(api, person.id, analyst))["code"] == "NOT_ALLOWED"
    assert (await adjust(api, person.id, person))["code"] == "NOT_ALLOWED"
    assert (await adjust(api, uuid4(), owner))["code"] == "MEMBER_NOT_FOUND"
    for bad in (
        {"amount": 0},
        {"amount": 1_000_001},
        {"reason": ""},
        {"idempotencyKey": ""},
        {"memberId": "nonsense"},
        {"memberId": global_id("Drop", person.id)},
    ):
        assert (await adjust(api, person.id, owner, **bad))["code"] == "INVALID_INPUT"


async def test_a_member_hears_of_points_live(api: Api, person: MemberCaller, relay: Any) -> None:
    async with api.resources.database.begin() as tx:
        await points.check_in(tx, member_id=person.id)
    await relay()
    document = "subscription($after: String) { myUpdates(after: $after) { kind facts } }"
    updates = await api.subscribe(document, {"after": live_cursor(0)}, caller=person)
    first = await anext(updates)
    await updates.aclose()
    assert first.errors is None
    assert first.data["myUpdates"]["kind"] == "points.changed"
    assert first.data["myUpdates"]["facts"]["balance"] == 5
