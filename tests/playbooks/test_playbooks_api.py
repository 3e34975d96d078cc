"""Playbooks over GraphQL: written, previewed, put in force, read out; tasks and the queue."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from app import coupons, playbooks
from app.churn import AlertState
from app.kernel.auth import MemberCaller, Role, StaffCaller
from app.kernel.db import Database
from app.members import member_topic
from app.staff import PRODUCT, AuditEntry
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import coupons as make_coupons
from tests.make import members as make_members
from tests.make import playbooks as make

CREATE = """
mutation($input: CreatePlaybookInput!) { createPlaybook(input: $input) {
  __typename ... on CreatePlaybookSuccess { playbook { id name version state
    measures { level audience kind points contactFen batch { id } }
    preview { level audience kind members heldOut costFen couponsLeft } } }
  ... on UserError { code message } } }
"""
UPDATE = """
mutation($input: UpdatePlaybookInput!) { updatePlaybook(input: $input) {
  ... on UpdatePlaybookSuccess { playbook { id version state } }
  ... on UserError { code message } } }
"""
ACTIVATE = """
mutation($input: ActivatePlaybookInput!) { activatePlaybook(input: $input) {
  ... on ActivatePlaybookSuccess { playbook { id state } } ... on UserError { code message } } }
"""
COMPLETE = """
mutation($input: CompletePlaybookTaskInput!) { completePlaybookTask(input: $input) {
  ... on CompletePlaybookTaskSuccess { task { state result note member { nickname } } }
  ... on UserError { code message } } }
