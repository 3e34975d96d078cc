"""A one-yuan gift that goes with an order earns no points."""

from app import gifts, points, tiers
from app.kernel.config import Settings
from app.kernel.db import Database
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
