"""A neighbourhood's settings: seen with their bounds, changed all or none, and then in force."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import churn, coupons, members, points, tiers
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Database
from app.members import Setting, SettingKind
from app.points.rules import check_in_settings, expiry_rule, tier_percent
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import members as make

ERROR = "... on UserError { code message }"
SEE = """query($id: ID!) { communitySettings(communityId: $id) {
  key kind value isOwn defaultValue least most choices description } }"""
CHANGE = f"""mutation($input: UpdateCommunitySettingsInput!) {{
  updateCommunitySettings(input: $input) {{
  ... on UpdateCommunitySettingsSuccess {{ settings {{ key value isOwn }} }} {ERROR} }} }}"""


async def home(database: Database, **settings: object) -> UUID:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        row = await make.community(tx)
        row.settings = dict(settings)
        await tx.session.flush()
        return row.id


async def change(
    api: Api, caller: Any, community: UUID, key: str = "tap", **changes: Any
) -> dict[str, Any]:
    given = {
        "communityId": global_id("Community", community),
        "changes": [
            {"key": name.replace("__", "."), "value": value} for name, value in changes.items()
        ],
        "idempotencyKey": key,
    }
    answer = await api(CHANGE, {"input": given}, caller=caller)
    return answer["data"]["updateCommunitySettings"]


async def stored(database: Database, community: UUID) -> dict[str, Any]:
    async with database.read() as read:
        return (await members.communities_by_id(read, [community]))[community].settings


async def test_every_setting_is_told_with_its_default_and_bounds(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    community = await home(database, checkIn={"points": 9}, sharing={"points": "many"})
    asked = {"id": global_id("Community", community)}
    rows = (await api(SEE, asked, caller=owner))["data"]["communitySettings"]
    found = {row["key"]: row for row in rows}
    assert len(found) == len(rows) <= 200
    assert found["checkIn.points"] == {
        "key": "checkIn.points",
        "kind": "INTEGER",
        "value": 9,
        "isOwn": True,
        "defaultValue": 5,
        "least": 0,
        "most": 10_000,
        "choices": [],
        "description": "Points of a check-in.",
    }
    broken = found["sharing.points"]
    assert (broken["value"], broken["isOwn"]) == (50, False), "what cannot be does not count"
    assert found["tierPercent.GOLD"]["value"] == 100
    assert found["churn_trigger"]["value"] == churn.TRIGGER
    assert found["churn_signal_effect"]["choices"] == ["NONE", "LOWER", "RAISE"]


async def test_changes_are_in_force_for_the_rules_and_null_takes_them_back(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    community = await home(database)
    done = await change(
        api,
        owner,
        community,
        checkIn__points=3,
        memberDay__percent=200,
        memberDay__weekdays=[5, 1, 5],
        tierPercent__GOLD=150,
        expiry__CHECK_IN__kind="END_OF_MONTH",
        expiry__CHECK_IN__count=2,
        pointsAsMoney__perYuan=50,
        closing_grace_days=3,
        churn_trigger=0.6,
    )
    values = {row["key"]: (row["value"], row["isOwn"]) for row in done["settings"]}
    assert values["memberDay.weekdays"] == ([1, 5], True)
    assert values["checkIn.bonus"] == (10, False)
    settings = await stored(database, community)
    assert check_in_settings(settings).points == 3
    assert tier_percent(settings, "GOLD") == 150
    assert expiry_rule(settings, points.Source.CHECK_IN).count == 2
    assert coupons.points_rule(settings) == (50, 50)
    assert settings["churn_trigger"] == 0.6
    await change(api, owner, community, key="2", checkIn__points=None, churn_trigger=None)
    settings = await stored(database, community)
    assert "checkIn" not in settings
    assert "churn_trigger" not in settings
    assert settings["closing_grace_days"] == 3, "the others stay"


@pytest.mark.parametrize(
    ("changes", "code", "names"),
    [
        ({"checkIn__prize": 1}, "SETTING_UNKNOWN", "checkIn.prize"),
        ({"checkIn": {"points": 1}}, "SETTING_UNKNOWN", "checkIn"),
        ({"tierPercent__PLATINUM": 150}, "SETTING_UNKNOWN", "tierPercent.PLATINUM"),
        ({"checkIn__points": -1}, "INVALID_INPUT", "checkIn.points"),
        ({"checkIn__points": 10_001}, "INVALID_INPUT", "checkIn.points"),
        ({"checkIn__points": 2.5}, "INVALID_INPUT", "checkIn.points"),
        ({"checkIn__points": True}, "INVALID_INPUT", "checkIn.points"),
        ({"checkIn__points": "5"}, "INVALID_INPUT", "checkIn.points"),
        ({"churn_trigger": 1.01}, "INVALID_INPUT", "churn_trigger"),
        ({"churn_signal_effect": "SHOUT"}, "INVALID_INPUT", "churn_signal_effect"),
        ({"memberDay__weekdays": [0]}, "INVALID_INPUT", "memberDay.weekdays"),
        ({"memberDay__weekdays": 5}, "INVALID_INPUT", "memberDay.weekdays"),
        ({"expiry__CHECK_IN__count": 3}, "INVALID_INPUT", "expiry.CHECK_IN"),
        (
            {"expiry__ECO__kind": "DAYS", "expiry__ECO__count": 0},
            "INVALID_INPUT",
            "expiry.ECO",
        ),
        ({}, "INVALID_INPUT", "changes"),
    ],
)
async def test_what_cannot_be_is_refused_by_name_and_nothing_changes(
    api: Api,
    database: Database,
    owner: StaffCaller,
    changes: dict[str, Any],
    code: str,
    names: str,
) -> None:
    community = await home(database)
    given = changes and {"sharing__points": 7, **changes}
    refused = await change(api, owner, community, **given)
    assert refused["code"] == code
    assert names in refused["message"]
    assert await stored(database, community) == {}


async def test_changes_are_audited_and_made_once_for_their_key(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    community = await home(database)
    first = await change(api, owner, community, checkIn__points=3)
    await change(api, owner, community, key="later", checkIn__points=4)
    await change(api, owner, community, checkIn__points=3)
    assert (await stored(database, community))["checkIn"] == {"points": 4}
    assert {row["key"]: row["value"] for row in first["settings"]}["checkIn.points"] == 3
    odd = await change(api, owner, community, checkIn__points=5)
    assert odd["code"] == "IDEMPOTENCY_KEY_REUSED"
    log = "{ auditLog(first: 9) { nodes { action before after subjectId } } }"
    nodes = (await api(log, caller=owner))["data"]["auditLog"]["nodes"]
    assert {node["subjectId"] for node in nodes} == {str(community)}
    seen = [(node["before"], node["after"]) for node in nodes]
    assert ({"settings": {}}, {"settings": {"checkIn": {"points": 3}}}) in seen


async def test_only_managers_change_and_no_member_sees_them(api: Api, database: Database) -> None:
    community = await home(database)
    support = StaffCaller(uuid4(), uuid4(), Role.SUPPORT)
    assert (await change(api, support, community, checkIn__points=3))["code"] == "NOT_ALLOWED"
    manager = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)
    assert (await change(api, manager, uuid4(), checkIn__points=3))["code"] == "COMMUNITY_NOT_FOUND"


async def test_fifty_changes_at_once_of_different_keys_are_all_kept(database: Database) -> None:
    community = await home(database)
    known = [Setting(f"k{at}", SettingKind.INTEGER, 0, "", "", 0, 99) for at in range(50)]

    async def put(at: int) -> None:
        async with database.begin() as tx:
            await members.update_settings(
                tx, community_id=community, changes={f"k{at}": at}, known=known
            )

    await asyncio.gather(*(put(at) for at in range(50) for _ in range(2)))
    assert await stored(database, community) == {f"k{at}": at for at in range(50)}


def test_no_key_is_named_twice_and_every_default_may_be() -> None:
    known = [
        *points.SETTINGS,
        *points.tier_settings(["GOLD"]),
        *coupons.SETTINGS,
        *churn.SETTINGS,
        *members.SETTINGS,
    ]
    assert len({setting.key for setting in known}) == len(known)
    for setting in known:
        found = members.in_force({}, [setting])
        assert [(one.value, one.own) for one in found] == [(setting.default, False)]
        assert setting.zh
        assert setting.en.endswith(".")
