"""Campaigns over GraphQL, with the documents that the console sends."""

from typing import Any
from uuid import uuid4

from app import campaigns
from app.kernel.auth import MemberCaller, Role, StaffCaller
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import campaigns as make
from tests.make import coupons as make_coupons
from tests.make.examples import operation

CREATE = operation("campaign.graphql", "CreateCampaign")
START = operation("campaign.graphql", "StartCampaign")
LIST = operation("campaign.graphql", "Campaigns")
PAUSE = operation("campaign.graphql", "PauseCampaign")


async def create(api: Api, owner: StaffCaller, **more: Any) -> dict[str, Any]:
    async with api.resources.database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=10)
    given = {
        "name": "唤醒",
        "segment": "SILENT",
        "batchId": global_id("CouponBatch", batch.id),
    } | more
    return (await api(CREATE, {"input": given}, caller=owner))["data"]["createCampaign"]


async def test_a_campaign_is_made_started_watched_and_paused(api: Api, owner: StaffCaller) -> None:
    async with api.resources.database.begin() as tx:
        for _ in range(3):
            await make.staged(tx)
    made = (await create(api, owner))["campaign"]
    assert made["state"] == "DRAFT"
    key = {"campaignId": made["id"]}
    started = (await api(START, key, caller=owner))["data"]["startCampaign"]["campaign"]
    assert started["state"] == "RUNNING"
    async with api.resources.database.begin() as tx:
        await campaigns.enrol_due(tx)
    (node,) = (await api(LIST, caller=owner))["data"]["campaigns"]["nodes"]
    assert node["stats"] == {"enrolled": 3, "granted": 3, "redeemed": 0, "holdout": 0}
    assert node["batch"] == {
        "quantity": 10,
        "granted": 3,
        "budgetFen": 5_000,
        "reservedFen": 1_500,
        "spentFen": 0,
    }
    paused = (await api(PAUSE, key, caller=owner))["data"]["pauseCampaign"]["campaign"]
    assert (paused["state"], paused["pauseReason"]) == ("PAUSED", "BY_STAFF")
    twice = (await api(PAUSE, key, caller=owner))["data"]["pauseCampaign"]
    assert twice == {
        "code": "CAMPAIGN_MOVE_NOT_ALLOWED",
        "message": "The campaign cannot go from PAUSED to PAUSED.",
    }


async def test_refusals_name_what_is_wrong(api: Api, owner: StaffCaller) -> None:
    nowhere = await create(api, owner, batchId=global_id("CouponBatch", uuid4()))
    assert nowhere["code"] == "BATCH_NOT_FOUND"
    wrong = await create(api, owner, batchId=global_id("Drop", uuid4()))
    assert wrong["code"] == "INVALID_INPUT"
    everyone = await create(api, owner, holdoutPermille=1_000)
    assert everyone["code"] == "INVALID_INPUT"
    missing = await api(START, {"campaignId": global_id("Campaign", uuid4())}, caller=owner)
    assert missing["data"]["startCampaign"]["code"] == "CAMPAIGN_NOT_FOUND"


async def test_one_key_makes_one_campaign(api: Api, owner: StaffCaller) -> None:
    async with api.resources.database.begin() as tx:
        batch = global_id("CouponBatch", (await make_coupons.batch(tx)).id)
    first = await create(api, owner, batchId=batch, idempotencyKey="one")
    assert await create(api, owner, batchId=batch, idempotencyKey="one") == first
    assert len((await api(LIST, caller=owner))["data"]["campaigns"]["nodes"]) == 1


async def test_campaigns_are_for_staff_and_changed_by_managers(
    api: Api, owner: StaffCaller
) -> None:
    made = (await create(api, owner))["campaign"]
    support = StaffCaller(uuid4(), uuid4(), Role.SUPPORT)
    member = MemberCaller(uuid4(), uuid4())
    fetch = "query($id: ID!) { node(id: $id) { ... on Campaign { name } } }"
    assert (await api(fetch, {"id": made["id"]}, caller=support))["data"]["node"] == {
        "name": "唤醒"
    }
    assert (await api(fetch, {"id": made["id"]}, caller=member))["data"]["node"] is None
    start = {"campaignId": made["id"]}
    for who in (support, member):
        answer = await api(START, start, caller=who)
        assert answer["data"]["startCampaign"]["code"] == "NOT_ALLOWED"
    answer = await api(LIST, caller=member)
    assert answer["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
