"""When points end: rules of communities, notices before it, and the sweep."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app import points
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.members import Community, MemberStatus
from tests.conftest import TestClock
from tests.make.members import community, member
from tests.make.points import balance, lot, order_facts

DAY = timedelta(days=1)


async def settle(database: Database, settings: dict[str, Any]) -> None:
    async with database.begin() as tx:
        await tx.session.execute(update(Community).values(settings=settings))


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        return (await member(tx)).id


async def told(database: Database) -> list[tuple[UUID, int, str]]:
    async with database.read() as read:
        rows = await read.session.scalars(
            select(OutboxRow.payload)
            .where(OutboxRow.kind == "points.expiring")
            .order_by(OutboxRow.at, OutboxRow.id)
        )
        return [(UUID(row["member_id"]), row["points"], row["expires_at"]) for row in rows]


async def warn(database: Database, *, limit: int = 2_000) -> int:
    last, given = None, 0
    while True:
        async with database.begin() as tx:
            last, some = await points.warn_of_expiry(tx, after=last, limit=limit)
        given += some
        if last is None:
            return given


@pytest.mark.parametrize(
    ("kind", "count", "ends"),
    [
        ("DAYS", 1, datetime(2026, 3, 18, 16, tzinfo=UTC)),
        ("END_OF_MONTH", 0, datetime(2026, 3, 31, 16, tzinfo=UTC)),
        ("END_OF_MONTH", 10, datetime(2027, 1, 31, 16, tzinfo=UTC)),
        ("END_OF_YEAR", 0, datetime(2026, 12, 31, 16, tzinfo=UTC)),
    ],
)
async def test_a_community_says_how_its_points_end(
    database: Database, person: UUID, clock: TestClock, kind: str, count: int, ends: datetime
) -> None:
    rule = {"kind": kind, "count": count}
    names = ("CHECK_IN", "ADJUST", "REVIEW", "PURCHASE")
    await settle(database, {"expiry": dict.fromkeys(names, rule)})
    async with database.begin() as tx:
        await points.check_in(tx, member_id=person)
        await points.adjust(
            tx, member_id=person, amount=1, actor_id=person, reason="x", subject="a"
        )
        await points.earn(
            tx,
            member_id=person,
            amount=1,
            source=points.Source.REVIEW,
            rule="review",
            subject="r",
        )
        settled = clock.now - points.REFUND_WINDOW
        facts = order_facts(person, person, settled, settled_at=settled)
        await points.earn_for_order(tx, facts)
    async with database.read() as read:
        found = set(await read.session.scalars(select(points.Lot.expires_at)))
    assert found == {ends}


async def test_of_points_that_end_a_member_hears_once_seven_days_before(
    database: Database, person: UUID, clock: TestClock
) -> None:
    ends = datetime(2026, 3, 31, 16, tzinfo=UTC)  # with the last of March, in Shanghai
    async with database.begin() as tx:
        for amount in (3, 4):
            await lot(tx, member_id=person, amount=amount, expires_at=ends)
        await lot(tx, member_id=person, amount=9, expires_at=ends + DAY)
        frozen = await member(tx, status=MemberStatus.FROZEN)
        await lot(tx, member_id=frozen.id, amount=5, expires_at=ends)
    clock.now = datetime(2026, 3, 24, 15, 59, tzinfo=UTC)  # the 24th: eight days before
    assert await warn(database) == 0
    clock.advance(minutes=1)
    assert [await warn(database) for _ in range(3)] == [1, 0, 0]
    assert await told(database) == [(person, 7, ends.isoformat())]
    clock.now += DAY
    assert await warn(database) == 1
    assert (await told(database))[1] == (person, 9, (ends + DAY).isoformat())
    clock.now = ends  # the instant itself is too late
    assert await warn(database) == 0
    async with database.read() as read:
        kept = await read.session.scalars(select(points.ExpiryNotice.expires_at))
        assert list(kept) == [ends + DAY]


async def test_notices_go_by_the_setting_of_each_community_and_resume(
    database: Database, clock: TestClock
) -> None:
    ends = clock.now + 10 * DAY
    async with database.begin() as tx:
        far = (await community(tx, "远方")).id
        near = (await community(tx)).id
        people = [
            (await member(tx, community_id=home)).id for home in (far, near) for _ in range(3)
        ]
        for one in people:
            await lot(tx, member_id=one, amount=2, expires_at=ends)
        await tx.session.execute(
            update(Community).where(Community.id == far).values(settings={"expiryNoticeDays": 20})
        )
    async with database.begin() as tx:  # a run that dies after its first members
        _, given = await points.warn_of_expiry(tx, limit=2)
    assert await warn(database, limit=2) == 3 - given
    assert sorted(one for one, _, _ in await told(database)) == sorted(people[:3])


async def test_points_that_expire_while_a_spending_holds_them_come_back_for_a_week(
    database: Database, person: UUID, clock: TestClock
) -> None:
    """In CARBON as in points, and never from the one into the other."""
    carbon = points.Currency.CARBON
    async with database.begin() as tx:
        await lot(tx, member_id=person, amount=10, currency=carbon, expires_at=clock.now + 2 * DAY)
        await points.spend(tx, member_id=person, amount=6, subject="s", currency=carbon)
    clock.advance(days=3)
    async with database.begin() as tx:
        assert await points.expire_due(tx) == 1
    async with database.begin() as tx:
        with pytest.raises(points.SpendNotFound):
            await points.refund_spend(tx, member_id=person, spent="s", amount=6, subject="r")
        for _ in range(2):
            await points.refund_spend(
                tx, member_id=person, spent="s", amount=6, subject="r", currency=carbon
            )
    assert await balance(database, person, carbon) == (6, 0, 0)
    assert await balance(database, person) == (0, 0, 0)
    async with database.read() as read:
        child = (
            await read.session.scalars(select(points.Lot).where(points.Lot.remaining > 0))
        ).one()
    assert child.currency is carbon
    assert child.expires_at is not None
    assert child.expires_at - clock.now >= 7 * DAY
    clock.now = child.expires_at
    async with database.begin() as tx:
        assert await points.expire_due(tx) == 1
    assert await balance(database, person, carbon) == (0, 0, 0)
