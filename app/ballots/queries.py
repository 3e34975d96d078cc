"""Batched reads of ballots, their tallies and where a member stands in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, or_, select, tuple_

from app.ballots.rules import OptionTally
from app.ballots.states import BallotState
from app.ballots.tables import Ballot, BallotOption, RollEntry, Vote
from app.kernel.db import Read


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's part in a ballot."""

    on_roll: bool
    option_id: UUID | None
    cast_at: datetime | None


async def by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Ballot]:
    """Ballots by id; unknown ids are absent."""
    rows = await read.session.scalars(select(Ballot).where(Ballot.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def tally_by_ballot(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[OptionTally]]:
    """Each ballot's options in their order with their votes at this instant.

    From the tally on the stored counts, before it the votes themselves. Whether the caller may see
    them is not asked here.
    """
    ids = list(keys)
    live = (
        select(Vote.ballot_id, Vote.option_id, func.count().label("votes"))
        .where(Vote.ballot_id.in_(ids))
        .group_by(Vote.ballot_id, Vote.option_id)
        .subquery()
    )
    rows = await read.session.execute(
        select(
            BallotOption.ballot_id,
            BallotOption.id,
            BallotOption.position,
            BallotOption.label,
            func.coalesce(BallotOption.votes, live.c.votes, 0),
        )
        .outerjoin(
            live,
            and_(live.c.ballot_id == BallotOption.ballot_id, live.c.option_id == BallotOption.id),
        )
        .where(BallotOption.ballot_id.in_(ids))
        .order_by(BallotOption.ballot_id, BallotOption.position)
    )
    found: dict[UUID, list[OptionTally]] = {}
    for ballot_id, id_, position, label, votes in rows:
        found.setdefault(ballot_id, []).append(OptionTally(id_, position, label, votes))
    return found


async def options_by_ballot(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[BallotOption]]:
    """Each ballot's options in their order; no vote is counted for it."""
    found: dict[UUID, list[BallotOption]] = {}
    for row in await read.session.scalars(
        select(BallotOption)
        .where(BallotOption.ballot_id.in_(list(keys)))
        .order_by(BallotOption.ballot_id, BallotOption.position)
    ):
        found.setdefault(row.ballot_id, []).append(row)
    return found


async def standing(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Standing]:
    """Where a member stands, by (ballot id, member id); those not on the roll are absent."""
    rows = await read.session.execute(
        select(RollEntry.ballot_id, RollEntry.member_id, Vote.option_id, Vote.cast_at)
        .outerjoin(
            Vote,
            and_(Vote.member_id == RollEntry.member_id, Vote.ballot_id == RollEntry.ballot_id),
        )
        .where(tuple_(RollEntry.ballot_id, RollEntry.member_id).in_(list(keys)))
    )
    return {
        (ballot_id, member_id): Standing(True, option_id, cast_at)
        for ballot_id, member_id, option_id, cast_at in rows
    }


async def page(
    read: Read,
    *,
    after: tuple[datetime, UUID] | None,
    first: int,
    states: Iterable[BallotState],
    community_id: UUID | None = None,
) -> list[Ballot]:
    """Ballots in these states, latest opening first; one more than `first` if there are more.

    A community sees its own and those that ask everyone; None sees all.
    """
    query = select(Ballot).where(Ballot.state.in_(list(states)))
    query = query.order_by(Ballot.opens_at.desc(), Ballot.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(tuple_(Ballot.opens_at, Ballot.id) < tuple_(*after))
    if community_id is not None:
        own = or_(Ballot.community_id.is_(None), Ballot.community_id == community_id)
        query = query.where(own)
    return list(await read.session.scalars(query))
