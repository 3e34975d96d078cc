"""Benefits and monthly runs over GraphQL, for members and for staff, and what the log keeps."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app import staff, tiers
from app.kernel.auth import MemberCaller, Role, StaffCaller
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make.members import member
from tests.make.orders import order
from tests.make.tiers import slot, standing
from workers.jobs import Work
from workers.tiers import take_run_on

MANAGER = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)
SUPPORT = StaffCaller(uuid4(), uuid4(), Role.SUPPORT)
MINE = """{ me {
  benefits { benefit { code name kind needsBooking partner } quota window used left windowEndsAt }
  benefitUses { nodes { id quantity state day reference reversalReason slot { id } } }
  tier { projected {
    at growth growthThen move state missingGrowth missingToKeep nextInWords keepInWords
    tier { code }
  } }
} }"""
REFUSED = "... on UserError { code message }"


@pytest.fixture
async def person(api: Api) -> UUID:
    async with api.resources.database.begin() as tx:
        await tiers.ensure_tiers(tx)
        key = (await member(tx)).id
        await standing(tx, member_id=key, tier_code="GOLD")
        await order(tx, member_id=key, total_fen=188_000)
    return key


def caller_of(person: UUID) -> MemberCaller:
    return MemberCaller(person, uuid4())


async def change(
    api: Api, caller: Any, name: str, selection: str, **given: object
) -> dict[str, Any]:
    kind = name[0].upper() + name[1:]
    document = (
        f"mutation($input: {kind}Input!) {{ {name}(input: $input) {{"
        f" __typename ... on {kind}Success {{ {selection} }} {REFUSED} }} }}"
    )
    answer = await api(document, {"input": given}, caller=caller)
    assert "errors" not in answer, answer
    return answer["data"][name]


async def mine(api: Api, person: UUID, locale: str = "en") -> dict[str, Any]:
    answer = await api(MINE, caller=caller_of(person), locale=locale)
    assert "errors" not in answer, answer
    return answer["data"]["me"]


async def test_a_member_uses_a_benefit_and_sees_what_is_left(api: Api, person: UUID) -> None:
    use = {"benefitCode": "priority-delivery", "quantity": 3, "idempotencyKey": "one"}
    for _ in range(2):
        done = await change(
            api, caller_of(person), "useBenefit", "use { state } benefit { used left }", **use
        )
        assert done["use"] == {"state": "USED"}
        assert done["benefit"] == {"used": 3, "left": 1}
    refused = await change(
        api, caller_of(person), "useBenefit", "use { id }", **use | {"idempotencyKey": "two"}
    )
    assert (refused["__typename"], refused["code"]) == ("BenefitUsedUp", "BENEFIT_USED_UP")
    reused = await change(
        api, caller_of(person), "useBenefit", "use { id }", **use | {"quantity": 1}
    )
    assert reused["code"] == "IDEMPOTENCY_KEY_REUSED"
    found = await mine(api, person)
    held = {one["benefit"]["code"]: one for one in found["benefits"]}
    assert held["priority-delivery"] == {
        "benefit": {
            "code": "priority-delivery",
            "name": "Priority delivery slot",
            "kind": "DELIVERY",
            "needsBooking": False,
            "partner": None,
        },
        "quota": 4,
        "window": "MONTH",
        "used": 3,
        "left": 1,
        "windowEndsAt": "2026-03-31T16:00:00Z",
    }
    assert held["own-bundle"]["left"] is None
    assert [one["quantity"] for one in found["benefitUses"]["nodes"]] == [3]


async def test_support_uses_a_benefit_for_a_member_and_the_log_keeps_it(
    api: Api, person: UUID
) -> None:
    given = {"benefitCode": "own-bundle", "reference": "H-1", "idempotencyKey": "one"}
    whose = await change(api, SUPPORT, "useBenefit", "use { id }", **given)
    assert whose["code"] == "INVALID_INPUT"
    given["memberId"] = global_id("Member", person)
    done = await change(api, SUPPORT, "useBenefit", "use { reference }", **given)
    assert done["use"] == {"reference": "H-1"}
    again = await change(
        api, SUPPORT, "useBenefit", "use { id }", **given | {"idempotencyKey": "two"}
    )
    assert again["code"] == "REFERENCE_USED"
    other = await change(api, caller_of(uuid4()), "useBenefit", "use { id }", **given)
    assert other["code"] == "NOT_ALLOWED"
    async with api.resources.database.read() as read:
        [entry] = await read.session.scalars(select(staff.AuditEntry))
    assert (entry.action, entry.subject_kind) == ("useBenefit", "benefit_use")
    assert (entry.after or {})["reference"] == "H-1"


async def test_the_projection_reads_in_words_of_both_languages(api: Api, person: UUID) -> None:
    new = await mine(api, person)
    assert new["tier"]["projected"] == {
        "at": "2026-03-31T16:00:00Z",
        "growth": 1_880,
        "growthThen": 1_880,
        "move": None,
        "state": "STEADY",
        "missingGrowth": 6_120,
        "missingToKeep": 0,
        "nextInWords": "Spend ¥6,120 more to reach Diamond",
        "keepInWords": "Gold is safe",
        "tier": {"code": "GOLD"},
    }
    chinese = (await mine(api, person, "zh-CN"))["tier"]["projected"]
    assert chinese["nextInWords"] == "再消费 ¥6,120 升级钻石"


async def test_a_time_is_booked_cancelled_settled_and_taken_back(
    api: Api, person: UUID, clock: TestClock
) -> None:
    async with api.resources.database.begin() as tx:
        place = global_id("BenefitSlot", (await slot(tx, capacity=1)).id)
    slots = '{ benefitSlots(benefitCode: "after-school-care") { nodes { id left capacity } } }'
    found = await api(slots, caller=caller_of(person))
    assert found["data"]["benefitSlots"]["nodes"] == [{"id": place, "left": 1, "capacity": 1}]
    me = caller_of(person)
    booked = await change(
        api, me, "bookBenefit", "use { id state }", slotId=place, idempotencyKey="1"
    )
    cancelled = await change(
        api, me, "cancelBooking", "use { state } benefit { left }", bookingId=booked["use"]["id"]
    )
    assert (cancelled["use"]["state"], cancelled["benefit"]["left"]) == ("CANCELLED", 1)
    booked = await change(
        api, me, "bookBenefit", "use { id slot { left } }", slotId=place, idempotencyKey="2"
    )
    assert booked["use"]["slot"]["left"] == 0
    given = {"memberId": global_id("Member", person), "bookingId": booked["use"]["id"]}
    early = await change(api, SUPPORT, "settleBooking", "use { state }", came=False, **given)
    assert early["code"] == "SLOT_NOT_BEGUN"
    clock.now += timedelta(days=3)
    missed = await change(api, SUPPORT, "settleBooking", "use { state }", came=False, **given)
    assert missed["use"]["state"] == "NO_SHOW"
    back = await change(
        api,
        SUPPORT,
        "reverseBenefitUse",
        "use { state reversalReason } benefit { left }",
        memberId=given["memberId"],
        useId=given["bookingId"],
        reason="the teacher was ill",
        idempotencyKey="3",
    )
    assert back["use"] == {"state": "REVERSED", "reversalReason": "the teacher was ill"}
    assert back["benefit"]["left"] == 1


async def test_staff_define_tiers_benefits_and_times_and_the_log_keeps_before_and_after(
    api: Api, person: UUID
) -> None:
    await change(
        api,
        MANAGER,
        "defineBenefit",
        "benefit { code }",
        code="tea-house",
        kind="PARTNER",
        nameZh="茶馆",
        nameEn="Tea house",
        needsBooking=True,
        partner="茶馆",
    )
    done = await change(
        api,
        MANAGER,
        "setTierBenefits",
        "tier { benefits { code quota window } }",
        tierCode="GOLD",
        benefits=[{"benefitCode": "tea-house", "quota": 2, "window": "QUARTER"}],
    )
    assert done["tier"]["benefits"] == [{"code": "tea-house", "quota": 2, "window": "QUARTER"}]
    await change(
        api,
        MANAGER,
        "defineTier",
        "tier { upgradeAt }",
        code="GOLD",
        rank=2,
        nameZh="黄金",
        nameEn="Gold",
        upgradeAt=2_500,
        retainAt=1_000,
    )
    opened = {
        "benefitCode": "tea-house",
        "startsAt": "2026-04-01T10:00:00+08:00",
        "endsAt": "2026-04-01T12:00:00+08:00",
        "capacity": 8,
        "idempotencyKey": "one",
    }
    ids = {
        (await change(api, MANAGER, "openBenefitSlot", "slot { id }", **opened))["slot"]["id"]
        for _ in range(2)
    }
    assert len(ids) == 1
    [held] = (await mine(api, person))["benefits"]
    assert (held["benefit"]["code"], held["quota"], held["left"]) == ("tea-house", 2, 2)
    async with api.resources.database.read() as read:
        entries = await read.session.scalars(select(staff.AuditEntry))
        kept = {entry.action: entry for entry in entries if entry.after}
    assert kept["defineTier"].before == {"upgrade_at": 2_000, "retain_at": 1_500}
    assert kept["defineTier"].after == {"upgrade_at": 2_500, "retain_at": 1_000}
    assert len((kept["setTierBenefits"].before or {})["benefits"]) == 6
    assert kept["defineBenefit"].before is None
    assert (kept["openBenefitSlot"].after or {})["capacity"] == 8


async def test_support_gives_a_tier_by_hand_and_ends_it(
    api: Api, person: UUID, clock: TestClock
) -> None:
    given = {"memberId": global_id("Member", person)}
    done = await change(
        api,
        SUPPORT,
        "overrideTier",
        "tier { code state }",
        tierCode="DIAMOND",
        until="2026-06-01T00:00:00+08:00",
        reason="founding neighbour",
        **given,
    )
    assert done["tier"] == {"code": "DIAMOND", "state": "STEADY"}
    ended = await change(api, SUPPORT, "endTierOverride", "tier { code }", **given)
    assert ended["tier"] == {"code": "DIAMOND"}
    nobody = {"memberId": global_id("Member", uuid4())}
    refused = await change(api, SUPPORT, "endTierOverride", "tier { code }", **nobody)
    assert refused["code"] == "MEMBER_NOT_FOUND"
    async with api.resources.database.read() as read:
        entries = list(await read.session.scalars(select(staff.AuditEntry)))
        said = await staff.words_by_entry(read, [entry.id for entry in entries])
        kept = {entry.action: (entry.before or {}, entry.after or {}) for entry in entries}
    before, after = kept["overrideTier"]
    assert (before["tier_code"], after["tier_code"]) == ("GOLD", "DIAMOND")
    assert "founding neighbour" not in str(kept)
    assert {"override_reason": "founding neighbour"} in [words.after for words in said.values()]
    assert kept["endTierOverride"][1]["override_until"] is None


RUN = """query($month: String!, $kind: TierMoveKind) { tierRun(month: $month) {
  month state members counts { kind fromCode toCode members }
  moves(kind: $kind, first: 1) {
    nodes { kind fromCode toCode growth threshold reason applied member { nickname } }
    pageInfo { hasNextPage }
  }
} }"""


async def test_a_run_is_asked_for_looked_at_and_published(
    api: Api, person: UUID, clock: TestClock
) -> None:
    database = api.resources.database
    clock.now = tiers.cutoff_of(clock.now.date().replace(day=1, month=4))
    async with database.begin() as tx:
        for _ in range(2):
            falling = (await member(tx)).id
            await standing(tx, member_id=falling, tier_code="GOLD")
    work = Work(database=database, settings=api.resources.settings)
    month = {"month": "2026-04"}
    early = await change(api, MANAGER, "publishTierRun", "run { state }", **month)
    assert early["code"] == "RUN_NOT_PREVIEWED"
    assert (await change(api, MANAGER, "previewTierRun", "run { state }", **month))["run"] == {
        "state": "PREVIEWING"
    }
    await take_run_on.body(work, month="2026-04-01", publish=False)
    found = (await api(RUN, month | {"kind": "AT_RISK"}, caller=MANAGER))["data"]["tierRun"]
    assert (found["state"], found["members"]) == ("PREVIEWED", 3)
    assert found["counts"] == [
        {"kind": "AT_RISK", "fromCode": "GOLD", "toCode": "GOLD", "members": 2}
    ]
    assert found["moves"] == {
        "nodes": [
            {
                "kind": "AT_RISK",
                "fromCode": "GOLD",
                "toCode": "GOLD",
                "growth": 0,
                "threshold": 1_500,
                "reason": "growth of 0 is under the 1500 that keeps Gold: at risk",
                "applied": None,
                "member": {"nickname": "李阿姨"},
            }
        ],
        "pageInfo": {"hasNextPage": True},
    }
    for _ in range(2):
        asked = await change(api, MANAGER, "publishTierRun", "run { state }", **month)
        assert asked["run"]["state"] in ("PUBLISHING", "PUBLISHED")
        await take_run_on.body(work, month="2026-04-01", publish=True)
    found = (await api(RUN, month, caller=MANAGER))["data"]["tierRun"]
    assert (found["state"], found["moves"]["nodes"][0]["applied"]) == ("PUBLISHED", True)
    again = await change(api, MANAGER, "previewTierRun", "run { state }", **month)
    assert again["code"] == "RUN_ALREADY_PUBLISHED"
    for wrong in ("2026-07", "April"):
        answer = await change(api, MANAGER, "previewTierRun", "run { state }", month=wrong)
        assert answer["code"] == "INVALID_INPUT"
