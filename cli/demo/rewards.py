"""Points for what members bought and for the days on which the keenest checked in."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select, tuple_, update

from app import points
from app.kernel.db import Database, Tx
from app.orders import Order, OrderStatus
from app.points import CheckIn, OrderFacts

_BATCH: Final = 4_000
RECENT: Final = timedelta(days=60)
CHECK_IN_POINTS: Final = 5
CHECK_INS_PAID: Final = 14


async def reward_orders(database: Database) -> None:
    """Points for recent orders that nothing went back of; once an order, however often called.

    Nothing is announced: what was bought long ago is no news.
    """
    after: tuple[UUID, UUID] | None = None
    while True:
        async with database.begin() as tx:
            batch = await _orders_after(tx, after)
            if not batch:
                return
            await points.earn_for_orders(tx, [_facts(order) for order in batch])
            tx.events.clear()
        after = batch[-1].member_id, batch[-1].id


async def _orders_after(tx: Tx, after: tuple[UUID, UUID] | None) -> list[Order]:
    query = (
        select(Order)
        .where(
            Order.status.in_([OrderStatus.PAID, OrderStatus.SETTLED]),
            Order.paid_at >= tx.now - RECENT,
        )
        .order_by(Order.member_id, Order.id)
        .limit(_BATCH)
    )
    if after is not None:
        query = query.where(tuple_(Order.member_id, Order.id) > tuple_(*after))
    return list(await tx.session.scalars(query))


def _facts(order: Order) -> OrderFacts:
    assert order.paid_at is not None  # by its status
    return OrderFacts(
        order_id=order.id,
        member_id=order.member_id,
        total_fen=order.total_fen,
        paid_at=order.paid_at,
        settled_at=order.settled_at,
    )


async def reward_check_ins(tx: Tx, *, member_ids: list[UUID]) -> None:
    """Points for the latest check-ins of some members, entered without points before."""
    for member_id in member_ids:
        days = await tx.session.scalars(
            select(CheckIn.day)
            .where(CheckIn.member_id == member_id, CheckIn.points == 0)
            .order_by(CheckIn.day.desc())
            .limit(CHECK_INS_PAID)
        )
        for day in days.all():
            await points.earn(
                tx,
                member_id=member_id,
                amount=CHECK_IN_POINTS,
                source=points.Source.CHECK_IN,
                rule="check-in",
                subject=day.isoformat(),
            )
            await tx.session.execute(
                update(CheckIn)
                .where(CheckIn.member_id == member_id, CheckIn.day == day)
                .values(points=CHECK_IN_POINTS)
            )
    tx.events.clear()
