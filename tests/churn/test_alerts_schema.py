"""Staff at work on the queue over GraphQL: lists, mutations, the audit log, live changes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from app import churn, staff
from app.kernel.auth import Caller, MemberCaller, Role, StaffCaller
from app.kernel.db import Database
from app.segments import MemberStage, Stage, StageReason
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import churn as make
from tests.make.members import community, member
from tests.make.relaying import until_followed

QUEUE = """query($order: ChurnAlertOrder! = PROBABILITY, $mine: Boolean! = false,
    $free: Boolean! = false, $fresh: Boolean! = false, $owner: ID, $first: Int! = 20,
    $after: String, $state: ChurnAlertState) {
  churnAlerts(order: $order, mine: $mine, free: $free, unacknowledged: $fresh, ownerId: $owner,
      first: $first, after: $after, state: $state) {
    pageInfo { hasNextPage endCursor }
    nodes { id member { nickname } expectedLossFen owner { name } } } }"""
ALERT = """
  id level acknowledgedAt acknowledgedBy { name } owner { name } heldUntil mutedUntil closedAt
  history { state action reason actor { name } }"""
TAKE = f"""mutation($input: TakeOverAlertInput!) {{ takeOverAlert(input: $input) {{
  ... on TakeOverAlertSuccess {{ alert {{ {ALERT} }} }}
  ... on AlertTaken {{ notBefore }} ... on UserError {{ code message }} }} }}"""


def instant(at: datetime) -> str:
    """As the API writes it."""
    return at.isoformat().replace("+00:00", "Z")


def mutation(name: str) -> str:
    kind = name[0].upper() + name[1:]
    return f"""mutation($input: {kind}Input!) {{ {name}(input: $input) {{
      ... on {kind}Success {{ alert {{ {ALERT} }} }} ... on UserError {{ code message }} }} }}"""


async def at_risk(database: Database, **given: tuple[float, int]) -> dict[str, UUID]:
    """Alerts of members by nickname, each with a probability and a net spend of 90 days."""
    found: dict[str, UUID] = {}
    async with database.begin() as tx:
        home = (await community(tx)).id
        for name, (probability, net90) in given.items():
            key = (await member(tx, community_id=home, nickname=name)).id
            tx.session.add(
                MemberStage(
                    member_id=key, stage=Stage.REGULAR, reason=StageReason.TOP_SPEND,
                    since=tx.now, as_of=tx.now, orders=3, orders30=1, net90=net90,
                )
            )  # fmt: skip
            await tx.session.flush()
            found[name] = (await make.alert(tx, member_id=key, probability=probability)).id
    return found


async def worker(database: Database, name: str, role: Role = Role.SUPPORT) -> StaffCaller:
    async with database.begin() as tx:
        row = await make.colleague(tx, name=name, role=role)
    return StaffCaller(row.id, uuid4(), role)


async def names(api: Api, caller: StaffCaller, **variables: Any) -> list[str]:
    answer = await api(QUEUE, variables, caller=caller)
    assert "errors" not in answer, answer
    return [node["member"]["nickname"] for node in answer["data"]["churnAlerts"]["nodes"]]


async def act(
    api: Api, name: str, alert: UUID, caller: Caller, key: str = "k1", **given: Any
) -> dict[str, Any]:
    """What a mutation answers: its alert, or the refusal."""
    wanted = {"alertId": global_id("ChurnAlert", alert), "idempotencyKey": key, **given}
    answer = await api(mutation(name), {"input": wanted}, caller=caller)
    assert "errors" not in answer, answer
    found = answer["data"][name]
    return found.get("alert") or found


async def test_the_queue_by_probability_and_by_expected_loss(api: Api, owner: StaffCaller) -> None:
    await at_risk(api.resources.database, a=(0.9, 100), b=(0.8, 9_000), c=(0.7, 90_000))
    assert await names(api, owner) == ["a", "b", "c"]
    assert await names(api, owner, order="EXPECTED_LOSS") == ["c", "b", "a"]
    seen: list[str] = []
    after = None
    for _ in range(3):
        given = {"order": "EXPECTED_LOSS", "first": 1, "after": after}
        page = (await api(QUEUE, given, caller=owner))["data"]["churnAlerts"]
        seen += [node["member"]["nickname"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert seen == ["c", "b", "a"]
    assert page["pageInfo"]["hasNextPage"] is False
    mixed = await api(QUEUE, {"after": after}, caller=owner)
    assert mixed["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def test_the_queue_by_owner_and_by_what_nobody_has_seen(api: Api, clock: TestClock) -> None:
    database = api.resources.database
    keys = await at_risk(database, a=(0.9, 0), b=(0.8, 0), c=(0.7, 0))
    zhou, wu = [await worker(database, name) for name in ("小周", "小吴")]
    await act(api, "takeOverAlert", keys["a"], zhou)
    await act(api, "takeOverAlert", keys["b"], wu)
    await act(api, "acknowledgeAlert", keys["c"], wu)
    assert await names(api, zhou, mine=True) == ["a"]
    assert await names(api, wu, mine=True) == ["b"]
    assert await names(api, zhou, owner=global_id("StaffAccount", wu.id)) == ["b"]
    assert await names(api, zhou, free=True) == ["c"]
    assert await names(api, zhou, fresh=True) == []
    await at_risk(database, d=(0.75, 0))
    assert await names(api, zhou, fresh=True) == ["d"]
    both = {"mine": True, "owner": global_id("StaffAccount", wu.id)}
    refused = await api(QUEUE, both, caller=zhou)
    assert refused["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
    # A hold that is over is nobody's, even before the job that ends it has run.
    clock.advance(hours=72)
    assert await names(api, zhou, mine=True) == []
    assert await names(api, zhou, free=True) == ["a", "b", "d", "c"]


async def test_each_mutation_once_a_key_with_history_and_audit(api: Api, clock: TestClock) -> None:
    database = api.resources.database
    keys = await at_risk(database, a=(0.9, 0))
    zhou = await worker(database, "小周")
    key = keys["a"]
    seen = await act(api, "acknowledgeAlert", key, zhou)
    assert seen["acknowledgedBy"] == {"name": "小周"}
    clock.advance(minutes=1)
    taken = await act(api, "takeOverAlert", key, zhou)
    until = instant(clock.now + timedelta(hours=72))
    assert (taken["owner"], taken["heldUntil"]) == ({"name": "小周"}, until)
    clock.advance(hours=1)
    assert (await act(api, "takeOverAlert", key, zhou))["heldUntil"] == until, "the same key"
    back = await act(api, "handBackAlert", key, zhou, reason="no answer")
    assert (back["owner"], back["heldUntil"]) == (None, None)
    clock.advance(minutes=1)
    reused = await act(api, "handBackAlert", key, zhou, reason="another")
    assert reused["code"] == "IDEMPOTENCY_KEY_REUSED"
    ends = instant(clock.now + timedelta(days=3))
    blank = await act(api, "muteAlert", key, zhou, until=ends, reason=" ")
    assert blank["code"] == "REASON_REQUIRED"
    muted = await act(api, "muteAlert", key, zhou, until=ends, reason="travels")
    assert (muted["level"], muted["mutedUntil"]) == ("MUTED", ends)
    again = await act(api, "muteAlert", key, zhou, until=ends, reason="travels")
    assert again == muted
    closed = await act(api, "closeAlert", key, zhou, verdict="FALSE_ALARM", reason="x")
    assert closed["code"] == "ALERT_CLOSED"
    nobody = await act(api, "closeAlert", uuid4(), zhou, "k2", verdict="CHURNED", reason="x")
    assert nobody["code"] == "ALERT_NOT_FOUND"
    told = [
        (e["state"] or e["action"], e["reason"], e["actor"] and e["actor"]["name"])
        for e in muted["history"]
    ]
    assert told == [
        ("OPEN", None, None),
        ("ACKNOWLEDGED", None, "小周"),
        ("TAKEN_OVER", None, "小周"),
        ("HANDED_BACK", "no answer", "小周"),
        ("MUTED", "travels", "小周"),
    ]
    log = await changes(database)
    assert log["acknowledgeAlert"]["acknowledged_by"] == (None, str(zhou.id))
    assert log["takeOverAlert"]["taken_by"] == (None, str(zhou.id))
    assert log["handBackAlert"]["taken_by"] == (str(zhou.id), None)
    assert log["muteAlert"]["state"] == ("OPEN", "MUTED")
    assert "closeAlert" not in log, "what was refused changed nothing"


async def changes(database: Database) -> dict[str, dict[str, tuple[Any, Any]]]:
    """By action: the columns that the audit log says it changed, before and after."""
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    async with database.read() as read:
        rows = await read.session.scalars(select(staff.AuditEntry).order_by(staff.AuditEntry.at))
        for row in rows:
            assert row.subject_kind == "churn_alert"
            before, after = row.before or {}, row.after or {}
            figures = {name: (before[name], after[name]) for name in before}
            if figures:
                found[row.action] = figures
    return found


@pytest.mark.parametrize("verdict", ["FALSE_ALARM", "RECOVERED", "CHURNED"])
async def test_alerts_end_by_a_verdict(api: Api, verdict: str) -> None:
    keys = await at_risk(api.resources.database, a=(0.9, 0))
    zhou = await worker(api.resources.database, "小周")
    ended = await act(api, "closeAlert", keys["a"], zhou, verdict=verdict, reason="spoke to her")
    assert (ended["level"], ended["history"][-1]["reason"]) == (verdict, "spoke to her")
    assert await names(api, zhou) == []
    assert await names(api, zhou, state=verdict) == ["a"]
    assert await names(api, zhou, state=verdict, order="EXPECTED_LOSS") == ["a"]


async def test_a_colleagues_alert_is_refused_by_name_and_time_but_not_to_managers(
    api: Api, clock: TestClock
) -> None:
    database = api.resources.database
    keys = await at_risk(database, a=(0.9, 0))
    zhou, wu = [await worker(database, name) for name in ("小周", "小吴")]
    boss = await worker(database, "经理", Role.CAMPAIGN_MANAGER)
    await act(api, "takeOverAlert", keys["a"], zhou)
    wanted = {"alertId": global_id("ChurnAlert", keys["a"]), "idempotencyKey": "k"}
    answer = await api(TAKE, {"input": wanted}, caller=wu, locale="zh-CN")
    assert answer["data"]["takeOverAlert"] == {
        "code": "ALERT_TAKEN",
        "message": "该预警由小周处理中",
        "notBefore": instant(clock.now + timedelta(hours=72)),
    }
    closing = {"verdict": "FALSE_ALARM", "reason": "x"}
    assert (await act(api, "closeAlert", keys["a"], wu, **closing))["code"] == "ALERT_TAKEN"
    assert (await act(api, "handBackAlert", keys["a"], wu))["code"] == "NOT_ALLOWED"
    assert (await act(api, "handBackAlert", keys["a"], boss))["owner"] is None
    await act(api, "takeOverAlert", keys["a"], zhou, "k2")
    assert (await act(api, "closeAlert", keys["a"], boss, **closing))["level"] == "FALSE_ALARM"


async def test_who_may_only_look_and_who_may_not_even_that(api: Api, owner: StaffCaller) -> None:
    keys = await at_risk(api.resources.database, a=(0.9, 0))
    analyst = StaffCaller(uuid4(), uuid4(), Role.ANALYST)
    leader = StaffCaller(uuid4(), uuid4(), Role.LEADER, uuid4())
    someone = MemberCaller(uuid4(), uuid4())
    assert await names(api, analyst) == ["a"]
    given: dict[str, dict[str, Any]] = {
        "acknowledgeAlert": {},
        "takeOverAlert": {},
        "handBackAlert": {},
        "muteAlert": {"until": "2026-03-20T00:00:00+00:00", "reason": "x"},
        "closeAlert": {"verdict": "CHURNED", "reason": "x"},
    }
    for name, more in given.items():
        for caller in (analyst, leader, someone):
            refused = await act(api, name, keys["a"], caller, **more)
            assert refused["code"] == "NOT_ALLOWED"
    async with api.resources.database.read() as read:
        row = (await churn.alert_by_id(read, [keys["a"]]))[keys["a"]]
        assert (row.state, row.taken_by) == ("OPEN", None)


async def test_signals_are_told_with_the_members_numbers(
    api: Api, owner: StaffCaller, clock: TestClock
) -> None:
    database = api.resources.database
    async with database.begin() as tx:
        one = await member(tx)
        await make.signal(tx, member_id=one.id, baseline=20, recent=9)
        await make.signal(
            tx, member_id=one.id, kind=churn.SignalKind.USAGE, baseline=7_260, recent=1_830
        )
        await make.score(tx, member_id=one.id, probability=0.6)
    document = """query($id: ID!) {
      member(id: $id) { signals { kind baseline recent change reason } }
      churnAlerts { nodes { cause reasons signals { kind } } } }"""
    for locale, sentences in (
        (
            "zh-CN",
            [
                "近28天登录9次，此前28天20次，减少55%",
                "近28天使用30分钟，此前28天121分钟，减少74%",
            ],
        ),
        (
            "en",
            [
                "9 log-ins in 28 days, 20 in the 28 before: 55% fewer",
                "30 minutes of use in 28 days, 121 in the 28 before: 74% less",
            ],
        ),
    ):
        given = {"id": global_id("Member", one.id)}
        answer = (await api(document, given, caller=owner, locale=locale))["data"]
        assert [signal["reason"] for signal in answer["member"]["signals"]] == sentences
        (node,) = answer["churnAlerts"]["nodes"]
        assert node["cause"] == "SCORE"
        assert node["reasons"][1:] == sentences
        assert [signal["kind"] for signal in node["signals"]] == ["LOGINS", "USAGE"]
    clock.advance(days=1)
    async with database.begin() as tx:
        await tx.session.execute(
            update(churn.ChurnSignal).values(
                closed_at=tx.now, outcome=churn.SignalOutcome.RECOVERED
            )
        )
    answer = (await api(document, given, caller=owner))["data"]
    assert answer["member"]["signals"] == []
    assert len(answer["churnAlerts"]["nodes"][0]["signals"]) == 2, "they were open at some time"


CHANGED = """subscription($after: String) { churnAlertChanged(after: $after) {
  cursor change alert { level owner { name } } } }"""


async def test_a_console_keeps_in_step_with_the_queue_and_goes_on_where_it_was(
    api: Api, relay: Callable[[], Awaitable[int]], clock: TestClock
) -> None:
    database = api.resources.database
    zhou = await worker(database, "小周")
    watching = await api.subscribe(CHANGED, caller=zhou)
    first = asyncio.ensure_future(anext(watching))
    await until_followed(api.resources.live)
    keys = await at_risk(database, a=(0.9, 0))
    await relay()
    raised = (await asyncio.wait_for(first, 20)).data["churnAlertChanged"]
    assert (raised["change"], raised["alert"]["level"]) == ("RAISED", "OPEN")
    await watching.aclose()
    for name in ("acknowledgeAlert", "takeOverAlert", "handBackAlert"):
        clock.advance(minutes=1)
        await act(api, name, keys["a"], zhou)
    clock.advance(minutes=1)
    async with database.begin() as tx:
        await churn.escalate_due(tx)
    clock.advance(minutes=1)
    await act(api, "closeAlert", keys["a"], zhou, verdict="RECOVERED", reason="stays")
    while await relay():
        pass
    again = await api.subscribe(CHANGED, {"after": raised["cursor"]}, caller=zhou)
    seen: list[str] = []
    for _ in range(5):
        told = (await asyncio.wait_for(anext(again), 20)).data["churnAlertChanged"]
        seen.append(told["change"])
    assert seen == ["ACKNOWLEDGED", "TAKEN_OVER", "HANDED_BACK", "ESCALATED", "CLOSED"]
    assert told["alert"]["level"] == "RECOVERED"
    await again.aclose()


async def test_fifty_of_staff_take_over_one_alert_and_one_gets_it(api: Api) -> None:
    database = api.resources.database
    keys = await at_risk(database, a=(0.9, 0))
    people = [await worker(database, f"staff {number}") for number in range(50)]
    answers = await asyncio.gather(
        *(act(api, "takeOverAlert", keys["a"], who, f"key {who.id}") for who in people * 2)
    )
    for one, two in zip(answers[:50], answers[50:], strict=True):
        assert ("owner" in one) == ("owner" in two), "the same key, the same answer"
    winners = {answer["owner"]["name"] for answer in answers if "owner" in answer}
    assert len(winners) == 1
    refused = [answer for answer in answers if "owner" not in answer]
    assert len(refused) == 98
    assert {answer["code"] for answer in refused} == {"ALERT_TAKEN"}
    assert all(next(iter(winners)) in answer["message"] for answer in refused)
    async with database.read() as read:
        actions = (await churn.actions_by_alert(read, list(keys.values())))[keys["a"]]
        assert [action.kind.value for action in actions] == ["TAKEN_OVER"]
