"""The audit log: every act of staff and partners, with what it changed, kept whatever happens."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from graphql import GraphQLObjectType
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app import staff
from app.kernel.auth import PartnerCaller, Role, Scope, StaffCaller, hash_password
from app.kernel.db import Database
from schema import build_schema
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import campaigns as make_campaigns
from tests.make import drops as make_drops
from tests.make import members as make_members
from tests.make import points as make_points
from tests.make.asking import smallest_value

LOG = """query($first: Int = 20, $after: String, $actor: ID, $action: String) {
  auditLog(first: $first, after: $after, actor: $actor, action: $action) {
    nodes { id at actorKind actorId action outcome given subjectKind subjectId before after
      address requestId }
    pageInfo { hasNextPage endCursor } } }"""


async def log(api: Api, owner: StaffCaller, **given: Any) -> list[dict[str, Any]]:
    answer = await api(LOG, given, caller=owner)
    assert "errors" not in answer
    return answer["data"]["auditLog"]["nodes"]


async def test_a_correction_of_points_is_kept_with_what_it_changed(
    api: Api, owner: StaffCaller, clock: TestClock
) -> None:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        await make_points.lot(tx, member_id=person, amount=40)
    given = {
        "memberId": global_id("Member", person),
        "amount": 5,
        "reason": "late delivery",
        "idempotencyKey": "tap",
    }
    await api(
        "mutation($input: AdjustPointsInput!) { adjustPoints(input: $input) { __typename } }",
        {"input": given},
        caller=owner,
        address="192.0.2.7",
    )
    [entry] = await log(api, owner)
    assert (entry["action"], entry["outcome"]) == ("adjustPoints", "DONE")
    assert entry["at"] == clock.now.isoformat().replace("+00:00", "Z")
    assert entry["actorId"] == global_id("StaffAccount", owner.id)
    assert (entry["subjectKind"], entry["subjectId"]) == ("points_account", str(person))
    assert entry["before"]["active"] + 5 == entry["after"]["active"]
    assert "member_id" not in entry["after"], "what did not change is left out"
    assert entry["given"]["reason"] == "late delivery"
    assert entry["address"] == "192.0.2.7"


async def test_what_is_made_has_no_before_and_moves_show_both(api: Api, owner: StaffCaller) -> None:
    async with api.resources.database.begin() as tx:
        await make_campaigns.staged(tx)
        campaign = await make_campaigns.campaign(tx, running=True)
        drop = await make_drops.drop(tx)
    for name, field, key in (
        ("pauseCampaign", "campaignId", global_id("Campaign", campaign.id)),
        ("openDrop", "dropId", global_id("Drop", drop.id)),
    ):
        await api(
            f'mutation {{ {name}(input: {{{field}: "{key}"}}) {{ __typename }} }}', caller=owner
        )
    make = """mutation($input: CreateCouponTemplateInput!) {
      createCouponTemplate(input: $input) { __typename } }"""
    coupon = {"name": "五元券", "kind": "FIXED", "value": 500, "validDays": 7}
    await api(make, {"input": coupon}, caller=owner)
    entries = {entry["action"]: entry for entry in await log(api, owner)}
    made, opened, paused = (
        entries[name] for name in ("createCouponTemplate", "openDrop", "pauseCampaign")
    )
    assert (paused["before"]["state"], paused["after"]["state"]) == ("RUNNING", "PAUSED")
    assert (opened["before"]["state"], opened["after"]["state"]) == ("SCHEDULED", "OPEN")
    assert made["before"] is None
    assert made["after"]["name"] == "五元券"
    assert UUID(made["subjectId"])


async def test_partners_reports_are_kept_by_size_and_verdicts(
    api: Api, owner: StaffCaller, partner: PartnerCaller
) -> None:
    async with api.resources.database.begin() as tx:
        person = {"id": global_id("Member", (await make_members.member(tx)).id)}
    good = {"eventId": "e", "kind": "BROWSE", "at": "2026-03-01T00:00:00Z", "member": person}
    bad = good | {"eventId": "f", "member": {}}
    await api(
        "mutation($input: RecordEventsInput!) { recordEvents(input: $input) { __typename } }",
        {"input": {"events": [good, bad]}},
        caller=partner,
    )
    [entry] = await log(api, owner, actor=global_id("ApiKey", partner.id))
    assert entry["given"] == {"rows": 2}
    assert entry["after"] == {"STORED": 1, "REJECTED": 1}


async def test_a_refused_attempt_is_kept_without_its_input(api: Api, owner: StaffCaller) -> None:
    analyst = StaffCaller(uuid4(), uuid4(), Role.ANALYST)
    reader = PartnerCaller(uuid4(), frozenset({Scope.EVENTS_WRITE}))
    link = 'mutation { linkPhone(input: {memberId: "x", phone: "13800000000"}) { __typename } }'
    record = 'mutation { recordOrders(input: {source: "s", orders: []}) { __typename } }'
    for document, caller in ((link, analyst), (record, reader)):
        [answer] = (await api(document, caller=caller))["data"].values()
        assert answer["__typename"] == "NotAllowed"
    entries = await log(api, owner)
    assert {entry["action"] for entry in entries} == {"linkPhone", "recordOrders"}
    assert {entry["outcome"] for entry in entries} == {"REFUSED"}
    assert [entry["given"] for entry in entries] == [{"refused": "NOT_ALLOWED"}] * 2


async def test_staff_log_ins_are_kept_good_and_bad(api: Api, owner: StaffCaller) -> None:
    hashed = await hash_password("correct horse battery")
    async with api.resources.database.begin() as tx:
        account = await staff.create_account(
            tx, login="ann", name="Ann", role=Role.ANALYST, password_hash=hashed
        )
    for password in ("guess", "correct horse battery"):
        await api(
            f'mutation {{ staffLogin(input: {{login: "ann", password: "{password}"}}) '
            "{ __typename } }",
            address="192.0.2.9",
        )
    entries = await log(api, owner, action="staffLogin")
    assert sorted(entry["outcome"] for entry in entries) == ["DONE", "REFUSED"]
    assert {entry["actorId"] for entry in entries} == {global_id("StaffAccount", account.id)}
    assert {entry["address"] for entry in entries} == {"192.0.2.9"}
    assert "horse" not in str(entries)


async def test_a_phone_never_gets_into_the_log(api: Api, owner: StaffCaller) -> None:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
    link = "mutation($input: LinkPhoneInput!) { linkPhone(input: $input) { __typename } }"
    given = {"memberId": global_id("Member", person), "phone": "+8610000123456"}
    await api(link, {"input": given}, caller=owner)
    [entry] = await log(api, owner)
    assert entry["before"] is None
    assert entry["after"]["member_id"] == str(person)
    assert {"blind", "sealed"}.isdisjoint(entry["after"])
    assert "10000123456" not in str(entry)


async def test_pages_follow_each_other_and_filters_hold(api: Api, owner: StaffCaller) -> None:
    other = uuid4()
    async with api.resources.database.begin() as tx:
        for n in range(7):
            await staff.audit(
                tx,
                actor=staff.Actor("staff", owner.id if n % 2 else other),
                action=f"a{n}",
                given={},
            )
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (await api(LOG, {"first": 3, "after": after}, caller=owner))["data"]["auditLog"]
        seen += [node["action"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert sorted(seen) == [f"a{n}" for n in range(7)]
    mine = await log(api, owner, actor=global_id("StaffAccount", owner.id))
    assert {entry["action"] for entry in mine} == {"a1", "a3", "a5"}
    wrong = await api(LOG, {"actor": global_id("Member", uuid4())}, caller=owner)
    assert wrong["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET action = 'nothing'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
    ],
)
async def test_the_database_refuses_to_change_the_log(database: Database, statement: str) -> None:
    async with database.begin() as tx:
        await staff.audit(tx, actor=staff.Actor("staff", uuid4()), action="kept", given={})
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.begin() as tx:
            await tx.session.execute(text(statement))
    async with database.read() as read:
        assert [row.action for row in await staff.audit_page(read, first=9)] == ["kept"]


async def test_every_mutation_of_staff_and_partners_leaves_an_entry(
    api: Api, owner: StaffCaller
) -> None:
    """Refused before it begins, each leaves one; so none can be written past the log."""
    nobody = PartnerCaller(uuid4(), frozenset())
    root = build_schema()._schema.mutation_type
    assert isinstance(root, GraphQLObjectType)
    public = {
        "loginWithWechat", "requestPhoneCode", "loginWithPhone", "refreshSession", "logout",
        "staffLogin",
    }  # fmt: skip
    tried: list[str] = []
    for name, field in root.fields.items():
        if name in public:
            continue
        wanted = str(field.args["input"].type)
        document = f"mutation($input: {wanted}) {{ {name}(input: $input) {{ __typename }} }}"
        answer = await api(
            document, {"input": smallest_value(field.args["input"].type)}, caller=nobody
        )
        assert answer["data"][name] == {"__typename": "NotAllowed"}, name
        tried.append(name)
    entries = await log(api, owner, first=100)
    assert sorted(entry["action"] for entry in entries) == sorted(tried)
