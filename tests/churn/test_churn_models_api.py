"""Models and drift over GraphQL: what staff see, what they may do, and what is written down."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Database
from schema.nodes import global_id
from tests.conftest import Api
from tests.make.churn import watched

MODELS = """
query($first: Int, $after: String) {
  churnModels(first: $first, after: $after) {
    nodes { version role horizonDays problem features figures { brier }
      evidence { rival wins asOf brierGain { low } windows { cutoff members standIn
        champion { rocAuc } } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
DRIFT = """
{ churnDrift(nights: 5) {
    nights { model members scorePsi features { name psi } closedAt brier }
    alarms { kind value limit closedAt } } }
"""
PROMOTE = """
mutation($input: PromoteChurnModelInput!) {
  promoteChurnModel(input: $input) {
    ... on PromoteChurnModelSuccess { model { version role } }
    ... on UserError { code message }
  }
}
"""
BACK = """
mutation($input: RollBackChurnModelInput!) {
  rollBackChurnModel(input: $input) {
    ... on RollBackChurnModelSuccess { model { version role } }
    ... on UserError { code message }
  }
}
"""


OTHERS = """
manifest = jsonb_set(manifest, '{about}',
    jsonb_build_object('horizon_days', CASE role WHEN 'CHALLENGER' THEN 30 ELSE 45 END))
"""


@pytest.fixture
async def challenger(database: Database) -> str:
    async with database.begin() as tx:
        return global_id("ChurnModel", (await watched(tx)).id)


async def promote(api: Api, caller: StaffCaller, model: str, key: str = "k") -> dict[str, Any]:
    given = {"input": {"modelId": model, "idempotencyKey": key}}
    return (await api(PROMOTE, given, caller=caller))["data"]["promoteChurnModel"]


async def back(api: Api, caller: StaffCaller, model: str, key: str = "k", **more: str) -> Any:
    given = {"modelId": model, "idempotencyKey": key, "reason": "too many alarms"} | more
    return (await api(BACK, {"input": given}, caller=caller))["data"]["rollBackChurnModel"]


async def test_models_are_shown_with_their_evidence(
    api: Api, owner: StaffCaller, challenger: str
) -> None:
    page = (await api(MODELS, {"first": 1}, caller=owner))["data"]["churnModels"]
    assert page["pageInfo"]["hasNextPage"]
    rest = await api(MODELS, {"first": 5, "after": page["pageInfo"]["endCursor"]}, caller=owner)
    rows = page["nodes"] + rest["data"]["churnModels"]["nodes"]
    found = {row["version"]: row for row in rows}
    assert {version: row["role"] for version, row in found.items()} == {
        "test-1": "CHAMPION",
        "challenger-1": "CHALLENGER",
    }
    assert found["test-1"]["evidence"] is None
    assert found["test-1"]["horizonDays"] is None, "its manifest says nothing of it"
    shown = found["challenger-1"]
    assert shown["features"] == ["recency", "orders_30"]
    assert shown["evidence"]["wins"]
    assert shown["evidence"]["brierGain"] == {"low": 0.001}
    (window,) = shown["evidence"]["windows"]
    assert (window["members"], window["standIn"]) == (900, True)


async def test_drift_is_shown_the_farthest_feature_first(
    api: Api, owner: StaffCaller, challenger: str
) -> None:
    drift = (await api(DRIFT, caller=owner))["data"]["churnDrift"]
    (night,) = drift["nights"]
    assert (night["model"], night["members"], night["scorePsi"]) == ("test-1", 900, 0.3)
    assert [one["name"] for one in night["features"]] == ["recency", "orders_30"]
    assert (night["closedAt"], night["brier"]) == (None, None)
    assert drift["alarms"] == [{"kind": "SCORE", "value": 0.3, "limit": 0.25, "closedAt": None}]
    bad = await api("{ churnDrift(nights: 401) { nights { members } } }", caller=owner)
    assert bad["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def test_promotion_and_the_way_back_are_written_down(
    api: Api, owner: StaffCaller, challenger: str, database: Database
) -> None:
    assert (await promote(api, owner, challenger))["model"]["version"] == "challenger-1"
    again = await promote(api, owner, challenger)
    assert again["model"] == {"version": "challenger-1", "role": "CHAMPION"}
    assert (await promote(api, owner, challenger, "other"))["code"] == "ALREADY_IN_FORCE"
    assert (await back(api, owner, challenger))["model"]["version"] == "test-1"
    refused = await back(api, owner, challenger, "other")
    assert refused["code"] == "NOT_IN_FORCE"
    async with database.read() as read:
        rows = await read.session.execute(
            text(
                "SELECT action, outcome, before->>'role' AS was, after->>'role' AS is,"
                " given->>'reason' AS reason, (before || after) ? 'artifact' AS bytes"
                " FROM audit_entry ORDER BY id"
            )
        )
        entries = [tuple(row) for row in rows if row.outcome == "DONE"]
    assert ("promoteChurnModel", "DONE", "CHALLENGER", "CHAMPION", None, False) in entries
    assert ("rollBackChurnModel", "DONE", "CHAMPION", "RETIRED") in [row[:4] for row in entries]
    assert not any(row[5] for row in entries)


async def test_refusals_have_codes_in_both_languages(
    api: Api, owner: StaffCaller, challenger: str, database: Database
) -> None:
    nobody = global_id("ChurnModel", uuid4())
    assert (await promote(api, owner, nobody))["code"] == "MODEL_NOT_FOUND"
    assert (await back(api, owner, challenger))["code"] == "NOT_IN_FORCE"
    for sql, code in (
        (f"UPDATE model_version SET manifest_sha256 = NULL, {OTHERS}", "HORIZONS_DIFFER"),
        ("UPDATE model_version SET manifest = manifest - 'about', evidence = NULL", "NO_EVIDENCE"),
        ("UPDATE model_version SET artifact = 'x' WHERE role = 'CHALLENGER'", "MODEL_DAMAGED"),
    ):
        async with database.begin() as tx:
            await tx.session.execute(text(sql))
        assert (await promote(api, owner, challenger))["code"] == code
    given = {"input": {"modelId": challenger, "idempotencyKey": "z"}}
    zh = await api(PROMOTE, given, caller=owner, locale="zh-CN")
    assert "已损坏" in zh["data"]["promoteChurnModel"]["message"]


async def test_only_owners_and_analysts_decide(
    api: Api, owner: StaffCaller, challenger: str
) -> None:
    given = {"input": {"modelId": challenger, "idempotencyKey": "k"}}
    for role in (Role.SUPPORT, Role.CAMPAIGN_MANAGER, Role.LEADER):
        caller = StaffCaller(uuid4(), uuid4(), role)
        answer = await api(PROMOTE, given, caller=caller)
        assert answer["data"] is None or "NOT_ALLOWED" in str(answer), role
    leader = await api(DRIFT, caller=StaffCaller(uuid4(), uuid4(), Role.LEADER))
    assert leader["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
    analyst = StaffCaller(uuid4(), uuid4(), Role.ANALYST)
    assert (await promote(api, analyst, challenger))["model"]["role"] == "CHAMPION"


async def test_fifty_who_press_at_once_each_twice_go_back_one_step(
    api: Api, owner: StaffCaller, challenger: str
) -> None:
    await promote(api, owner, challenger)
    presses = [back(api, owner, challenger, f"key-{n % 50}") for n in range(100)]
    answers = await asyncio.gather(*presses)
    done = [answer for answer in answers if "model" in answer]
    assert len(done) == 2, "one press, and its double gets the same answer"
    assert {answer["model"]["version"] for answer in done} == {"test-1"}
    assert {answer["code"] for answer in answers if "code" in answer} == {"NOT_IN_FORCE"}
