"""Times that are called off give everything back; their places never fall under the bookings."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import staff, tiers
from app.kernel.auth import MemberCaller, PartnerCaller, Role, Scope, StaffCaller
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.kernel.outbox import OutboxRow
from app.tiers import Entitlement, UseState
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import tiers as make
from tests.make.members import community, member

CARE = "after-school-care"
BOSS = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)
ERROR = "... on UserError { code message }"


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def people(database: Database, count: int, zone: str = "Asia/Shanghai") -> list[UUID]:
    async with database.begin() as tx:
        home = (await community(tx, name=zone, time_zone=zone)).id
        made = [(await member(tx, community_id=home)).id for _ in range(count)]
        for one in made:
            await make.standing(tx, member_id=one, tier_code="DIAMOND")
        return made


async def slot(database: Database, *, capacity: int = 5, **more: Any) -> UUID:
    async with database.begin() as tx:
        return (await make.slot(tx, capacity=capacity, **more)).id


async def book(database: Database, who: UUID, slot_id: UUID) -> UUID:
    async with database.begin() as tx:
        return (await tiers.book_benefit(tx, member_id=who, slot_id=slot_id)).id


async def unbook(database: Database, who: UUID, booking: UUID) -> None:
    async with database.begin() as tx:
        await tiers.cancel_booking(tx, member_id=who, booking_id=booking)


async def call_off(database: Database, slot_id: UUID, reason: str = "老师生病") -> None:
    async with database.begin() as tx:
        await tiers.cancel_slot(tx, slot_id=slot_id, reason=reason, actor_id=BOSS.id)


async def resize(database: Database, slot_id: UUID, capacity: int) -> None:
    async with database.begin() as tx:
        await tiers.resize_slot(tx, slot_id=slot_id, capacity=capacity)


async def used(database: Database) -> int:
    async with database.read() as read:
        return int(await read.session.scalar(select(func.sum(Entitlement.used))) or 0)


async def row(database: Database, slot_id: UUID) -> tiers.BenefitSlot:
    async with database.read() as read:
        return (await tiers.slots_by_id(read, [slot_id]))[slot_id]


async def test_bookings_and_uses_come_back_and_members_hear_why(
    database: Database, clock: TestClock
) -> None:
    east, west = await people(database, 2), await people(database, 1, "America/New_York")
    slot_id = await slot(database)
    bookings = {who: await book(database, who, slot_id) for who in (*east, *west)}
    await unbook(database, east[1], bookings[east[1]])
    assert (await row(database, slot_id)).booked == 2
    for _ in range(2):
        await call_off(database, slot_id)
    found = await row(database, slot_id)
    assert (found.booked, found.cancel_reason) == (0, "老师生病")
    assert await used(database) == 0
    async with database.read() as read:
        rows = await read.session.scalars(
            select(OutboxRow.payload).where(OutboxRow.kind == "benefit.slot_cancelled")
        )
        told = {UUID(row["member_id"]): row["reason"] for row in rows}
        lines = await tiers.uses_by_member_and_id(read, list(bookings.items()))
        assert await tiers.slot_page(read, benefit_code=CARE, first=5) == []
    assert told == {east[0]: "老师生病", west[0]: "老师生病"}
    assert {line.use.state for line in lines.values()} == {UseState.CANCELLED}
    with pytest.raises(tiers.SlotCancelled):
        await book(database, east[0], slot_id)
    with pytest.raises(tiers.SlotCancelled):
        await resize(database, slot_id, 9)
    await unbook(database, east[0], bookings[east[0]])
    assert await used(database) == 0, "given back once"
    again = await slot(database)
    await book(database, east[0], again)


async def test_what_has_begun_is_not_called_off_nor_resized(
    database: Database, clock: TestClock
) -> None:
    slot_id = await slot(database)
    clock.advance(days=2)
    for attempt in (call_off(database, slot_id), resize(database, slot_id, 9)):
        with pytest.raises(tiers.SlotBegun):
            await attempt
    with pytest.raises(tiers.SlotNotFound):
        await call_off(database, uuid4())


async def test_places_do_not_fall_under_the_bookings(database: Database) -> None:
    slot_id = await slot(database, capacity=3)
    for who in await people(database, 2):
        await book(database, who, slot_id)
    with pytest.raises(tiers.SlotTooSmall) as refused:
        await resize(database, slot_id, 1)
    assert refused.value.facts == {"booked": 2}
    await resize(database, slot_id, 2)
    [late] = await people(database, 1)
    with pytest.raises(tiers.SlotFull):
        await book(database, late, slot_id)
    await resize(database, slot_id, 3)
    await book(database, late, slot_id)
    assert (await row(database, slot_id)).booked == 3


async def test_fifty_bookings_race_a_call_off_and_nothing_is_left(database: Database) -> None:
    slot_id = await slot(database, capacity=50)
    crowd = await people(database, 50)
    early = {who: await book(database, who, slot_id) for who in crowd[:10]}
    seen = Counter[str]()

    async def noted(attempt: Any) -> None:
        try:
            await attempt
        except Refusal as refusal:
            seen[refusal.code] += 1
        else:
            seen["done"] += 1

    rush: list[Awaitable[object]] = [
        book(database, who, slot_id) for who in crowd[10:] for _ in range(2)
    ]
    rush[20:20] = [unbook(database, who, booking) for who, booking in early.items()]
    rush[30:30] = [call_off(database, slot_id) for _ in range(2)]
    await asyncio.gather(*(noted(attempt) for attempt in rush))
    assert set(seen) <= {"done", "SLOT_CANCELLED", "ALREADY_BOOKED"}, seen
    assert (await row(database, slot_id)).booked == 0
    assert await used(database) == 0
    async with database.read() as read:
        states = await read.session.scalars(select(tiers.BenefitUse.state))
        assert set(states) == {UseState.CANCELLED}


async def test_fifty_resizes_race_bookings_and_no_place_is_given_twice(database: Database) -> None:
    slot_id = await slot(database, capacity=5)
    crowd = await people(database, 50)
    seen = Counter[str]()

    async def noted(attempt: Any) -> None:
        try:
            await attempt
        except Refusal as refusal:
            seen[refusal.code] += 1

    rush: list[Awaitable[object]] = [book(database, who, slot_id) for who in crowd]
    rush += [resize(database, slot_id, 1 + at % 9) for at in range(50)]
    await asyncio.gather(*(noted(attempt) for attempt in rush))
    found = await row(database, slot_id)
    assert found.booked <= found.capacity
    assert found.booked * 4 == await used(database), "each booking counts in four windows"
    assert set(seen) <= {"SLOT_FULL", "SLOT_TOO_SMALL"}


async def act(api: Api, caller: Any, name: str, shows: str, **given: Any) -> dict[str, Any]:
    kind = name[0].upper() + name[1:]
    document = (
        f"mutation($input: {kind}Input!) {{ {name}(input: $input) {{"
        f" ... on {kind}Success {{ {shows} }} {ERROR} }} }}"
    )
    return (await api(document, {"input": given}, caller=caller))["data"][name]


async def test_staff_resize_and_cancel_over_graphql_once_for_a_key(
    api: Api, database: Database, owner: StaffCaller
) -> None:
    key = global_id("BenefitSlot", await slot(database))
    shows = "slot { capacity left cancelledAt cancelReason }"
    grown = await act(
        api, BOSS, "resizeBenefitSlot", shows, slotId=key, capacity=9, idempotencyKey="1"
    )
    assert (grown["slot"]["capacity"], grown["slot"]["left"]) == (9, 9)
    given = {"slotId": key, "reason": "台风", "idempotencyKey": "2"}
    for _ in range(2):
        gone = (await act(api, BOSS, "cancelBenefitSlot", shows, **given))["slot"]
        assert (gone["left"], gone["cancelReason"]) == (0, "台风")
    odd = await act(api, BOSS, "cancelBenefitSlot", shows, **{**given, "reason": "雨"})
    assert odd["code"] == "IDEMPOTENCY_KEY_REUSED"
    log = "{ auditLog(first: 9) { nodes { action before after } } }"
    nodes = (await api(log, caller=owner))["data"]["auditLog"]["nodes"]
    changes = {node["action"]: (node["before"], node["after"]) for node in nodes if node["after"]}
    assert changes["resizeBenefitSlot"] == ({"capacity": 5}, {"capacity": 9})
    assert changes["cancelBenefitSlot"][1]["cancel_reason"] == "台风"
    support = StaffCaller(uuid4(), uuid4(), Role.SUPPORT)
    refused = await act(api, support, "cancelBenefitSlot", shows, **given)
    assert refused["code"] == "NOT_ALLOWED"


async def test_a_partner_records_uses_of_its_own_benefits_alone(
    api: Api, database: Database, clock: TestClock
) -> None:
    [who] = await people(database, 1)
    async with database.begin() as tx:
        for code, partner in (("check-up", "社区医院"), ("ours", None)):
            await tiers.define_benefit(
                tx,
                code=code,
                kind=tiers.BenefitKind.PARTNER,
                name_zh="体检",
                name_en="Check-up",
                description_zh="",
                description_en="",
                needs_booking=False,
                partner=partner,
                active=True,
            )
        month = tiers.BenefitWindow.MONTH
        grants = [tiers.Grant(code, 2, month) for code in ("check-up", "ours")]
        await tiers.set_tier_benefits(tx, tier_code="DIAMOND", grants=grants)
        text = await staff.create_api_key(tx, name="社区医院", scopes=[Scope.BENEFITS_USE])
    async with database.read() as read:
        hospital = await staff.partner_by_key(read, text)
    assert hospital is not None
    shows = "benefit { left } use { state reference }"
    member_id = global_id("Member", who)
    given = {"memberId": member_id, "benefitCode": "check-up", "reference": "H-1"}
    for _ in range(2):
        done = await act(api, hospital, "useBenefit", shows, **given, idempotencyKey="1")
        assert done == {"benefit": {"left": 1}, "use": {"state": "USED", "reference": "H-1"}}
    twice = await act(api, hospital, "useBenefit", shows, **given, idempotencyKey="2")
    assert twice["code"] == "REFERENCE_USED"
    ours = {**given, "benefitCode": "ours", "reference": "H-2", "idempotencyKey": "3"}
    assert (await act(api, hospital, "useBenefit", shows, **ours))["code"] == "BENEFIT_OF_ANOTHER"
    bare = {"memberId": member_id, "benefitCode": "check-up", "idempotencyKey": "4"}
    assert (await act(api, hospital, "useBenefit", shows, **bare))["code"] == "INVALID_INPUT"
    orders = PartnerCaller(hospital.id, frozenset({Scope.ORDERS_WRITE}))
    refused = await act(api, orders, "useBenefit", shows, **given, idempotencyKey="5")
    assert refused["code"] == "NOT_ALLOWED"
    gone = PartnerCaller(uuid4(), frozenset({Scope.BENEFITS_USE}))
    refused = await act(api, gone, "useBenefit", shows, **given, idempotencyKey="6")
    assert refused["code"] == "NOT_ALLOWED"
    async with database.read() as read:
        [line] = await read.session.scalars(select(tiers.BenefitUse))
    assert (line.actor_id, line.at) == (hospital.id, clock.now)
    mine = MemberCaller(who, uuid4())
    used_by_self = await act(api, mine, "useBenefit", shows, benefitCode="ours", idempotencyKey="7")
    assert used_by_self["use"]["state"] == "USED"
