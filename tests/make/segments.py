"""Builders of stages, and of a person's whole history."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from app import orders, segments
from app.kernel.db import Tx
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.segments.oracle import Bought, Person


async def stage(
    tx: Tx,
    *,
    member_id: UUID,
    stage: segments.Stage = segments.Stage.REGULAR,
    since: datetime | None = None,
    net90: int = 0,
) -> segments.MemberStage:
    """A member's stage, as if a run had found it."""
    row = segments.MemberStage(
        member_id=member_id,
        stage=stage,
        reason=segments.StageReason.STEADY_ORDERS,
        since=since or tx.now,
        as_of=since or tx.now,
        orders=1,
        last_order_at=tx.now,
        average_order_fen=1000,
        orders30=1,
        net90=net90,
        rfm_r=3,
        rfm_f=3,
        rfm_m=3,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row


async def person(tx: Tx, who: Person) -> UUID:
    """A member with everything they did."""
    member = await make_members.member(tx, registered_at=who.registered_at)
    await bought(tx, member.id, *who.orders)
    for at, category in who.browses:
        await make_orders.activity(tx, member_id=member.id, at=at, category=category)
    for at, amount in who.loose_refunds:
        await make_orders.refund(tx, member_id=member.id, amount_fen=amount, at=at)
    return member.id


async def bought(tx: Tx, member_id: UUID, *bought: Bought) -> None:
    """A member's orders with their refunds."""
    for one in bought:
        row = await make_orders.order(
            tx,
            member_id=member_id,
            at=one.paid_at,
            total_fen=one.total,
            category=one.category,
        )
        row.cancelled_at = one.cancelled_at
        row.refunded_fen = sum(amount for _, amount in one.refunds)
        for at, amount in one.refunds:
            await make_orders.refund(
                tx, member_id=member_id, order_id=row.id, amount_fen=amount, at=at
            )
    await tx.session.flush()


async def call_off(tx: Tx, member_id: UUID, one: Bought) -> None:
    """The same order, stored before, as cancelled at its instant."""
    order = orders.Order
    await tx.session.execute(
        update(order)
        .where(order.member_id == member_id, order.paid_at == one.paid_at)
        .values(cancelled_at=one.cancelled_at)
    )
