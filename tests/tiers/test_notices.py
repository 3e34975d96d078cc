"""Notices 14 and 3 days before a run, and the projection that they are made of."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from app import tiers
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order
from tests.make.tiers import run, standing
from workers.jobs import Work
from workers.tiers import notify_tiers

APRIL, MAY, JUNE = (date(2026, month, 1) for month in (4, 5, 6))


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def gold(database: Database, **given: object) -> UUID:
    async with database.begin() as tx:
        person = (await member(tx)).id
        await standing(tx, member_id=person, tier_code="GOLD", **given)  # pyright: ignore[reportArgumentType]
    return person


async def notify(database: Database, clock: TestClock, day: date, *, batch: int = 2) -> None:
    """What the job does in the morning of a day, in batches."""
    clock.now = datetime(day.year, day.month, day.day, 1, 30, tzinfo=UTC)
    after: UUID | None = None
    while True:
        async with database.begin() as tx:
            after = await tiers.notify_unsafe(tx, after=after, batch=batch)
        if after is None:
            return


async def told(database: Database) -> list[tuple[str, int, str, int]]:
    async with database.read() as read:
        rows = await read.session.scalars(
            select(OutboxRow.payload).where(OutboxRow.kind == "tier.notice").order_by(OutboxRow.id)
        )
    return [(row["coming"], row["days"], row["before"], row["missing"]) for row in rows]


async def test_who_is_at_risk_hears_of_it_14_and_3_days_before_and_once_each(
    database: Database, clock: TestClock
) -> None:
    for _ in range(5):
        await gold(database)
    clock.now = tiers.cutoff_of(APRIL)
    await run(database, APRIL)
    await notify(database, clock, date(2026, 4, 16))
    assert await told(database) == []  # 15 days before
    for _ in range(2):
        await notify(database, clock, date(2026, 4, 17))
    assert await told(database) == [("GRACE", 14, "2026-05-01", 1_500)] * 5
    for day in (27, 28, 29, 30):
        await notify(database, clock, date(2026, 4, day))
    assert await told(database) == [
        *[("GRACE", 14, "2026-05-01", 1_500)] * 5,
        *[("GRACE", 3, "2026-05-01", 1_500)] * 5,
    ]


async def test_in_grace_the_step_down_is_told_before_the_run_that_takes_it(
    database: Database, clock: TestClock
) -> None:
    await gold(database)
    january, february = date(2026, 1, 1), date(2026, 2, 1)
    for month in (january, february):
        clock.now = tiers.cutoff_of(month)
        await run(database, month)
    # Grace of 1 February ends on 3 March: the run of 1 March takes nothing, that of 1 April does.
    for day in (date(2026, 2, 15), date(2026, 2, 26)):
        await notify(database, clock, day)
    assert await told(database) == []
    for day in (date(2026, 3, 18), date(2026, 3, 29)):
        await notify(database, clock, day)
    assert await told(database) == [
        ("DOWNGRADE", 14, "2026-04-01", 1_500),
        ("DOWNGRADE", 3, "2026-04-01", 1_500),
    ]


async def test_who_has_earned_enough_meanwhile_or_holds_by_hand_hears_nothing(
    database: Database, clock: TestClock
) -> None:
    safe, held, half = [await gold(database) for _ in range(3)]
    clock.now = tiers.cutoff_of(APRIL)
    await run(database, APRIL)
    async with database.begin() as tx:
        await order(tx, member_id=safe, total_fen=150_000)
        await order(tx, member_id=half, total_fen=100_000)
        row = await tx.session.get_one(tiers.Standing, held)
        row.override_until, row.override_reason = tiers.cutoff_of(JUNE), "founder"
        row.override_by = held
    await notify(database, clock, date(2026, 4, 17))
    assert await told(database) == [("GRACE", 14, "2026-05-01", 500)]


async def test_a_morning_that_was_missed_is_made_up_for(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    await gold(database)
    clock.now = tiers.cutoff_of(APRIL)
    await run(database, APRIL)
    clock.now = datetime(2026, 4, 20, 1, 30, tzinfo=UTC)
    work = Work(database=database, settings=settings)
    for _ in range(2):
        await notify_tiers.body(work, plan="tier notices", due_at=clock.now.isoformat())
    assert await told(database) == [("GRACE", 11, "2026-05-01", 1_500)]


async def test_what_is_projected_is_what_the_run_does(database: Database, clock: TestClock) -> None:
    async with database.begin() as tx:
        rising, new = (await member(tx)).id, (await member(tx)).id
        await order(tx, member_id=rising, total_fen=188_000)
    falling = await gold(database)
    async with database.begin() as tx:
        # 1,600 yuan that are a year old before the month ends.
        await order(tx, member_id=falling, total_fen=160_000, at=clock.now - timedelta(days=360))
    async with database.read() as read:
        found = await tiers.projections(read, [rising, falling, new])
    assert (found[rising].growth, found[rising].missing_next) == (1_880, 120)
    assert (found[rising].kind, found[rising].tier.code) == (None, "NORMAL")
    down = found[falling]
    assert (down.growth, down.growth_then, down.missing_keep) == (1_600, 0, 1_500)
    assert (down.kind, down.state, down.month) == (
        tiers.MoveKind.AT_RISK,
        tiers.StandingState.AT_RISK,
        APRIL,
    )
    assert (found[new].growth, found[new].missing_next, found[new].missing_keep) == (0, 2_000, 0)
    clock.now = tiers.cutoff_of(APRIL)
    await run(database, APRIL)
    async with database.read() as read:
        places = await tiers.by_member(read, [rising, falling, new])
    assert {key: (place.tier.code, place.state) for key, place in places.items()} == {
        key: (one.tier.code, one.state) for key, one in found.items()
    }
