"""The monthly run: preview, publication, interruption, and the way down."""

from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import tiers
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order, refund
from tests.make.tiers import run, standing, tier_of

APRIL, MAY, JUNE, JULY = (date(2026, month, 1) for month in (4, 5, 6, 7))
AUGUST = date(2026, 8, 1)


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


def at(clock: TestClock, month: date) -> datetime:
    """Five past midnight of the month's first day."""
    clock.now = tiers.cutoff_of(month) + timedelta(minutes=5)
    return clock.now


async def gold(database: Database, *, fen: int = 0, upgraded: datetime | None = None) -> UUID:
    async with database.begin() as tx:
        person = (await member(tx)).id
        await standing(tx, member_id=person, tier_code="GOLD", last_upgrade_at=upgraded)
        if fen:
            await order(tx, member_id=person, total_fen=fen)
    return person


async def state_of(database: Database, person: UUID) -> tuple[str, str]:
    async with database.read() as read:
        found = (await tiers.by_member(read, [person]))[person]
    return found.tier.code, found.state.value


async def test_the_way_down_takes_a_warning_a_grace_and_a_month_each(
    database: Database, clock: TestClock
) -> None:
    person = await gold(database)
    seen: list[tuple[str, str]] = []
    for month in (APRIL, MAY, JUNE, JULY):
        at(clock, month)
        await run(database, month)
        seen.append(await state_of(database, person))
    assert seen == [
        ("GOLD", "AT_RISK"),
        ("GOLD", "GRACE"),
        ("NORMAL", "STEADY"),
        ("NORMAL", "STEADY"),
    ]
    async with database.read() as read:
        changes = (await tiers.changes_by_member(read, [person]))[person]
    assert [(one.reason.value, one.month) for one in changes] == [("MONTHLY_DOWNGRADE", JUNE)]


async def test_grace_lasts_thirty_days_even_over_a_short_month(
    database: Database, clock: TestClock
) -> None:
    person = await gold(database)
    seen: list[str] = []
    for month in (date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)):
        at(clock, month)
        await run(database, month)
        seen.append((await state_of(database, person))[0])
    assert seen == ["GOLD", "GOLD", "GOLD", "NORMAL"]  # February's grace ends on 3 March


async def test_who_earns_enough_again_is_safe(database: Database, clock: TestClock) -> None:
    person = await gold(database)
    at(clock, APRIL)
    await run(database, APRIL)
    async with database.begin() as tx:
        await order(tx, member_id=person, total_fen=150_000)
    at(clock, MAY)
    await run(database, MAY)
    assert await state_of(database, person) == ("GOLD", "STEADY")


async def test_nobody_goes_down_within_ninety_days_of_going_up(
    database: Database, clock: TestClock
) -> None:
    person = await gold(database, upgraded=tiers.cutoff_of(APRIL) - timedelta(days=89))
    at(clock, APRIL)
    await run(database, APRIL)
    assert await state_of(database, person) == ("GOLD", "STEADY")
    at(clock, MAY)
    await run(database, MAY)
    assert await state_of(database, person) == ("GOLD", "AT_RISK")


async def test_refunds_alone_take_no_tier(database: Database, clock: TestClock) -> None:
    person = await gold(database, fen=200_000)
    async with database.begin() as tx:
        await refund(tx, member_id=person, amount_fen=190_000)
    at(clock, APRIL)
    await run(database, APRIL)
    assert await state_of(database, person) == ("GOLD", "STEADY")


async def test_an_order_refunded_in_full_takes_no_tier_by_itself(
    database: Database, clock: TestClock
) -> None:
    person, cancelled = await gold(database), await gold(database)
    async with database.begin() as tx:
        await order(tx, member_id=person, total_fen=150_000, refunded_fen=150_000)
        await order(tx, member_id=cancelled, total_fen=150_000, cancelled=True)
    at(clock, APRIL)
    await run(database, APRIL)
    assert await state_of(database, person) == ("GOLD", "STEADY")
    assert await state_of(database, cancelled) == ("GOLD", "AT_RISK")
    async with database.read() as read:
        assert (await tiers.by_member(read, [person]))[person].growth == 0
    year = date(2027, 4, 1)  # the order itself is long ago
    at(clock, year)
    await run(database, year)
    assert await state_of(database, person) == ("GOLD", "AT_RISK")


async def test_a_tier_given_by_hand_outlives_runs(database: Database, clock: TestClock) -> None:
    person = await gold(database)
    async with database.begin() as tx:
        await tiers.override_tier(
            tx,
            member_id=person,
            tier_code="DIAMOND",
            until=tiers.cutoff_of(JUNE),
            reason="founding neighbour",
            actor_id=uuid4(),
        )
    for month in (APRIL, MAY):
        at(clock, month)
        await run(database, month)
    assert await state_of(database, person) == ("DIAMOND", "STEADY")
    at(clock, JUNE)
    await run(database, JUNE)
    assert await state_of(database, person) == ("DIAMOND", "AT_RISK")


