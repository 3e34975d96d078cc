"""Whoever drafts a batch of coupons does not approve it, unless the house has one person."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from app import coupons
from app.kernel.auth import Role, StaffCaller
from app.kernel.config import Settings
from app.kernel.db import Database
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import coupons as make

ERROR = "... on UserError { code message }"
DRAFT = f"""mutation($input: CreateCouponBatchInput!) {{ createCouponBatch(input: $input) {{
  ... on CreateCouponBatchSuccess {{ batch {{ id status draftedBy }} }} {ERROR} }} }}"""
APPROVE = f"""mutation($input: ApproveCouponBatchInput!) {{ approveCouponBatch(input: $input) {{
  ... on ApproveCouponBatchSuccess {{
    batch {{ status draftedBy approvedBy approvedAlone }} }} {ERROR} }} }}"""
CREATE = f"""mutation($input: CreateCouponTemplateInput!) {{ createCouponTemplate(input: $input) {{
  ... on CreateCouponTemplateSuccess {{ batch {{ status approvedAlone }} }} {ERROR} }} }}"""
OWNER = StaffCaller(uuid4(), uuid4(), Role.OWNER)
MANAGER = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)


async def act(api: Api, caller: StaffCaller, document: str, **given: Any) -> dict[str, Any]:
    [found] = (await api(document, {"input": given}, caller=caller))["data"].values()
    return found


def house(api: Api, *, alone: bool) -> Api:
    """The API of an installation where one person may, or may not, approve their own."""
    settings = api.resources.settings.model_copy(update={"approve_alone": alone})
    return Api(replace(api.resources, settings=settings))


async def drafted(api: Api, by: StaffCaller) -> str:
    async with api.resources.database.begin() as tx:
        template = global_id("CouponTemplate", (await make.template(tx)).id)
    made = await act(api, by, DRAFT, templateId=template, quantity=4, idempotencyKey="draft")
    assert made["batch"]["draftedBy"] == global_id("StaffAccount", by.id)
    return made["batch"]["id"]


@pytest.mark.parametrize("who", [OWNER, MANAGER])
async def test_the_drafter_is_refused_and_another_approves(api: Api, who: StaffCaller) -> None:
    strict = house(api, alone=False)
    batch = await drafted(strict, who)
    refused = await act(strict, who, APPROVE, batchId=batch, idempotencyKey="1")
    assert refused["code"] == "BATCH_NEEDS_ANOTHER"
    other = MANAGER if who is OWNER else OWNER
    done = (await act(strict, other, APPROVE, batchId=batch, idempotencyKey="1"))["batch"]
    assert done == {
        "status": "APPROVED",
        "draftedBy": global_id("StaffAccount", who.id),
        "approvedBy": global_id("StaffAccount", other.id),
        "approvedAlone": False,
    }


async def test_in_a_house_of_one_the_owner_may_and_the_batch_says_so(api: Api) -> None:
    alone = house(api, alone=True)
    batch = await drafted(alone, OWNER)
    done = (await act(alone, OWNER, APPROVE, batchId=batch, idempotencyKey="1"))["batch"]
    assert (done["status"], done["approvedAlone"]) == ("APPROVED", True)
    managers = await drafted(alone, MANAGER)
    refused = await act(alone, MANAGER, APPROVE, batchId=managers, idempotencyKey="1")
    assert refused["code"] == "BATCH_NEEDS_ANOTHER", "owners alone may"


async def test_a_batch_made_with_its_template_waits_for_another(api: Api) -> None:
    given = {"name": "五元券", "kind": "FIXED", "value": 500, "validDays": 7}
    given |= {"batch": {"quantity": 3}}
    strict = await act(house(api, alone=False), OWNER, CREATE, **given)
    assert strict["batch"] == {"status": "DRAFT", "approvedAlone": False}
    alone = await act(house(api, alone=True), OWNER, CREATE, **given)
    assert alone["batch"] == {"status": "ACTIVE", "approvedAlone": True}


def test_production_asks_for_two_unless_told_otherwise(settings: Settings) -> None:
    def may(**given: object) -> bool:
        return settings.model_copy(update=given).may_approve_alone

    assert may(env="development")
    assert not may(env="production")
    assert may(env="production", approve_alone=True)
    assert not may(env="development", approve_alone=False)


async def test_fifty_approvals_at_once_are_one(api: Api) -> None:
    strict = house(api, alone=False)
    batch = await drafted(strict, OWNER)
    seen = Counter[str]()

    async def attempt(number: int) -> None:
        who = StaffCaller(UUID(int=number + 1), uuid4(), Role.CAMPAIGN_MANAGER)
        found = await act(strict, who, APPROVE, batchId=batch, idempotencyKey=f"tap {number}")
        seen[found.get("code", "done")] += 1

    await asyncio.gather(*(attempt(number) for number in range(50) for _ in range(2)))
    assert seen == {"done": 2, "BATCH_MOVE_NOT_ALLOWED": 98}


async def test_the_database_holds_it_too(database: Database) -> None:
    who = uuid4()
    async with database.begin() as tx:
        template = await make.template(tx)
        batch = await coupons.create_batch(tx, template_id=template.id, quantity=1, by=who)
        for alone in (True, False):
            batch.approved_by, batch.approved_alone = who, alone
            if alone:
                await tx.session.flush()
        with pytest.raises(IntegrityError, match="four_eyes"):
            await tx.session.flush()
        await tx.session.rollback()
