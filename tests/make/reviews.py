"""Builders of reviews."""

from uuid import UUID

from app import reviews
from app.kernel.db import Tx
from tests.make import orders as make_orders


async def review(
    tx: Tx, *, member_id: UUID, sku: str = "SKU-1", rating: int = 5, text: str = "又大又甜"
) -> reviews.Review:
    """A pending review by a member, who buys the product first."""
    await make_orders.order(tx, member_id=member_id, sku=sku)
    return await reviews.submit(tx, member_id=member_id, sku=sku, rating=rating, text=text)
