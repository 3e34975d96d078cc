"""Builders of ballots and of members who may vote in them."""

from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import select

from app import ballots
from app.kernel.db import Database, Tx
from tests.make import members as make_members
from tests.make import orders as make_orders


def draft(tx: Tx, **declared: object) -> ballots.Draft:
    """A ballot on delivery times, a day long from now, unless declared otherwise."""
    given: dict[str, object] = {
        "question": "送货时间改到几点？",
        "options": ["上午", "傍晚", "夜里"],
        "opens_at": tx.now,
        "closes_at": tx.now + timedelta(days=1),
        **declared,
    }
    return ballots.Draft(**given)  # pyright: ignore[reportArgumentType]


async def voter(tx: Tx, *, community_id: UUID | None = None) -> UUID:
    """A member with a verified phone and a settled order."""
    member = await make_members.member(tx, community_id=community_id)
    await make_orders.order(tx, member_id=member.id)
    return member.id


async def open_ballot(
    database: Database, *, voters: int = 3, **declared: object
) -> tuple[UUID, list[UUID], list[UUID]]:
    """An open ballot with its options and its voters: (ballot id, option ids, member ids)."""
    async with database.begin() as tx:
        members = [await voter(tx) for _ in range(voters)]
        ballot = await ballots.create(tx, draft=draft(tx, **declared), staff_id=uuid4())
        await ballots.open_ballot(tx, ballot_id=ballot.id)
        options = await tx.session.scalars(
            select(ballots.BallotOption.id)
            .where(ballots.BallotOption.ballot_id == ballot.id)
            .order_by(ballots.BallotOption.position)
        )
        return ballot.id, list(options), members
