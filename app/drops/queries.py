"""Batched reads of drops."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_

from app.drops.rules import Window
from app.drops.tables import Cancellation, Claim, Drop, DropState, EarlyWindow, Guest
from app.kernel.db import Read
from app.tiers import Standing, Tier

LOWEST_RANK = 1


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


async def windows_by_drop(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[Window]]:
    """Windows of early access by drop, the first to begin first; drops without any are absent."""
    rows = await read.session.scalars(
        select(EarlyWindow)
        .where(EarlyWindow.drop_id.in_(list(keys)))
        .order_by(EarlyWindow.drop_id, EarlyWindow.opens_at)
    )
    found: dict[UUID, list[Window]] = {}
    for row in rows:
        found.setdefault(row.drop_id, []).append(Window(row.rank, row.opens_at, row.stock))
    return found


async def ranks_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, int]:
    """Each member's rank among the tiers; who has no standing has the lowest."""
    asked = list(keys)
    lowest = await read.session.scalar(select(func.min(Tier.rank)))
    rows = await read.session.execute(
        select(Standing.member_id, Tier.rank)
        .join(Tier, Tier.code == Standing.tier_code)
        .where(Standing.member_id.in_(asked))
    )
    return dict.fromkeys(asked, lowest or LOWEST_RANK) | {row[0]: row[1] for row in rows}


async def guests_of(read: Read, keys: Iterable[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], bool]:
    """Which of these members are guests of which drops; the others are absent."""
    rows = await read.session.execute(
        select(Guest.member_id, Guest.drop_id).where(
            tuple_(Guest.member_id, Guest.drop_id).in_(list(keys))
        )
    )
    return {(row[0], row[1]): True for row in rows}


async def cancellations_by_drop(read: Read, keys: Iterable[UUID]) -> dict[UUID, Cancellation]:
    """Why and how drops were cancelled; those that were not are absent."""
    rows = await read.session.scalars(
        select(Cancellation).where(Cancellation.drop_id.in_(list(keys)))
    )
    return {row.drop_id: row for row in rows}


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
