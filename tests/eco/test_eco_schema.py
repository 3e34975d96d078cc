"""Eco actions over GraphQL, with the documents that clients send."""

from typing import Any
from uuid import uuid4

import pytest

from app import eco, tiers
from app.kernel.auth import MemberCaller, Role, StaffCaller
from schema.nodes import global_id
from tests.conftest import Api
from tests.make.examples import operation
from tests.make.members import community, member
from tests.make.orders import order

SUBMIT = operation("eco-action.graphql", "SubmitEcoAction")
VERIFY = operation("eco-action.graphql", "VerifyEcoAction")
MINE = operation("eco-action.graphql", "MyCarbon")
NODE = "query($id: ID!) { node(id: $id) { ... on EcoAction { status } } }"
PHOTO = {"type": "OWN_BAG", "evidenceKind": "PHOTO", "evidence": "photo-1"}


@pytest.fixture
async def person(api: Api) -> MemberCaller:
    async with api.resources.database.begin() as tx:
        await tiers.ensure_tiers(tx)
        await eco.ensure_eco(tx)
        return MemberCaller((await member(tx)).id, uuid4())


async def submit(api: Api, caller: Any, **given: Any) -> dict[str, Any]:
    answer = await api(SUBMIT, {"input": PHOTO | given}, caller=caller)
    return answer["data"]["submitEcoAction"]


async def verify(api: Api, caller: Any, action: str, **given: Any) -> dict[str, Any]:
    answer = await api(VERIFY, {"input": {"actionId": action} | given}, caller=caller)
    return answer["data"]["verifyEcoAction"]


async def test_from_submission_to_carbon_points_and_a_badge(api: Api, person: MemberCaller) -> None:
    action = (await submit(api, person, idempotencyKey="k"))["action"]
    assert (await submit(api, person, idempotencyKey="k"))["action"] == action
    assert (action["status"], action["carbonPoints"]) == ("SUBMITTED", 5)
    far = StaffCaller(uuid4(), uuid4(), Role.LEADER, uuid4())
    assert (await verify(api, far, action["id"]))["code"] == "ECO_ACTION_NOT_FOUND"
    async with api.resources.database.begin() as tx:
        home = await community(tx)
    leader = StaffCaller(uuid4(), uuid4(), Role.LEADER, home.id)
    done = await verify(api, leader, action["id"])
    assert done["action"]["status"] == "CREDITED"
    mine = (await api(MINE, caller=person, locale="zh-CN"))["data"]["me"]
    assert mine["carbon"]["balance"] == 5
    assert [(badge["code"], badge["name"], badge["figure"]) for badge in mine["badges"]] == [
        ("GREEN_START", "环保新芽", 1)
    ]
    again = await verify(api, leader, action["id"])
    assert again["code"] == "NOT_AWAITING_VERIFICATION"


async def test_an_order_is_evidence_once(api: Api, person: MemberCaller) -> None:
    async with api.resources.database.begin() as tx:
        row = await order(tx, member_id=person.id)
    shown = {"evidenceKind": "ORDER", "evidence": "", "orderId": global_id("Order", row.id)}
    assert "action" in await submit(api, person, **shown)
    assert (await submit(api, person, **shown))["code"] == "ECO_ACTION_EXISTS"
    foreign = shown | {"orderId": global_id("Order", uuid4())}
    assert (await submit(api, person, **foreign))["code"] == "ORDER_NOT_YOURS"


async def test_a_rejection_needs_a_reason_and_members_do_not_decide(
    api: Api, person: MemberCaller, owner: StaffCaller
) -> None:
    action = (await submit(api, person))["action"]["id"]
    assert (await verify(api, owner, action, accept=False))["code"] == "INVALID_INPUT"
    assert (await verify(api, person, action))["code"] == "NOT_ALLOWED"
    done = await verify(api, owner, action, accept=False, reason="too dark")
    assert (done["action"]["status"], done["action"]["reason"]) == ("REJECTED", "too dark")
    unknown = global_id("EcoAction", uuid4())
    assert (await verify(api, owner, unknown))["code"] == "ECO_ACTION_NOT_FOUND"


async def test_an_action_is_its_members_and_staffs_to_see(
    api: Api, person: MemberCaller, owner: StaffCaller
) -> None:
    action = (await submit(api, person))["action"]["id"]
    stranger = MemberCaller(uuid4(), uuid4())
    for caller, seen in ((person, True), (owner, True), (stranger, False)):
        answer = await api(NODE, {"id": action}, caller=caller)
        assert (answer["data"]["node"] is not None) is seen
