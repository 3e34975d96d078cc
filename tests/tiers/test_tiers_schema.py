"""Tiers over GraphQL, with the documents that clients send."""

from uuid import uuid4

from app import tiers
from app.kernel.auth import MemberCaller
from tests.conftest import Api
from tests.make.examples import operation
from tests.make.members import member
from tests.make.orders import order

MINE = operation("check-in.graphql", "MyPoints")
TIERS = operation("check-in.graphql", "Tiers")


async def test_everyone_sees_the_tiers_in_their_language(api: Api) -> None:
    async with api.resources.database.begin() as tx:
        await tiers.ensure_tiers(tx)
    chinese = (await api(TIERS, locale="zh-CN"))["data"]["tiers"]
    english = (await api(TIERS))["data"]["tiers"]
    assert [tier["name"] for tier in chinese] == ["普通", "黄金", "钻石"]
    assert [tier["name"] for tier in english] == ["Normal", "Gold", "Diamond"]
    assert {"code": "vip-group", "name": "VIP专属群"} in chinese[2]["benefits"]


async def test_a_member_sees_tier_benefits_and_what_is_missing(api: Api) -> None:
    async with api.resources.database.begin() as tx:
        await tiers.ensure_tiers(tx)
        person = (await member(tx)).id
        await order(tx, member_id=person, total_fen=250_000)
        await tiers.upgrade_if_due(tx, member_id=person)
        new = (await member(tx)).id
    mine = (await api(MINE, caller=MemberCaller(person, uuid4())))["data"]["me"]["tier"]
    assert (mine["code"], mine["rank"], mine["growth"], mine["state"]) == (
        "GOLD",
        2,
        2_500,
        "STEADY",
    )
    assert mine["next"] == {"tier": {"code": "DIAMOND", "name": "Diamond"}, "missingGrowth": 5_500}
    assert mine["benefits"][1] == {
        "code": "priority-delivery",
        "name": "Priority delivery slot",
        "quota": 4,
        "window": "MONTH",
    }
    fresh = (await api(MINE, caller=MemberCaller(new, uuid4())))["data"]["me"]["tier"]
    assert (fresh["code"], fresh["growth"], fresh["next"]["missingGrowth"]) == ("NORMAL", 0, 2_000)
