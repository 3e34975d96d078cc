"""Benefits that are used up: quotas, windows, tiers that change, and uses taken back."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import members, tiers
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.kernel.idempotency import once
from app.kernel.outbox import OutboxRow
from app.kernel.table import Json
from tests.conftest import TestClock
from tests.make import members as make_members
from tests.make.members import member
from tests.make.tiers import standing

TRIAL = "new-product-trial"
DELIVERY = "priority-delivery"


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def a_member(database: Database, tier: str = "GOLD", zone: str | None = None) -> UUID:
    async with database.begin() as tx:
        home = None
        if zone is not None:
            home = (await make_members.community(tx, name=zone, time_zone=zone)).id
        person = (await member(tx, community_id=home)).id
        await standing(tx, member_id=person, tier_code=tier)
    return person


async def use(
    database: Database, person: UUID, code: str = DELIVERY, **given: object
) -> tiers.BenefitUse:
    async with database.begin() as tx:
        return await tiers.use_benefit(tx, member_id=person, benefit_code=code, **given)  # pyright: ignore[reportArgumentType]


async def held(database: Database, person: UUID, code: str = DELIVERY) -> tiers.HeldBenefit:
    async with database.read() as read:
        found = (await tiers.benefits_by_member(read, [person]))[person]
    return next(one for one in found if one.code == code)


async def move(database: Database, person: UUID, tier: str) -> None:
    async with database.begin() as tx:
        row = await tx.session.get_one(tiers.Standing, person)
        row.tier_code = tier


async def test_a_use_counts_and_what_is_left_is_shown_until_none_is(
    database: Database, clock: TestClock
) -> None:
    person = await a_member(database)
    await use(database, person, quantity=3)
    found = await held(database, person)
    assert (found.quota, found.used, found.left) == (4, 3, 1)
    assert found.window_ends_at == datetime(2026, 3, 31, 16, tzinfo=UTC)
    with pytest.raises(tiers.BenefitUsedUp) as refused:
        await use(database, person, quantity=2)
    assert refused.value.message("en") == (
        "Priority delivery slot: 1 left in this window; the next begins on 2026-04-01."
    )
    assert refused.value.message("zh-CN") == "“优先配送时段”本期剩余1次，下一期自2026-04-01起"
    await use(database, person)
    assert (await held(database, person)).left == 0


async def test_fifty_at_once_twice_each_under_one_key_use_no_more_than_the_quota(
    database: Database,
) -> None:
    person = await a_member(database, "DIAMOND")

    async def attempt(key: str) -> str:
        try:
            async with database.begin() as tx:

                async def work() -> Json:
                    made = await tiers.use_benefit(tx, member_id=person, benefit_code=TRIAL)
                    return {"use": str(made.id)}

                done = await once(
                    tx,
                    owner_id=person,
                    command="useBenefit",
                    key=key,
                    given={"benefit": TRIAL},
                    work=work,
                )
        except tiers.BenefitUsedUp:
            return "used up"
        return done["use"]

    keys = [f"key-{n}" for n in range(50)]
    answers = await asyncio.gather(*(attempt(key) for key in keys * 2))
    by_key = {key: {one, two} for key, one, two in zip(keys, answers, answers[50:], strict=False)}
    assert all(len(found) == 1 for found in by_key.values())
    assert len({use for use in answers if use != "used up"}) == 3
    async with database.read() as read:
        stored = select(func.sum(tiers.BenefitUse.quantity))
        assert await read.session.scalar(stored) == 3
        told = select(func.count()).where(OutboxRow.kind == "benefit.changed")
        assert await read.session.scalar(told) == 3
    found = await held(database, person, TRIAL)
    assert (found.used, found.left) == (3, 0)


@pytest.mark.parametrize(
    ("zone", "last"),
    [
        ("Asia/Shanghai", datetime(2028, 2, 29, 15, 59, 59, 999_000, tzinfo=UTC)),
        ("America/New_York", datetime(2028, 3, 1, 4, 59, 59, 999_000, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2028, 2, 29, 10, 59, 59, 999_000, tzinfo=UTC)),
    ],
)
async def test_a_month_ends_with_its_last_millisecond_where_the_member_lives(
    database: Database, clock: TestClock, zone: str, last: datetime
) -> None:
    person = await a_member(database, "DIAMOND", zone)
    clock.now = last
    used = await use(database, person, TRIAL, quantity=3)
    assert used.day == date(2028, 2, 29)
    with pytest.raises(tiers.BenefitUsedUp, match="2028-03-01"):
        await use(database, person, TRIAL)
    clock.now = last + timedelta(milliseconds=1)
    found = await held(database, person, TRIAL)
    assert (found.used, found.left) == (0, 3)
    assert (await use(database, person, TRIAL)).day == date(2028, 3, 1)


async def test_what_was_used_follows_the_member_up_and_down(database: Database) -> None:
    person = await a_member(database)
    await use(database, person, quantity=4)
    await move(database, person, "DIAMOND")
    found = await held(database, person)
    assert (found.quota, found.left, found.window_ends_at) == (None, None, None)
    await use(database, person, quantity=5)
    assert (await held(database, person)).used == 9
    await move(database, person, "GOLD")
    found = await held(database, person)
    assert (found.quota, found.used, found.left) == (4, 9, 0)
    with pytest.raises(tiers.BenefitUsedUp, match="0 left"):
        await use(database, person)
    await move(database, person, "NORMAL")
    with pytest.raises(tiers.BenefitNotInTier):
        await use(database, person)


async def test_a_change_of_the_window_finds_what_was_used(
    database: Database, clock: TestClock
) -> None:
    person = await a_member(database)
    await use(database, person, TRIAL)
    clock.advance(days=20)  # April: the second quarter
    await use(database, person, TRIAL)
    async with database.begin() as tx:
        await tiers.set_tier_benefits(
            tx, tier_code="GOLD", grants=[tiers.Grant(TRIAL, 2, tiers.BenefitWindow.YEAR)]
        )
    found = await held(database, person, TRIAL)
    assert (found.used, found.left) == (2, 0)
    async with database.begin() as tx:
        await tiers.set_tier_benefits(
            tx, tier_code="GOLD", grants=[tiers.Grant(TRIAL, 2, tiers.BenefitWindow.QUARTER)]
        )
    assert (await held(database, person, TRIAL)).left == 1
    async with database.begin() as tx:
        await tiers.set_tier_benefits(
            tx, tier_code="GOLD", grants=[tiers.Grant(TRIAL, 2, tiers.BenefitWindow.LIFETIME)]
        )
    with pytest.raises(tiers.BenefitUsedUp, match="no other follows"):
        await use(database, person, TRIAL)


async def test_a_use_taken_back_is_left_again_and_is_not_taken_back_twice(
    database: Database, clock: TestClock
) -> None:
    person = await a_member(database)
    made = await use(database, person, TRIAL, reference="H-1")
    clock.advance(days=20)  # the window has passed; it is given back there and not here
    await use(database, person, TRIAL)
    for _ in range(2):
        try:
            async with database.begin() as tx:
                await tiers.reverse_use(
                    tx, member_id=person, use_id=made.id, reason="a slip", actor_id=uuid4()
                )
        except tiers.UseNotReversible:
            break
    else:
        pytest.fail("taken back twice")
    assert (await held(database, person, TRIAL)).left == 0
    async with database.read() as read:
        rows = await read.session.scalars(
            select(tiers.Entitlement).where(
                tiers.Entitlement.window_kind == tiers.BenefitWindow.MONTH
            )
        )
        assert {row.starts_on: row.used for row in rows} == {
            date(2026, 3, 1): 0,
            date(2026, 4, 1): 1,
        }
    async with database.begin() as tx:
        with pytest.raises(tiers.UseNotFound):
            await tiers.reverse_use(
                tx, member_id=uuid4(), use_id=made.id, reason="theirs", actor_id=uuid4()
            )


async def test_a_partners_reference_stands_for_one_use_even_at_once(database: Database) -> None:
    people = [await a_member(database) for _ in range(10)]

    async def attempt(person: UUID) -> bool:
        try:
            await use(database, person, reference="H-7")
        except tiers.ReferenceUsed:
            return False
        return True

    assert sum(await asyncio.gather(*(attempt(person) for person in people))) == 1
    async with database.read() as read:
        used = select(func.sum(tiers.Entitlement.used)).where(
            tiers.Entitlement.window_kind == tiers.BenefitWindow.LIFETIME
        )
        assert await read.session.scalar(used) == 1


async def test_what_cannot_be_used_says_why(database: Database) -> None:
    person = await a_member(database)
    with pytest.raises(tiers.BenefitNotFound):
        await use(database, person, "no-such-thing")
    with pytest.raises(tiers.BookingNeeded):
        await use(database, person, "after-school-care")
    for quantity in (0, -1, 101):
        with pytest.raises(InvalidInput):
            await use(database, person, "own-bundle", quantity=quantity)
    async with database.begin() as tx:
        frozen = await member(tx, status=members.MemberStatus.FROZEN)
    with pytest.raises(members.MemberNotActive):
        await use(database, frozen.id, "birthday-gift")
    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(tiers.Entitlement)) == 0
