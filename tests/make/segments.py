"""Builders of stages, and of a person's whole history."""

from datetime import datetime
from uuid import UUID

from app import segments
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
    for bought in who.orders:
        await _bought(tx, member.id, bought)
    for at, category in who.browses:
        await make_orders.activity(tx, member_id=member.id, at=at, category=category)
    for at, amount in who.loose_refunds:
        await make_orders.refund(tx, member_id=member.id, amount_fen=amount, at=at)
    return member.id


async def _bought(tx: Tx, member_id: UUID, bought: Bought) -> None:
    row = await make_orders.order(
        tx,
        member_id=member_id,
        at=bought.paid_at,
        total_fen=bought.total,
        category=bought.category,
    )
    row.cancelled_at = bought.cancelled_at
    row.refunded_fen = sum(amount for _, amount in bought.refunds)
    for at, amount in bought.refunds:
        await make_orders.refund(tx, member_id=member_id, order_id=row.id, amount_fen=amount, at=at)
    await tx.session.flush()