"""
TASKS = "{ playbookTasks { nodes { id script reasons forLeader member { id } } } }"
MANAGER = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)


NOTHING = {"level": "L1", "audience": "OTHERS", "kind": "NOTHING"}


def given(batch_id: Any, **more: Any) -> dict[str, Any]:
    return {
        "name": "挽留",
        "measures": [
            {"level": "L2", "audience": "OTHERS", "kind": "COUPON", "batchId": batch_id},
            {"level": "L1", "audience": "VIP", "kind": "POINTS", "points": 30, "contactFen": 5},
        ],
        "holdoutPermille": 0,
        "levelHoldoutPermille": 0,
        "idempotencyKey": "one",
        **more,
    }


async def a_batch(database: Database, state: coupons.BatchState) -> str:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx, quantity=7, state=state)
        await make.alerts(tx, 3, level=AlertState.L2)
        await make.alerts(tx, 1, level=AlertState.OPEN)
        return global_id("CouponBatch", batch.id)


async def test_a_playbook_is_written_previewed_and_put_in_force(
    api: Api, database: Database
) -> None:
    batch = await a_batch(database, coupons.BatchState.PAUSED)
    made = (await api(CREATE, {"input": given(batch)}, caller=MANAGER))["data"]["createPlaybook"]
    row = made["playbook"]
    assert (row["version"], row["state"]) == (1, "DRAFT")
    assert [one["kind"] for one in row["measures"]] == ["POINTS", "COUPON"]
    assert row["preview"] == [
        {"level": "L1", "audience": "OTHERS", "kind": "NOTHING", "members": 1, "heldOut": 0,
         "costFen": 0, "couponsLeft": None},
        {"level": "L2", "audience": "OTHERS", "kind": "COUPON", "members": 3, "heldOut": 0,
         "costFen": 1_500, "couponsLeft": 7},
    ]  # fmt: skip
    again = await api(CREATE, {"input": given(batch)}, caller=MANAGER)
    assert again["data"]["createPlaybook"]["playbook"]["id"] == row["id"]
    chosen = {"input": {"playbookId": row["id"]}}
    refused = await api(ACTIVATE, chosen, caller=MANAGER)
    assert refused["data"]["activatePlaybook"]["code"] == "BATCH_NOT_ACTIVE"
    async with database.begin() as tx:
        await tx.session.execute(update(coupons.Batch).values(state=coupons.BatchState.ACTIVE))
    done = await api(ACTIVATE, chosen, caller=MANAGER)
    assert done["data"]["activatePlaybook"]["playbook"]["state"] == "ACTIVE"
    more = given(batch, playbookId=row["id"], idempotencyKey="two")
    second = await api(UPDATE, {"input": more}, caller=MANAGER)
    assert second["data"]["updatePlaybook"]["playbook"]["version"] == 2
    late = await api(
        UPDATE,
        {"input": given(batch, playbookId=row["id"], idempotencyKey="three")},
        caller=MANAGER,
    )
    assert late["data"]["updatePlaybook"]["code"] == "PLAYBOOK_SUPERSEDED"
    async with database.read() as read:
        audited = await read.session.scalars(select(AuditEntry))
    assert {entry.action for entry in audited} >= {"createPlaybook", "activatePlaybook"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"measures": []}, "measures"),
        ({"holdoutPermille": 501}, "holdoutPermille"),
        ({"horizonDays": 6}, "horizonDays"),
        ({"name": " ", "measures": [NOTHING]}, "name"),
        ({"measures": [{"level": "L1", "audience": "VIP", "kind": "COUPON"}]}, "batchId"),
        (
            {"measures": [{"level": "L1", "audience": "VIP", "kind": "MESSAGE", "textZh": "好"}]},
            "textEn",
        ),
        (
            {"measures": [{"level": "L1", "audience": "VIP", "kind": "POINTS", "points": 0}]},
            "points",
        ),
        (
            {"measures": [{"level": "L1", "audience": "VIP", "kind": "NOTHING"}] * 2},
            "measures",
        ),
        (
            {
                "measures": [
                    {"level": "L1", "audience": "VIP", "kind": "NOTHING", "forLeader": True}
                ]
            },
            "forLeader",
        ),
    ],
)
async def test_what_a_playbook_may_not_be(
    api: Api, database: Database, change: dict[str, Any], field: str
) -> None:
    answer = await api(CREATE, {"input": given(None) | change}, caller=MANAGER)
    refused = answer["data"]["createPlaybook"]
    assert refused["code"] == "INVALID_INPUT"
    assert field in refused["message"]


async def test_a_batch_or_community_that_is_not_there_is_refused(
    api: Api, database: Database
) -> None:
    nowhere = global_id("CouponBatch", uuid4())
    answer = await api(CREATE, {"input": given(nowhere)}, caller=MANAGER)
    assert answer["data"]["createPlaybook"]["code"] == "BATCH_NOT_FOUND"
    batch = await a_batch(database, coupons.BatchState.ACTIVE)
    home = global_id("Community", uuid4())
    answer = await api(CREATE, {"input": given(batch, communityId=home)}, caller=MANAGER)
    assert answer["data"]["createPlaybook"]["code"] == "COMMUNITY_NOT_FOUND"


async def test_a_leader_sees_and_closes_their_own_community_s_tasks(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    async with database.begin() as tx:
        home = (await make_members.community(tx)).id
        away = (await make_members.community(tx, name="滨江苑")).id
        await make.playbook(tx, [make.task(for_leader=True)], community_id=home)
        await make.playbook(tx, [make.task()])
        (mine,) = await make.alerts(tx, 1, level=AlertState.L3, community_id=home)
        await make.alerts(tx, 1, level=AlertState.L3, community_id=away)
        await playbooks.answer_alerts(tx)
    leader = StaffCaller(uuid4(), uuid4(), Role.LEADER, home)
    far = StaffCaller(uuid4(), uuid4(), Role.LEADER, away)
    seen = (await api(TASKS, caller=leader, locale="zh-CN"))["data"]["playbookTasks"]["nodes"]
    assert [node["member"]["id"] for node in seen] == [global_id("Member", mine)]
    assert (seen[0]["script"], seen[0]["reasons"]) == ("问候李阿姨", ["近30天下单减少60%"])
    assert not (await api(TASKS, caller=far))["data"]["playbookTasks"]["nodes"]
    assert len((await api(TASKS, caller=owner))["data"]["playbookTasks"]["nodes"]) == 2
    chosen = {
        "taskId": seen[0]["id"], "result": "REACHED", "note": "在出差", "idempotencyKey": "a"
    }  # fmt: skip
    refused = await api(COMPLETE, {"input": chosen}, caller=far)
    assert refused["data"]["completePlaybookTask"]["code"] == "TASK_NOT_FOUND"
    for _ in range(2):
        done = await api(COMPLETE, {"input": chosen}, caller=leader)
        task = done["data"]["completePlaybookTask"]["task"]
        assert task == {
            "state": "DONE", "result": "REACHED", "note": "在出差", "member": {"nickname": "李阿姨"}
        }  # fmt: skip
    late = await api(COMPLETE, {"input": chosen | {"idempotencyKey": "b"}}, caller=owner)
    assert late["data"]["completePlaybookTask"]["code"] == "TASK_CLOSED"


async def test_a_member_reads_their_messages_and_no_others(api: Api, database: Database) -> None:
    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        mine, _ = await make.alerts(tx, 2)
        await playbooks.answer_alerts(tx)
    answer = await api("{ me { messages { text } } }", caller=MemberCaller(mine, uuid4()))
    assert answer["data"]["me"]["messages"] == [{"text": "李阿姨, fresh: what is in season"}]
    assert member_topic(mine).endswith(str(mine))


async def test_the_queue_says_what_each_place_goes_by(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    from workers.playbooks import rank_alerts

    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        for net90 in (1_000, 50_000, 20_000):
            await make.alerts(tx, 1, net90=net90)
        await playbooks.answer_alerts(tx)
    await rank_alerts(database)
    document = """query($first: Int!, $after: String) { rankedAlerts(first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { place { rankedBy worthFen expectedEffect }
              alert { level expectedEffect place { worthFen } answers { level kind outcome side } }
      } } }"""
    page = (await api(document, {"first": 2}, caller=owner))["data"]["rankedAlerts"]
    rest = (
        await api(document, {"first": 2, "after": page["pageInfo"]["endCursor"]}, caller=owner)
    )["data"]["rankedAlerts"]
    nodes = page["nodes"] + rest["nodes"]
    # 0.9 of half of what 90 days brought, or of an average order; 5% of it may be saved.
    assert [node["place"]["worthFen"] for node in nodes] == [1_125, 450, 45]
    assert nodes[0]["place"]["rankedBy"] == "EXPECTED_LOSS"
    assert nodes[0]["alert"]["expectedEffect"] is None
    assert nodes[0]["alert"]["answers"] == [
        {"level": "L1", "kind": "MESSAGE", "outcome": "DONE", "side": "TREATED"}
    ]


async def test_the_ready_playbook_is_drafted_once(database: Database) -> None:
    async with database.begin() as tx:
        made = await playbooks.ensure_playbook(tx)
        assert made is not None
        assert made.state is playbooks.PlaybookState.DRAFT
        assert await playbooks.ensure_playbook(tx) is None
        measures = (await playbooks.measures_by_playbook(tx, [made.id]))[made.id]
        assert {one.level for one in measures} == set(playbooks.Level)
        with pytest.raises(playbooks.PlaybookNeedsApproval):
            await playbooks.activate_playbook(tx, playbook_id=made.id)
        await playbooks.approve_playbook(tx, playbook_id=made.id, by=MANAGER.id)
        with pytest.raises(coupons.BatchNotActive):
            await playbooks.activate_playbook(tx, playbook_id=made.id)
        drafts = list(await tx.session.scalars(select(coupons.Batch)))
    assert {made.created_by, *(batch.drafted_by for batch in drafts)} == {PRODUCT}
    assert len(drafts) == 6
