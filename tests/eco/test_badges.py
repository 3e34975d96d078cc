"""Badges awarded by rule."""

import asyncio
from uuid import UUID

import pytest

from app import eco, points
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make.eco import action, badge
from tests.make.members import member


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        await eco.ensure_eco(tx)
        return (await member(tx)).id


async def held(database: Database, member_id: UUID) -> list[str]:
    async with database.read() as read:
        found = await eco.badges_by_member(read, [member_id])
    return sorted(one.badge.code for one in found.get(member_id, []))


async def award_all(database: Database, limit: int = 100) -> int:
    async with database.begin() as tx:
        return await eco.award_badges(tx, limit=limit)


async def test_the_first_verified_action_brings_its_badge_at_once(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        waiting = await action(tx, member_id=person)
    assert await award_all(database) == 0
    async with database.begin() as tx:
        await eco.verify(tx, action_id=waiting.id, actor_id=person)
    assert await held(database, person) == ["GREEN_START"]
    assert await award_all(database) == 0


async def test_streaks_and_grams_are_counted_for_everyone_in_batches(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        await badge(tx, code="THREE_DAYS", fact=eco.BadgeFact.CHECK_IN_STREAK, at_least=3)
        await badge(tx, code="GRAMS", fact=eco.BadgeFact.GRAMS_CO2E, at_least=150)
        people = [person, *[(await member(tx)).id for _ in range(3)]]
    for _ in range(3):
        for one in people:
            async with database.begin() as tx:
                await points.check_in(tx, member_id=one)
        clock.advance(days=1)
    async with database.begin() as tx:
        await action(tx, member_id=person, credited=True)
        await action(tx, member_id=person, type=eco.EcoType.OWN_BAG, credited=True)
    assert [await award_all(database, limit=2) for _ in range(3)] == [2, 1, 0]
    assert await held(database, person) == ["GRAMS", "GREEN_START", "THREE_DAYS"]
    assert await held(database, people[1]) == ["THREE_DAYS"]


async def test_runs_at_once_award_once(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        await action(tx, member_id=person, credited=True)
        await badge(tx, code="NEW")
    assert sum(await asyncio.gather(*(award_all(database) for _ in range(10)))) == 1


async def test_an_expired_badge_is_earned_anew_and_a_revoked_one_is_not(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        await badge(tx, code="YEARLY", valid_days=10)
        await action(tx, member_id=person, credited=True)
    assert "YEARLY" in await held(database, person)
    clock.advance(days=10)
    assert "YEARLY" not in await held(database, person)
    assert await award_all(database) == 0  # the action is as old as the badge
    async with database.begin() as tx:
        await action(tx, member_id=person, credited=True)
    assert "YEARLY" in await held(database, person)
    for expected in (True, False):
        async with database.begin() as tx:
            revoked = await eco.revoke_badge(
                tx, member_id=person, badge_code="YEARLY", reason="misuse"
            )
            assert revoked is expected
    assert await award_all(database) == 0
    assert await held(database, person) == ["GREEN_START"]
