"""Builders of orders, lines, refunds and activities, one a table."""

from datetime import datetime
from uuid import UUID

from app import orders
from app.kernel.db import Tx


async def order(
    tx: Tx,
    *,
    member_id: UUID,
    at: datetime | None = None,
    paid: bool = True,
    settled: bool = True,
    cancelled: bool = False,
    total_fen: int = 1000,
    refunded_fen: int = 0,
    sku: str | None = "SKU-1",
    category: str | None = "fruit",
    quantity: int = 1,
    order_no: str | None = None,
    source: str = "test",
    channel: orders.Channel = orders.Channel.MINI_PROGRAM,
) -> orders.Order:
    """One order, paid and settled at once unless told otherwise, with one line (none if no sku).

    `refunded_fen` also writes the refund that belongs to it.
    """
    at = at or tx.now
    key = tx.new_id()
    row = orders.Order(
        member_id=member_id,
        id=key,
        source=source,
        order_no=order_no or str(key),
        channel=channel,
        placed_at=at,
        paid_at=at if paid else None,
        settled_at=at if paid and settled else None,
        cancelled_at=at if cancelled else None,
        refunded_at=at if refunded_fen else None,
        total_fen=total_fen,
        discount_fen=0,
        refunded_fen=refunded_fen,
    )
    tx.session.add(row)
    await tx.session.flush()
    if sku is not None:
        await line(tx, order=row, sku=sku, category=category, quantity=quantity, paid_fen=total_fen)
    if refunded_fen:
        await refund(tx, member_id=member_id, order_id=key, amount_fen=refunded_fen, at=at)
    return row


async def line(
    tx: Tx,
    *,
    order: orders.Order,
    sku: str = "SKU-1",
    line_no: int = 1,
    quantity: int = 1,
    paid_fen: int = 1000,
    category: str | None = "fruit",
) -> orders.OrderLine:
    """One line of an order."""
    row = orders.OrderLine(
        member_id=order.member_id,
        order_id=order.id,
        line_no=line_no,
        sku=sku,
        name=f"article {sku}",
        category=category,
        quantity=quantity,
        paid_fen=paid_fen,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row


async def refund(
    tx: Tx,
    *,
    member_id: UUID,
    order_id: UUID | None = None,
    amount_fen: int = 100,
    at: datetime | None = None,
    source: str = "test",
    sku: str | None = None,
    quantity: int = 0,
) -> orders.Refund:
    """One refund; the order's own `refunded_fen` is the caller's to keep."""
    key = tx.new_id()
    row = orders.Refund(
        member_id=member_id,
        id=key,
        source=source,
        refund_no=str(key),
        order_id=order_id,
        sku=sku,
        quantity=quantity,
        amount_fen=amount_fen,
        at=at or tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row


async def activity(
    tx: Tx,
    *,
    member_id: UUID,
    kind: orders.ActivityKind = orders.ActivityKind.BROWSE,
    at: datetime | None = None,
    seconds: int = 30,
    category: str | None = "fruit",
    sku: str | None = None,
) -> orders.Activity:
    """One thing a member did."""
    row = orders.Activity(
        member_id=member_id,
        event_id=str(tx.new_id()),
        kind=kind,
        at=at or tx.now,
        seconds=seconds,
        category=category,
        sku=sku,
        channel=orders.Channel.MINI_PROGRAM,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row
