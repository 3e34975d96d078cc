"""The jobs of points: orders and invitations followed by what happened, whoever has them by now."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app import points, tiers
from app.kernel.config import Settings
from app.kernel.db import Database
from app.members import Community
from app.orders import Order, OrderCancelled, OrderRefunded, OrderSettled
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order
from tests.make.points import balance
from workers.jobs import Work
from workers.points import follow_invitation, follow_order, warn_of_expiry
from workers.roster import TABLE


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        return (await member(tx)).id


@pytest.fixture
def work(database: Database, settings: Settings) -> Work:
    return Work(database, settings)


async def bought(work: Work, who: UUID) -> UUID:
    async with work.database.begin() as tx:
        key = (await order(tx, member_id=who, total_fen=10_000)).id
    for _ in range(2):
        await follow_order.body(work, member_id=str(who), order_id=str(key))
    return key


@pytest.mark.parametrize(
    ("settings_of_home", "earned"),
    [
        ({}, 100),
        ({"memberDay": {"percent": 200, "weekdays": [3]}}, 200),  # the clock's day is a Wednesday
        ({"memberDay": {"percent": 200, "weekdays": [4]}}, 100),
        ({"tierPercent": {"NORMAL": 150}}, 150),
        ({"tierPercent": {"NORMAL": 150}, "memberDay": {"percent": 120, "monthDays": [18]}}, 150),
        ({"tierPercent": {"NORMAL": 50}}, 100),  # a multiplier never takes
    ],
)
async def test_an_order_earns_by_the_best_of_tier_and_day(
    work: Work, person: UUID, settings_of_home: dict[str, Any], earned: int
) -> None:
    async with work.database.begin() as tx:
        await tx.session.execute(update(Community).values(settings=settings_of_home))
    await bought(work, person)
    assert await balance(work.database, person) == (0, earned, 0)


async def test_facts_that_name_a_merged_member_find_the_orders_new_owner(
    work: Work, person: UUID, clock: TestClock
) -> None:
    async with work.database.begin() as tx:
        other = (await member(tx)).id
    key = await bought(work, person)
    async with work.database.begin() as tx:
        await tx.session.execute(
            update(Order).where(Order.id == key).values(member_id=other, cancelled_at=tx.now)
        )
        await points.merge(tx, person, other)
    assert await balance(work.database, other) == (0, 100, 0)
    await follow_order.body(work, member_id=str(person), order_id=str(key))
    assert await balance(work.database, other) == (0, 0, 0)


async def test_every_fact_of_an_order_that_may_move_an_invitation_does(
    work: Work, person: UUID
) -> None:
    for fact in (OrderSettled, OrderRefunded, OrderCancelled):
        assert follow_invitation in {reaction.job for reaction in TABLE[fact]}
    async with work.database.begin() as tx:
        invited = (await member(tx)).id
        kind = points.ShareTarget.COMMUNITY
        code = (await points.share(tx, member_id=person, target_kind=kind)).code
        await points.accept_invitation(tx, member_id=invited, code=code)
    await bought(work, invited)
    for _ in range(2):
        await follow_invitation.body(work, member_id=str(invited))
    assert await balance(work.database, person) == (50, 0, 0)


async def test_the_nightly_notices_reach_everybody(
    work: Work, person: UUID, clock: TestClock
) -> None:
    async with work.database.begin() as tx:
        await points.earn(
            tx,
            member_id=person,
            amount=1,
            source=points.Source.REVIEW,
            rule="r",
            subject="s",
            expires_at=clock.now + timedelta(days=3),
        )
    for _ in range(2):
        await warn_of_expiry.body(work, plan="expiry notices", due_at=clock.now.isoformat())
    async with work.database.read() as read:
        assert list(await read.session.scalars(select(points.ExpiryNotice.points))) == [1]
