"""A one-yuan gift that goes with an order earns no points."""

from app import gifts, points, tiers
from app.kernel.config import Settings
from app.kernel.db import Database
from app.orders import Order
from tests.conftest import TestClock
from tests.make import gifts as make
from tests.make import orders as make_orders
from tests.make.members import member
from workers.jobs import Work
from workers.points import follow_order


async def test_only_the_rest_of_the_order_earns(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
    earned: list[int] = []
    for with_gift in (True, False):
        async with database.begin() as tx:
            one = (await member(tx)).id
            order = await make_orders.order(tx, member_id=one, total_fen=5_100)
            if with_gift:
                offer = await make.offer(tx)
                hold = await gifts.hold_gift(tx, offer_id=offer.id, member_id=one)
                await gifts.take_gift(tx, hold_id=hold.id, member_id=one, order_ref=order.order_no)
        await follow_order.body(
            Work(database, settings), member_id=str(one), order_id=str(order.id)
        )
        async with database.read() as read:
            found = (await points.balances_by_member(read, [one]))[one].points
            earned.append(found.pending + found.balance)
    assert earned == [50, 51]


async def test_a_gift_that_comes_back_takes_no_points_along(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        one = (await member(tx)).id
        order = await make_orders.order(tx, member_id=one, total_fen=10_100, sku=None)
        await make_orders.line(tx, order=order, sku="RICE", paid_fen=10_000)
        eggs = await make_orders.line(tx, order=order, line_no=2, sku="EGGS", paid_fen=100)
        offer = await make.offer(tx)
        hold = await gifts.hold_gift(tx, offer_id=offer.id, member_id=one)
        await gifts.take_gift(tx, hold_id=hold.id, member_id=one, order_ref=order.order_no)
        eggs.refunded_fen = order.refunded_fen = 100
    work = Work(database, settings)
    held: list[int] = []
    for back in (100, 10_100):
        async with database.begin() as tx:
            row = await tx.session.get_one(Order, (one, order.id))
            row.refunded_fen = back
        await follow_order.body(work, member_id=str(one), order_id=str(order.id))
        async with database.read() as read:
            found = (await points.balances_by_member(read, [one]))[one].points
            held.append(found.pending + found.balance)
    assert held == [100, 0]
