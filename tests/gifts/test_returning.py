"""A gift that was taken with an order goes back into stock with it, once."""

import asyncio
from uuid import UUID

import pytest

from app import gifts
from app.gifts import HoldState
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from app.members import Member, MemberNotActive, MemberStatus
from app.orders import Order
from tests.conftest import TestClock
from tests.make import gifts as make
from tests.make.members import member
from tests.make.orders import line, order
from workers.gifts import return_gifts as job
from workers.jobs import Work


async def taken_with(database: Database, *, stock: int = 1) -> tuple[UUID, UUID, gifts.GiftHold]:
    """A member, a paid order and the gift that went with it, of which there is no more."""
    async with database.begin() as tx:
        who = (await member(tx)).id
        offer = await make.offer(tx, stock=stock)
        paid = await order(tx, member_id=who, order_no="A-1")
        hold = await gifts.hold_gift(tx, offer_id=offer.id, member_id=who)
        hold = await gifts.take_gift(tx, hold_id=hold.id, member_id=who, order_ref="A-1")
        return who, paid.id, hold


async def undo(database: Database, who: UUID, order_id: UUID, **facts: object) -> None:
    async with database.begin() as tx:
        row = await tx.session.get_one(Order, (who, order_id))
        for name, value in facts.items():
            setattr(row, name, value)


async def give_back(database: Database, who: UUID, order_id: UUID) -> int:
    async with database.begin() as tx:
        return await gifts.return_gifts(tx, member_id=who, order_id=order_id)


async def standing(database: Database, hold: gifts.GiftHold) -> tuple[HoldState, int, int]:
    key = (hold.member_id, hold.id)
    async with database.read() as read:
        row = (await gifts.holds_by_member_and_id(read, [key]))[key]
        offer = (await gifts.offers_by_id(read, [hold.offer_id]))[hold.offer_id]
        return row.state, offer.taken, offer.stock - offer.taken - offer.held


@pytest.mark.parametrize("way", ["cancelled", "refunded"])
async def test_the_unit_is_free_and_may_be_held_again(
    database: Database, clock: TestClock, way: str
) -> None:
    who, paid, hold = await taken_with(database)
    assert await give_back(database, who, paid) == 0, "nothing has happened to the order"
    await undo(database, who, paid, refunded_fen=999, refunded_at=clock.now)
    assert await give_back(database, who, paid) == 0, "it was refunded in part"
    assert await standing(database, hold) == (HoldState.TAKEN, 1, 0)
    undone = {"cancelled_at": clock.now} if way == "cancelled" else {"refunded_fen": 1000}
    await undo(database, who, paid, **undone)
    assert await give_back(database, who, paid) == 1
    assert await standing(database, hold) == (HoldState.RETURNED, 0, 1)
    assert await give_back(database, who, paid) == 0
    async with database.begin() as tx:
        again = await gifts.hold_gift(tx, offer_id=hold.offer_id, member_id=who)
    assert await standing(database, again) == (HoldState.HELD, 0, 0)
    assert await standing(database, hold) == (HoldState.RETURNED, 0, 0)


async def test_points_of_the_order_are_reckoned_as_before(
    database: Database, clock: TestClock
) -> None:
    who, paid, _ = await taken_with(database)
    await undo(database, who, paid, cancelled_at=clock.now)
    await give_back(database, who, paid)
    async with database.read() as read:
        assert await gifts.taken_fen(read, member_id=who, order_ref="A-1") == 100


async def test_fifty_at_once_return_it_once(database: Database, clock: TestClock) -> None:
    who, paid, hold = await taken_with(database, stock=3)
    await undo(database, who, paid, cancelled_at=clock.now)
    done = await asyncio.gather(*(give_back(database, who, paid) for _ in range(50)))
    assert sum(done) == 1
    assert await standing(database, hold) == (HoldState.RETURNED, 0, 3)


async def test_another_order_s_gift_stays(database: Database, clock: TestClock) -> None:
    who, _, hold = await taken_with(database)
    async with database.begin() as tx:
        other = await order(tx, member_id=who, order_no="A-2", cancelled=True)
    assert await give_back(database, who, other.id) == 0
    assert await standing(database, hold) == (HoldState.TAKEN, 1, 0)


async def test_another_till_s_order_of_the_same_number_gives_nothing_back(
    database: Database, clock: TestClock
) -> None:
    who, paid, hold = await taken_with(database)
    async with database.begin() as tx:
        other = await order(tx, member_id=who, order_no="A-1", source="till", cancelled=True)
    assert await give_back(database, who, other.id) == 0
    assert await standing(database, hold) == (HoldState.TAKEN, 1, 0)
    await undo(database, who, paid, cancelled_at=clock.now)
    assert await give_back(database, who, paid) == 1


async def test_an_order_that_came_to_nothing_and_a_frozen_member_take_no_gift(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        who = (await member(tx)).id
        offer = await make.offer(tx, stock=1)
        await order(tx, member_id=who, order_no="A-1", cancelled=True)
        hold = await gifts.hold_gift(tx, offer_id=offer.id, member_id=who)
    async with database.begin() as tx:
        with pytest.raises(InvalidInput, match="called off"):
            await gifts.take_gift(tx, hold_id=hold.id, member_id=who, order_ref="A-1")
    async with database.begin() as tx:
        (await tx.session.get_one(Member, who)).status = MemberStatus.FROZEN
    async with database.begin() as tx:
        with pytest.raises(MemberNotActive):
            await gifts.take_gift(tx, hold_id=hold.id, member_id=who, order_ref="A-2")
    assert await standing(database, hold) == (HoldState.HELD, 0, 0)


async def test_the_job_finds_the_order_of_who_was_merged(
    database: Database, settings: Settings, clock: TestClock
) -> None:
    from app import merging

    who, paid, hold = await taken_with(database)
    await undo(database, who, paid, cancelled_at=clock.now)
    async with database.begin() as tx:
        heir = (await member(tx)).id
        await merging.merge(
            tx, from_id=who, into_id=heir, actor_kind="staff", actor_id=heir, reason="same person"
        )
    await job.body(Work(database, settings), member_id=str(who), order_id=str(paid))
    hold.member_id = heir
    assert await standing(database, hold) == (HoldState.RETURNED, 0, 1)


@pytest.mark.parametrize(
    ("facts", "is_back"),
    [
        ({"refunded_quantity": 1}, True),
        ({"refunded_fen": 100}, True),
        ({"refunded_fen": 99}, False),
        ({"refunded_quantity": 1, "paid_fen": 3_990}, False),
        ({"refunded_quantity": 1, "sku": "RICE"}, False),
    ],
)
async def test_a_gift_whose_own_line_came_back_is_free(
    database: Database, clock: TestClock, facts: dict[str, object], is_back: bool
) -> None:
    who, paid, hold = await taken_with(database)
    async with database.begin() as tx:
        row = await tx.session.get_one(Order, (who, paid))
        eggs = await line(tx, order=row, line_no=2, sku="EGGS", paid_fen=100)
        for name, value in facts.items():
            setattr(eggs, name, value)
    await undo(database, who, paid, refunded_fen=100, refunded_at=clock.now)
    assert await give_back(database, who, paid) == is_back
    state = HoldState.RETURNED if is_back else HoldState.TAKEN
    assert (await standing(database, hold))[0] is state
    assert await give_back(database, who, paid) == 0
