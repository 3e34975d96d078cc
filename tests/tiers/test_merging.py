"""Two members who are one person."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from app import tiers
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.tiers import slot, standing


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def a_member(database: Database, tier: str | None, **given: object) -> UUID:
    async with database.begin() as tx:
        person = (await member(tx)).id
        if tier is not None:
            await standing(tx, member_id=person, tier_code=tier, **given)  # pyright: ignore[reportArgumentType]
    return person


async def merge(database: Database, gone: UUID, kept: UUID) -> None:
    async with database.begin() as tx:
        await tiers.merge(tx, gone, kept)


@pytest.mark.parametrize(
    ("gone", "kept", "expected", "changes"),
    [
        ("DIAMOND", "GOLD", "DIAMOND", ["MERGE"]),
        ("GOLD", "DIAMOND", "DIAMOND", []),
        ("GOLD", None, "GOLD", ["MERGE"]),
        (None, "GOLD", "GOLD", []),
        ("GOLD", "GOLD", "GOLD", []),
    ],
)
async def test_the_higher_tier_is_kept_and_a_second_time_changes_nothing(
    database: Database, gone: str | None, kept: str | None, expected: str, changes: list[str]
) -> None:
    one, other = await a_member(database, gone, growth=10), await a_member(database, kept)
    for _ in range(2):
        await merge(database, one, other)
    async with database.read() as read:
        places = await tiers.by_member(read, [one, other])
        history = await tiers.changes_by_member(read, [other])
    assert places[other].tier.code == expected
    assert places[other].growth == (10 if gone else 0)
    assert places[one].since is None  # no standing of its own any more
    assert [change.reason.value for change in history.get(other, [])] == changes


async def test_of_one_tier_the_safer_standing_is_kept(database: Database, clock: TestClock) -> None:
    one, other = await a_member(database, "GOLD"), await a_member(database, "GOLD")
    async with database.begin() as tx:
        row = await tx.session.get_one(tiers.Standing, other)
        row.state, row.at_risk_since = tiers.StandingState.GRACE, clock.now
        row.grace_until = clock.now + timedelta(days=30)
    await merge(database, one, other)
    async with database.read() as read:
        place = (await tiers.by_member(read, [other]))[other]
    assert (place.state, place.grace_until) == (tiers.StandingState.STEADY, None)


async def test_uses_add_up_past_the_quota_and_of_two_bookings_of_a_time_one_is_kept(
    database: Database,
) -> None:
    one, other = await a_member(database, "DIAMOND"), await a_member(database, "DIAMOND")
    async with database.begin() as tx:
        place = (await slot(tx)).id
    for person in (one, other):
        async with database.begin() as tx:
            await tiers.use_benefit(
                tx, member_id=person, benefit_code="new-product-trial", quantity=2
            )
            await tiers.book_benefit(tx, member_id=person, slot_id=place)
    for _ in range(2):
        await merge(database, one, other)
    async with database.read() as read:
        found = (await tiers.benefits_by_member(read, [other]))[other]
        by_code = {held.code: (held.used, held.left) for held in found}
        lines = await tiers.uses_by_member(read, [tiers.UsesKey(other, 10, None)])
        gone = await read.session.scalars(
            select(tiers.BenefitUse).where(tiers.BenefitUse.member_id == one)
        )
        booked = (await read.session.get_one(tiers.BenefitSlot, place)).booked
    assert by_code["new-product-trial"] == (4, 0)
    assert by_code["after-school-care"] == (1, 1)
    assert booked == 1
    [of_other] = lines.values()
    states = sorted(line.use.state.value for line in of_other)
    assert states == ["BOOKED", "CANCELLED", "USED", "USED"]
    assert list(gone) == []
