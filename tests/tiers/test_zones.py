"""A month begins at another instant in each time zone: runs, notices and projections go by it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app import points, tiers
from app.kernel.auth import Role, StaffCaller
from app.kernel.clock import day_start
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.tiers import RunState
from tests.conftest import Api, TestClock
from tests.make.members import community, member
from tests.make.tiers import run, standing
from workers.jobs import Work
from workers.tiers import notify_tiers, run_tiers

APRIL, MAY = date(2026, 4, 1), date(2026, 5, 1)
SHANGHAI, NEW_YORK, KATHMANDU = "Asia/Shanghai", "America/New_York", "Asia/Kathmandu"
MANAGER = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def person(database: Database, zone: str, tier: str = "GOLD") -> UUID:
    async with database.begin() as tx:
        home = (await community(tx, name=zone, time_zone=zone)).id
        one = (await member(tx, community_id=home)).id
        await standing(tx, member_id=one, tier_code=tier)
        return one


async def state_of(database: Database, who: UUID) -> str:
    async with database.read() as read:
        return (await tiers.by_member(read, [who]))[who].state.value


async def job(database: Database, settings: Settings, clock: TestClock, at: datetime) -> None:
    """What the scheduler starts at an instant."""
    clock.now = at
    given = {"plan": "tiers", "due_at": at.isoformat()}
    await run_tiers.body(Work(database, settings), **given)


async def test_each_zone_s_members_are_judged_when_its_month_begins(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    people = {zone: await person(database, zone) for zone in (SHANGHAI, NEW_YORK, KATHMANDU)}
    five = timedelta(minutes=5)
    starts = {zone: day_start(APRIL, zone) + five for zone in people}
    order = sorted(starts, key=lambda zone: starts[zone])
    assert order == [SHANGHAI, KATHMANDU, NEW_YORK]
    await job(database, settings, clock, starts[SHANGHAI] - five)
    assert [await state_of(database, people[zone]) for zone in order] == ["STEADY"] * 3
    for at, zone in enumerate(order, start=1):
        for _ in range(2):
            await job(database, settings, clock, starts[zone])
        told = [await state_of(database, people[name]) for name in order]
        assert told == ["AT_RISK"] * at + ["STEADY"] * (3 - at)
    async with database.read() as read:
        runs = {zone: await tiers.run_of(read, APRIL, zone) for zone in order}
        moves = await tiers.moves(read, APRIL)
        assert len(await tiers.moves(read, APRIL, zone=NEW_YORK)) == 1
        [count] = await tiers.move_counts(read, APRIL, NEW_YORK)
        [everywhere] = await tiers.move_counts(read, APRIL)
    assert {zone: found and found.cutoff for zone, found in runs.items()} == {
        zone: day_start(APRIL, zone) for zone in order
    }
    assert {move.member_id: move.zone for move in moves} == {
        who: zone for zone, who in people.items()
    }
    assert (count.members, everywhere.members) == (1, 3)


async def test_a_run_that_is_weeks_late_waits_for_the_next(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    one = await person(database, SHANGHAI)
    await job(database, settings, clock, day_start(APRIL) + timedelta(days=20, minutes=5))
    assert await state_of(database, one) == "STEADY"
    await job(database, settings, clock, day_start(APRIL) + timedelta(days=20))
    assert await state_of(database, one) == "AT_RISK"


async def test_a_check_in_counts_for_a_year_to_the_instant_in_every_zone(
    database: Database, clock: TestClock
) -> None:
    people = [await person(database, zone, "NORMAL") for zone in (SHANGHAI, NEW_YORK)]
    began = clock.now
    async with database.begin() as tx:
        for who in people:
            await points.check_in(tx, member_id=who)
    for late, growth in ((timedelta(days=365), 1), (timedelta(days=365, microseconds=1), 0)):
        clock.now = began + late - timedelta(microseconds=1)
        async with database.begin() as tx:
            await tiers.upgrade_due(tx, member_ids=people)
            found = await tiers.by_member(tx, people)
        assert [found[who].growth for who in people] == [growth, growth]


async def test_a_projection_looks_at_the_member_s_own_next_month(
    database: Database, clock: TestClock
) -> None:
    east, west = await person(database, SHANGHAI), await person(database, NEW_YORK)
    clock.now = datetime(2026, 3, 31, 18, tzinfo=UTC)  # 1 April in Shanghai, not in New York
    async with database.read() as read:
        found = await tiers.projections(read, [east, west])
    assert (found[east].month, found[east].at) == (MAY, day_start(MAY, SHANGHAI))
    assert (found[west].month, found[west].at) == (APRIL, day_start(APRIL, NEW_YORK))


async def test_members_are_told_at_half_past_nine_where_they_live(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    people = {zone: await person(database, zone) for zone in (SHANGHAI, NEW_YORK)}
    for zone in people:
        clock.now = day_start(APRIL, zone)
        await run(database, APRIL, zone=zone)
    heard: dict[str, str] = {}
    at = datetime(2026, 4, 17, tzinfo=UTC)
    while at < datetime(2026, 4, 18, tzinfo=UTC):
        clock.now = at
        given = {"plan": "tier notices", "due_at": at.isoformat()}
        await notify_tiers.body(Work(database, settings), **given)
        async with database.read() as read:
            rows = await read.session.scalars(
                select(OutboxRow.payload).where(OutboxRow.kind == "tier.notice")
            )
            for row in rows:
                heard.setdefault(row["member_id"], f"{at:%H:%M}")
        at += timedelta(minutes=15)
    assert heard == {str(people[SHANGHAI]): "01:30", str(people[NEW_YORK]): "13:30"}


async def test_staff_preview_and_publish_a_zone_s_run(
    api: Api, database: Database, clock: TestClock
) -> None:
    await person(database, SHANGHAI)
    await person(database, NEW_YORK)
    clock.now = day_start(APRIL, SHANGHAI)

    async def act(name: str, **given: Any) -> dict[str, Any]:
        kind = name[0].upper() + name[1:]
        document = (
            f"mutation($input: {kind}Input!) {{ {name}(input: $input) {{"
            f" ... on {kind}Success {{ run {{ zone month state cutoff }} }}"
            " ... on UserError { code message } } }"
        )
        return (await api(document, {"input": given}, caller=MANAGER))["data"][name]

    west = {"month": "2026-04", "zone": NEW_YORK}
    asked = (await act("previewTierRun", **west))["run"]
    assert (asked["zone"], asked["state"]) == (NEW_YORK, "PREVIEWING")
    assert (await act("previewTierRun", month="2026-04"))["run"]["zone"] == SHANGHAI
    odd = await act("previewTierRun", month="2026-04", zone="Asia/Tokyo")
    assert odd["code"] == "INVALID_INPUT"
    for zone in (NEW_YORK, SHANGHAI):
        await run(database, APRIL, preview_only=True, zone=zone)
    assert (await act("publishTierRun", **west))["code"] == "RUN_NOT_DUE"
    assert (await act("publishTierRun", month="2026-04"))["run"]["state"] == "PUBLISHING"
    see = 'query($zone: String) { tierRun(month: "2026-04", zone: $zone) { zone state members } }'
    found = [
        (await api(see, {"zone": zone}, caller=MANAGER))["data"]["tierRun"]
        for zone in (None, NEW_YORK, "Asia/Tokyo")
    ]
    assert found == [
        {"zone": SHANGHAI, "state": RunState.PUBLISHING.value, "members": 1},
        {"zone": NEW_YORK, "state": RunState.PREVIEWED.value, "members": 1},
        None,
    ]
