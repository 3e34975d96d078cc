"""Going up at once, and overrides by hand."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import points, tiers
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.kernel.outbox import OutboxRow
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order, refund
from tests.make.tiers import tier_of


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        return (await member(tx)).id


async def upgrade(database: Database, member_id: UUID) -> str | None:
    async with database.begin() as tx:
        return await tiers.upgrade_if_due(tx, member_id=member_id)


async def test_default_tiers_are_set_up_once_and_staffs_changes_stay(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        gold = await tx.session.get_one(tiers.Tier, "GOLD")
        gold.upgrade_at = 2_500
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
    async with database.read() as read:
        found = await tiers.all_tiers(read)
    assert [(tier.code, tier.name_zh, tier.upgrade_at) for tier in found] == [
        ("NORMAL", "普通", 0),
        ("GOLD", "黄金", 2_500),
        ("DIAMOND", "钻石", 8_000),
    ]


async def test_without_tiers_nothing_is_decided(database: Database) -> None:
    async with database.begin() as tx:
        one = (await member(tx)).id
    with pytest.raises(tiers.TiersMissing):
        await upgrade(database, one)


@pytest.mark.parametrize(
    ("fen", "code"),
    [(199_999, "NORMAL"), (200_000, "GOLD"), (799_999, "GOLD"), (800_000, "DIAMOND")],
)
async def test_settled_spend_moves_up_at_the_threshold(
    database: Database, person: UUID, fen: int, code: str
) -> None:
    async with database.begin() as tx:
        await order(tx, member_id=person, total_fen=fen)
    await upgrade(database, person)
    assert await tier_of(database, person) == code


async def test_growth_is_net_settled_and_of_one_year(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        await order(tx, member_id=person, total_fen=10_050)
        await order(tx, member_id=person, total_fen=20_000, refunded_fen=5_000)
        await order(tx, member_id=person, total_fen=1_000_000, settled=False)
        await order(tx, member_id=person, total_fen=1_000_000, cancelled=True)
        await order(tx, member_id=person, total_fen=1_000_000, refunded_fen=1_000_000)
        old = clock.now - timedelta(days=366)
        await order(tx, member_id=person, total_fen=1_000_000, at=old)
        await refund(tx, member_id=person, amount_fen=1_000, at=clock.now)
        await points.check_in(tx, member_id=person)
        await points.earn(
            tx, member_id=person, amount=5, source=points.Source.SHARING, rule="s", subject="1"
        )
    await upgrade(database, person)
    async with database.read() as read:
        found = (await tiers.by_member(read, [person]))[person]
    # (100.50 + 200 - 50 - 10) yuan, rounded down once, one check-in, one invitation
    assert found.growth == 240 + 1 + 20
    assert found.next is not None
    assert found.next.code == "GOLD"


async def test_an_upgrade_never_goes_down_and_is_told_once(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        await order(tx, member_id=person, total_fen=300_000)
    await asyncio.gather(*(upgrade(database, person) for _ in range(20)))
    async with database.begin() as tx:
        await refund(tx, member_id=person, amount_fen=290_000)
    assert await upgrade(database, person) is None
    assert await tier_of(database, person) == "GOLD"
    async with database.read() as read:
        changes = (await tiers.changes_by_member(read, [person]))[person]
        told = select(func.count()).where(OutboxRow.kind == "tier.changed")
        assert await read.session.scalar(told) == 1
    assert [(one.from_code, one.to_code, one.reason) for one in changes] == [
        ("NORMAL", "GOLD", tiers.ChangeReason.GROWTH)
    ]


async def test_many_members_move_in_one_call(database: Database, person: UUID) -> None:
    async with database.begin() as tx:
        other = (await member(tx)).id
        await order(tx, member_id=person, total_fen=200_000)
        await order(tx, member_id=other, total_fen=900_000)
        idle = (await member(tx)).id
    async with database.begin() as tx:
        moved = await tiers.upgrade_due(tx, member_ids=[idle, other, person, other])
    assert moved == {person: "GOLD", other: "DIAMOND"}


async def test_a_tier_given_by_hand_holds_against_growth_until_its_end(
    database: Database, person: UUID, clock: TestClock
) -> None:
    async with database.begin() as tx:
        await tiers.override_tier(
            tx,
            member_id=person,
            tier_code="GOLD",
            until=clock.now + timedelta(days=10),
            reason="community volunteer",
            actor_id=uuid4(),
        )
        await order(tx, member_id=person, total_fen=900_000)
    assert await upgrade(database, person) is None
    assert await tier_of(database, person) == "GOLD"
    clock.advance(days=10)
    assert await upgrade(database, person) == "DIAMOND"


async def test_overrides_need_a_tier_an_end_ahead_and_a_reason(
    database: Database, person: UUID, clock: TestClock
) -> None:
    ahead = clock.now + timedelta(days=1)
    for code, until, reason, refusal in [
        ("PLATINUM", ahead, "why", tiers.TierNotFound),
        ("GOLD", clock.now, "why", InvalidInput),
        ("GOLD", ahead, " ", InvalidInput),
    ]:
        with pytest.raises(refusal):
            async with database.begin() as tx:
                await tiers.override_tier(
                    tx,
                    member_id=person,
                    tier_code=code,
                    until=until,
                    reason=reason,
                    actor_id=uuid4(),
                )
