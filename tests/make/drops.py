"""Builders of drops."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from app import drops
from app.kernel.db import Tx
from tests.make import coupons as make_coupons


async def drop(
    tx: Tx,
    *,
    batch_id: UUID | None = None,
    title: str = "周三秒杀",
    opens_in: timedelta = timedelta(hours=1),
    lasts: timedelta = timedelta(hours=1),
    stock: int = 10,
    community_id: UUID | None = None,
    **more: Any,
) -> drops.Drop:
    """A drop that opens in an hour for an hour, unless told otherwise."""
    batch = batch_id or (await make_coupons.batch(tx, quantity=max(stock, 100))).id
    opens_at = tx.now + opens_in
    return await drops.create_drop(
        tx,
        batch_id=batch,
        title=title,
        opens_at=opens_at,
        closes_at=opens_at + lasts,
        stock=stock,
        community_id=community_id,
        **more,
    )


async def open_drop(
    tx: Tx, *, stock: int = 10, batch_id: UUID | None = None, **more: Any
) -> drops.Drop:
    """A drop that is open now."""
    made = await drop(tx, stock=stock, batch_id=batch_id, **more)
    return await drops.open_drop(tx, drop_id=made.id)
