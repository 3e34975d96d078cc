"""Batched reads of reviews."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select

from app.kernel.db import Read
from app.reviews.tables import Review, ReviewState


async def by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Review]:
    """Reviews by id, whatever their state; unknown ids are absent."""
    rows = await read.session.scalars(select(Review).where(Review.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def pending(read: Read, *, first: int) -> list[Review]:
    """The oldest reviews that wait for moderation."""
    query = select(Review).where(Review.state == ReviewState.PENDING)
    query = query.order_by(Review.submitted_at, Review.id).limit(first)
    return list(await read.session.scalars(query))
