"""The staff's queue of alerts over GraphQL."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

from app import churn
from app.kernel.auth import MemberCaller, Role, StaffCaller
from app.kernel.db import Database
from tests.conftest import Api
from tests.make.churn import scores
from tests.make.members import community, member
from tests.make.relaying import until_followed

EXAMPLES = Path(__file__).parents[2] / "examples" / "graphql"
ALERTS = (EXAMPLES / "churn-alerts.graphql").read_text()
WATCH = (EXAMPLES / "watch-alerts.graphql").read_text()
RISK = "query($id: ID!) { member(id: $id) { risk { probability horizonDays reasons } } }"


async def at_risk(database: Database, *probability: float) -> list[UUID]:
    async with database.begin() as tx:
        home = (await community(tx)).id
        ids = [
            (await member(tx, community_id=home, nickname=f"n{value}")).id for value in probability
        ]
        await scores(tx, member_ids=ids, probability=probability)
    return ids


async def test_the_queue_pages_from_the_likeliest_to_leave(api: Api, owner: StaffCaller) -> None:
    await at_risk(api.resources.database, 0.7, 0.9, 0.8, 0.8, 0.5)
    seen: list[str] = []
    after = None
    for _ in range(3):
        answer = await api(ALERTS, {"first": 2, "after": after}, caller=owner)
        page = answer["data"]["churnAlerts"]
        seen += [edge["node"]["member"]["nickname"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == ["n0.9", "n0.8", "n0.8", "n0.7"]


async def test_reasons_are_in_the_readers_language(api: Api, owner: StaffCaller) -> None:
    await at_risk(api.resources.database, 0.9)
    for locale, words in (("zh-CN", "近30天下单减少60%"), ("en", "60% fewer orders in 30 days")):
        answer = await api(ALERTS, caller=owner, locale=locale)
        (edge,) = answer["data"]["churnAlerts"]["edges"]
        assert edge["node"]["reasons"] == [words]
        assert edge["node"]["level"] == "OPEN"


async def test_the_days_until_the_next_order_stand_beside_score_and_alert(
    api: Api, owner: StaffCaller
) -> None:
    database = api.resources.database
    async with database.begin() as tx:
        home = (await community(tx)).id
        ids = [(await member(tx, community_id=home)).id for _ in range(4)]
        days = [61.5, 180.0, 857.0, None]
        await scores(tx, member_ids=ids, probability=[0.95, 0.9, 0.85, 0.8], next_order_days=days)
    document = """{ churnAlerts(first: 5) { edges { node { id nextOrderDays nextOrderOutlook
        member { risk { nextOrderDays nextOrderOutlook } } } } } }"""
    edges = (await api(document, caller=owner))["data"]["churnAlerts"]["edges"]
    told = [(61.5, "TOLD"), (180.0, "TOLD"), (None, "LATE"), (None, "UNKNOWN")]
    for place in ("alert", "score"):
        found = [edge["node"] for edge in edges]
        if place == "score":
            found = [one["member"]["risk"] for one in found]
        assert [(one["nextOrderDays"], one["nextOrderOutlook"]) for one in found] == told
    async with database.begin() as tx:
        row = (await churn.open_alert_by_member(tx, ids[:1]))[ids[0]]
        await churn.close_by_staff(
            tx,
            alert_id=row.id,
            actor_id=owner.id,
            state=churn.AlertState.FALSE_ALARM,
            reason="on a journey",
        )
    node = """query($id: ID!) { node(id: $id) { ... on ChurnAlert {
        nextOrderDays nextOrderOutlook } } }"""
    found = await api(node, {"id": edges[0]["node"]["id"]}, caller=owner)
    assert found["data"]["node"] == {"nextOrderDays": None, "nextOrderOutlook": "UNKNOWN"}


async def test_only_states_asked_for(api: Api, owner: StaffCaller) -> None:
    await at_risk(api.resources.database, 0.9)
    for state, number in (("OPEN", 1), ("L3", 0), ("MUTED", 0), (None, 1)):
        answer = await api(ALERTS, {"state": state}, caller=owner)
        assert len(answer["data"]["churnAlerts"]["edges"]) == number


async def test_members_and_leaders_do_not_see_risk(api: Api, owner: StaffCaller) -> None:
    (one,) = await at_risk(api.resources.database, 0.9)
    mine = MemberCaller(one, uuid4())
    leader = StaffCaller(uuid4(), uuid4(), Role.LEADER)
    for caller in (mine, leader):
        refused = await api(ALERTS, caller=caller)
        assert refused["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
    me = await api("{ me { id risk { probability } } }", caller=mine)
    assert me["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
    identity = (await api("{ me { id } }", caller=mine))["data"]["me"]["id"]
    seen = await api(RISK, {"id": identity}, caller=owner)
    assert seen["data"]["member"]["risk"]["probability"] == 0.9
    (edge,) = (await api(ALERTS, caller=owner))["data"]["churnAlerts"]["edges"]
    node = "query($id: ID!) { node(id: $id) { __typename ... on ChurnAlert { steps { state } } } }"
    found = await api(node, {"id": edge["node"]["id"]}, caller=owner)
    assert found["data"]["node"] == {"__typename": "ChurnAlert", "steps": [{"state": "OPEN"}]}
    assert (await api(node, {"id": edge["node"]["id"]}, caller=mine))["data"]["node"] is None


async def test_a_raised_alert_reaches_the_watching_console(
    api: Api, owner: StaffCaller, relay: Callable[[], Awaitable[int]]
) -> None:
    watching = await api.subscribe(WATCH, caller=owner)
    first = asyncio.ensure_future(anext(watching))
    await until_followed(api.resources.live)
    await at_risk(api.resources.database, 0.9)
    await relay()
    raised = (await asyncio.wait_for(first, 20)).data["churnAlertRaised"]
    assert raised["alert"]["member"]["nickname"] == "n0.9"
    await watching.aclose()
    await at_risk(api.resources.database, 0.8)
    await relay()
    again = await api.subscribe(WATCH, {"after": raised["cursor"]}, caller=owner)
    missed = (await asyncio.wait_for(anext(again), 20)).data["churnAlertRaised"]
    assert missed["alert"]["member"]["nickname"] == "n0.8"
    await again.aclose()
