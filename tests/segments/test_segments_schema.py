"""Stages over GraphQL: one's own, and the whole picture for staff."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app import segments
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.db import Database
from tests.conftest import NOON, Api
from tests.make import segments as make
from tests.segments.oracle import Bought, Person

DOCUMENT = (Path(__file__).parents[2] / "examples" / "graphql" / "segments.graphql").read_text()
OWN = "{ me { segment { stage name net90 lastOrderAt rfm { recency frequency monetary } } } }"


async def run(database: Database) -> list[UUID]:
    async with database.begin() as tx:
        joined = NOON - timedelta(days=400)
        buyer = await make.person(tx, Person(joined, [Bought(NOON - timedelta(days=2), 500)]))
        newcomer = await make.person(tx, Person(NOON - timedelta(days=1)))
        await segments.run(tx, as_of=NOON)
        return [buyer, newcomer]


@pytest.mark.parametrize(
    ("locale", "names"), [("zh-CN", ["核心会员", "新客"]), ("en", ["VIP", "New here"])]
)
async def test_members_see_their_own_stage_in_their_language(
    api: Api,
    database: Database,
    as_member: Callable[[UUID], MemberCaller],
    locale: str,
    names: list[str],
) -> None:
    ids = await run(database)
    answers = [await api(OWN, caller=as_member(id_), locale=locale) for id_ in ids]
    own = [answer["data"]["me"]["segment"] for answer in answers]
    assert [item["name"] for item in own] == names
    assert own[0]["net90"] == 500
    assert own[0]["rfm"] == {"recency": 5, "frequency": 1, "monetary": 1}
    assert own[1]["rfm"] is None


async def test_staff_see_everyone_by_stage(
    api: Api, database: Database, owner: StaffCaller, as_member: Callable[[UUID], MemberCaller]
) -> None:
    empty = await api(DOCUMENT, caller=owner)
    assert (empty["data"]["segments"]["asOf"], empty["data"]["segments"]["members"]) == (None, 0)
    ids = await run(database)
    found = (await api(DOCUMENT, caller=owner))["data"]["segments"]
    assert (found["members"], found["vipSalesShare"], found["cutPointsVersion"]) == (2, 1.0, 1)
    assert found["alarms"] == ["VIP_SHARE_OF_MEMBERS"]
    filled = {item["stage"]: item["share"] for item in found["stages"] if item["members"]}
    assert filled == {"VIP": 0.5, "ONBOARDING": 0.5}
    assert len(found["stages"]) == len(segments.Stage)
    refused = await api(DOCUMENT, caller=as_member(ids[0]))
    assert refused["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
