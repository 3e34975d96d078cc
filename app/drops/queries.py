"""Batched reads of drops."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, tuple_

from app.drops.tables import Claim, Drop, DropState
from app.kernel.db import Read


async def by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Drop]:
    """Drops by id; unknown ids are absent."""
    rows = await read.session.scalars(select(Drop).where(Drop.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def claims_by_member_and_drop(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Claim]:
    """Claims by member and drop; those who have not claimed are absent."""
    rows = await read.session.scalars(
        select(Claim).where(tuple_(Claim.member_id, Claim.drop_id).in_(list(keys)))
    )
    return {(row.member_id, row.drop_id): row for row in rows}


async def page(
    read: Read,
    *,
    first: int,
    after: tuple[datetime, UUID] | None = None,
    state: DropState | None = None,
) -> list[Drop]:
    """Drops, the last to open first; one more than `first` if there are more."""
    query = select(Drop).order_by(Drop.opens_at.desc(), Drop.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(tuple_(Drop.opens_at, Drop.id) < tuple_(*after))
    if state is not None:
        query = query.where(Drop.state == state)
    return list(await read.session.scalars(query))
