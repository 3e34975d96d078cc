"""Eco actions from submission to CARBON points and back."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from app import eco, points
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.members import MemberNotFound
from tests.conftest import TestClock
from tests.make.eco import action
from tests.make.members import member
from tests.make.orders import order
from tests.make.points import balance

CARBON = points.Currency.CARBON


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        await eco.ensure_eco(tx)
        return (await member(tx)).id


async def submit(
    database: Database,
    member_id: UUID,
    *,
    order_id: UUID | None = None,
    evidence: str = "scan-1",
    kind: eco.EvidenceKind | None = None,
) -> UUID:
    shown = eco.EvidenceKind.ORDER if order_id else eco.EvidenceKind.PHOTO
    async with database.begin() as tx:
        row = await eco.submit(
            tx,
            member_id=member_id,
            type=eco.EcoType.OWN_BAG,
            evidence_kind=kind or shown,
            evidence=evidence,
            order_id=order_id,
        )
    return row.id


async def test_a_verified_action_is_credited_in_carbon_points_only(
    database: Database, person: UUID
) -> None:
    key = await submit(database, person)
    assert await balance(database, person, CARBON) == (0, 0, 0)
    async with database.begin() as tx:
        row = await eco.verify(tx, action_id=key, actor_id=uuid4())
    assert (row.state, row.grams_co2e) == (eco.EcoState.CREDITED, 50)
    assert await balance(database, person, CARBON) == (5, 0, 0)
    assert await balance(database, person) == (0, 0, 0)


async def test_an_action_is_decided_once(database: Database, person: UUID) -> None:
    key = await submit(database, person)

    async def decide(n: int) -> bool:
        try:
            async with database.begin() as tx:
                if n % 2:
                    await eco.verify(tx, action_id=key, actor_id=uuid4())
                else:
                    await eco.reject(tx, action_id=key, actor_id=uuid4(), reason="unclear")
        except eco.NotAwaitingVerification:
            return False
        return True

    assert sum(await asyncio.gather(*(decide(n) for n in range(20)))) == 1
    assert (await balance(database, person, CARBON))[0] in (0, 5)


async def test_a_type_counts_once_an_order_and_only_for_ones_own_settled_order(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        other = (await member(tx)).id
        mine = (await order(tx, member_id=person)).id
        theirs = (await order(tx, member_id=other)).id
        waiting = (await order(tx, member_id=person, settled=False)).id
        gone = (await order(tx, member_id=person, total_fen=100, refunded_fen=100)).id
    await submit(database, person, order_id=mine, evidence="")
    with pytest.raises(eco.EcoActionExists):
        await submit(database, person, order_id=mine)
    for key in (theirs, waiting, gone, uuid4()):
        with pytest.raises(eco.OrderNotYours):
            await submit(database, person, order_id=key)


async def test_fifty_submissions_at_once_for_one_order_are_one(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        key = (await order(tx, member_id=person)).id

    async def one() -> bool:
        try:
            await submit(database, person, order_id=key)
        except eco.EcoActionExists:
            return False
        return True

    assert sum(await asyncio.gather(*(one() for _ in range(50)))) == 1


async def test_without_an_order_a_type_counts_once_a_day_and_again_after_a_rejection(
    database: Database, person: UUID, clock: TestClock
) -> None:
    key = await submit(database, person)
    with pytest.raises(eco.EcoActionExists):
        await submit(database, person)
    async with database.begin() as tx:
        await eco.reject(tx, action_id=key, actor_id=uuid4(), reason="too dark")
    await submit(database, person)
    clock.advance(days=1)
    await submit(database, person)


async def test_what_cannot_be_is_refused(database: Database, person: UUID) -> None:
    with pytest.raises(InvalidInput):
        await submit(database, person, evidence=" ")
    with pytest.raises(InvalidInput):
        await submit(database, person, kind=eco.EvidenceKind.ORDER)
    with pytest.raises(MemberNotFound):
        await submit(database, uuid4())
    with pytest.raises(eco.EcoActionNotFound):
        async with database.begin() as tx:
            await eco.verify(tx, action_id=uuid4(), actor_id=uuid4())
    key = await submit(database, person)
    with pytest.raises(InvalidInput):
        async with database.begin() as tx:
            await eco.reject(tx, action_id=key, actor_id=uuid4(), reason="")
    with pytest.raises(eco.NotCredited):
        async with database.begin() as tx:
            await eco.reverse(tx, action_id=key, actor_id=uuid4(), reason="fraud")


async def test_a_reversed_action_takes_its_points_back_as_a_debt_if_spent(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        key = (await action(tx, member_id=person, credited=True)).id
        await points.spend(tx, member_id=person, amount=8, subject="tree", currency=CARBON)
    async with database.begin() as tx:
        await eco.reverse(tx, action_id=key, actor_id=uuid4(), reason="photo of another day")
    assert await balance(database, person, CARBON) == (0, 0, 8)
    with pytest.raises(eco.NotCredited):
        async with database.begin() as tx:
            await eco.reverse(tx, action_id=key, actor_id=uuid4(), reason="again")


async def test_a_new_factor_counts_from_its_day_and_leaves_past_actions(
    database: Database, person: UUID, clock: TestClock
) -> None:
    first = await submit(database, person)
    async with database.begin() as tx:
        tx.session.add(
            eco.EcoFactor(
                type=eco.EcoType.OWN_BAG,
                version=2,
                grams_co2e=33,
                carbon_points=3,
                provenance="own measurement",
                valid_from=clock.now,
            )
        )
    clock.advance(days=1)
    second = await submit(database, person)
    async with database.read() as read:
        found = await eco.actions_by_id(read, [first, second])
    assert [found[key].grams_co2e for key in (first, second)] == [50, 33]


async def test_defaults_are_set_up_once_and_say_that_they_are_placeholders(
    database: Database, person: UUID
) -> None:
    async with database.begin() as tx:
        await tx.session.execute(
            update(eco.EcoFactor)
            .where(eco.EcoFactor.type == eco.EcoType.OWN_BAG)
            .values(grams_co2e=77, provenance="ours")
        )
        await eco.ensure_eco(tx)
    async with database.read() as read:
        found = await eco.current_factors(read, list(eco.EcoType))
    assert found[eco.EcoType.OWN_BAG].grams_co2e == 77
    assert "staff must replace" in found[eco.EcoType.NO_CUTLERY].provenance