async def test_imported_history_moves_up_in_the_run_and_growth_is_refreshed(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        person = (await member(tx)).id
        await order(tx, member_id=person, total_fen=850_000)
        small = (await member(tx)).id
        await order(tx, member_id=small, total_fen=12_300)
        await member(tx)
    at(clock, APRIL)
    progress = await run(database, APRIL)
    assert progress.members == 3
    assert await tier_of(database, person) == "DIAMOND"
    async with database.read() as read:
        found = await tiers.by_member(read, [person, small])
    assert [found[key].growth for key in (person, small)] == [8_500, 123]


async def test_a_preview_says_who_moves_and_why_and_changes_nobody(
    database: Database, clock: TestClock
) -> None:
    falling, rising = await gold(database), (await gold(database, fen=800_000))
    at(clock, APRIL)
    await run(database, APRIL, preview_only=True)
    assert await state_of(database, falling) == ("GOLD", "STEADY")
    assert await tier_of(database, rising) == "GOLD"
    async with database.read() as read:
        found = {move.member_id: move for move in await tiers.moves(read, APRIL)}
        counts = await tiers.move_counts(read, APRIL)
    assert (found[rising].kind, found[rising].to_code, found[rising].threshold) == (
        tiers.MoveKind.UPGRADE,
        "DIAMOND",
        8_000,
    )
    assert (found[falling].kind, found[falling].growth, found[falling].threshold) == (
        tiers.MoveKind.AT_RISK,
        0,
        1_500,
    )
    assert sum(count.members for count in counts) == 2


async def test_a_preview_can_be_made_anew_until_it_is_published(
    database: Database, clock: TestClock
) -> None:
    person = await gold(database)
    at(clock, APRIL)
    await run(database, APRIL, preview_only=True)
    async with database.begin() as tx:
        await order(tx, member_id=person, total_fen=150_000, at=clock.now - timedelta(days=1))
    async with database.begin() as tx:
        await tiers.restart_preview(tx, month=APRIL)
    await run(database, APRIL)
    assert await state_of(database, person) == ("GOLD", "STEADY")
    with pytest.raises(tiers.RunAlreadyPublished):
        async with database.begin() as tx:
            await tiers.restart_preview(tx, month=APRIL)


async def test_a_month_that_has_not_begun_is_only_previewed_and_then_made_anew(
    database: Database, clock: TestClock
) -> None:
    person = await gold(database)
    await run(database, APRIL, preview_only=True)
    with pytest.raises(tiers.RunNotDue):
        await run(database, APRIL)
    async with database.begin() as tx:
        await order(tx, member_id=person, total_fen=150_000)
    at(clock, APRIL)
    await run(database, APRIL)
    assert await state_of(database, person) == ("GOLD", "STEADY")


async def test_a_run_killed_half_way_goes_on_and_changes_nobody_twice(
    database: Database, clock: TestClock
) -> None:
    people = [await gold(database, fen=800_000) for _ in range(7)]
    at(clock, APRIL)
    for _ in range(6):  # four batches of preview, the end of it, one batch of publication
        async with database.begin() as tx:
            await tiers.advance(tx, month=APRIL, preview_batch=2, publish_batch=3)
    async with database.begin() as tx:  # killed before its commit
        await tiers.advance(tx, month=APRIL, preview_batch=2, publish_batch=3)
        await tx.session.rollback()
        tx.events.clear()
    assert len([one for one in people if await tier_of(database, one) == "DIAMOND"]) == 3
    await run(database, APRIL)
    await run(database, APRIL)
    assert {await tier_of(database, one) for one in people} == {"DIAMOND"}
    async with database.read() as read:
        changes = select(func.count()).select_from(tiers.TierChange)
        told = select(func.count()).where(OutboxRow.kind == "tier.changed")
        assert await read.session.scalar(changes) == 7
        assert await read.session.scalar(told) == 7


async def test_who_moved_between_preview_and_publication_is_left_alone(
    database: Database, clock: TestClock
) -> None:
    person = await gold(database, fen=200_000)
    async with database.begin() as tx:
        await refund(tx, member_id=person, amount_fen=10_000)
    other = await gold(database)
    at(clock, APRIL)
    await run(database, APRIL, preview_only=True)
    async with database.begin() as tx:
        await order(tx, member_id=other, total_fen=900_000)
        await tiers.upgrade_if_due(tx, member_id=other)
    await run(database, APRIL)
    assert await state_of(database, other) == ("DIAMOND", "STEADY")
    async with database.read() as read:
        applied = [move.applied for move in await tiers.moves(read, APRIL)]
    assert applied == [False]


async def test_the_reasons_read_in_both_languages(database: Database, clock: TestClock) -> None:
    why = tiers.Why(tiers.MoveKind.DOWNGRADE, "黄金", "普通", 10, 1_500)
    assert "降至普通" in tiers.reason_of(why, chinese=True)
    assert "grace is over" in tiers.reason_of(why, chinese=False)


def test_months_are_read_strictly() -> None:
    for text in ("2026-13", "2026-1", "26-01", "2026/01", "2026-01-01", ""):
        with pytest.raises(ValueError, match="month"):
            tiers.parse_month(text)
