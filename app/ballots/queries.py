"""Batched reads of ballots, their tallies and where a member stands in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import (
    DateTime,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    or_,
    select,
    tuple_,
)

from app.ballots.rules import OptionTally
from app.ballots.states import BallotState
from app.ballots.tables import Ballot, BallotOption, RollEntry, Vote
from app.kernel.db import Read
from app.kernel.statements import Entities, Rows, ids, texts

_BALLOTS = Entities(select(Ballot).where(Ballot.id == any_(ids("ids"))))
_OPTIONS = Entities(
    select(BallotOption)
    .where(BallotOption.ballot_id == any_(ids("ids")))
    .order_by(BallotOption.ballot_id, BallotOption.position)
)
_COUNTED = (
    select(Vote.ballot_id, Vote.option_id, func.count().label("votes"))
    .where(Vote.ballot_id == any_(ids("ids")))
    .group_by(Vote.ballot_id, Vote.option_id)
    .subquery()
)
_TALLIES = Rows(
    select(
        BallotOption.ballot_id,
        BallotOption.id,
        BallotOption.position,
        BallotOption.label,
        func.coalesce(BallotOption.votes, _COUNTED.c.votes, 0),
    )
    .outerjoin(
        _COUNTED,
        and_(
            _COUNTED.c.ballot_id == BallotOption.ballot_id,
            _COUNTED.c.option_id == BallotOption.id,
        ),
    )
    .where(BallotOption.ballot_id == any_(ids("ids")))
    .order_by(BallotOption.ballot_id, BallotOption.position)
)
_ASKED = (
    func.unnest(ids("ballots"), ids("members"))
    .table_valued(column("ballot_id", Uuid), column("member_id", Uuid), name="asked")
    .render_derived()
)
_STANDINGS = Rows(
    select(RollEntry.ballot_id, RollEntry.member_id, Vote.option_id, Vote.cast_at)
    .join(
        _ASKED,
        and_(_ASKED.c.ballot_id == RollEntry.ballot_id, _ASKED.c.member_id == RollEntry.member_id),
    )
    .outerjoin(
        Vote, and_(Vote.member_id == RollEntry.member_id, Vote.ballot_id == RollEntry.ballot_id)
    )
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's part in a ballot."""

    on_roll: bool
    option_id: UUID | None
    cast_at: datetime | None


async def by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Ballot]:
    """Ballots by id; unknown ids are absent."""
    return {row.id: row for row in await read.fetch(_BALLOTS, ids=list(keys))}


async def tally_by_ballot(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[OptionTally]]:
    """Each ballot's options in their order with their votes at this instant.

    From the tally on the stored counts, before it the votes themselves. Whether the caller may see
    them is not asked here.
    """
    rows = await read.fetch(_TALLIES, ids=list(keys))
    found: dict[UUID, list[OptionTally]] = {}
    for ballot_id, id_, position, label, votes in rows:
        found.setdefault(ballot_id, []).append(OptionTally(id_, position, label, votes))
    return found


async def options_by_ballot(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[BallotOption]]:
    """Each ballot's options in their order; no vote is counted for it."""
    found: dict[UUID, list[BallotOption]] = {}
    for row in await read.fetch(_OPTIONS, ids=list(keys)):
        found.setdefault(row.ballot_id, []).append(row)
    return found


async def standing(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Standing]:
    """Where a member stands, by (ballot id, member id); those not on the roll are absent."""
    asked = list(keys)
    rows = await read.fetch(
        _STANDINGS, ballots=[key[0] for key in asked], members=[key[1] for key in asked]
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
    return await read.fetch(
        _page(after is not None, community_id is not None),
        states=[state.name for state in states],
        opens_at=after and after[0],
        id=after and after[1],
        community_id=community_id,
        first=first + 1,
    )


@cache
def _page(after: bool, of_community: bool) -> Entities[Ballot]:
    query = select(Ballot).where(cast(Ballot.state, Text) == any_(texts("states")))
    query = query.order_by(Ballot.opens_at.desc(), Ballot.id.desc())
    if after:
        position = (
            bindparam("opens_at", type_=DateTime(timezone=True)),
            bindparam("id", type_=Uuid()),
        )
        query = query.where(tuple_(Ballot.opens_at, Ballot.id) < tuple_(*position))
    if of_community:
        own = Ballot.community_id == bindparam("community_id", type_=Uuid())
        query = query.where(or_(Ballot.community_id.is_(None), own))
    return Entities(query.limit(bindparam("first", type_=Integer())))
