"""Batched reads of ballots, their tallies and where a member stands in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
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
from app.kernel.batched import Ask, Batched
from app.kernel.db import Read
from app.kernel.statements import Entities, ListOf, Rows, ids, texts
from app.members import Member

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


# Ballots by id; unknown ids are absent.
by_id: Batched[UUID, Ballot] = Batched(
    lambda keys, _: Ask(_BALLOTS, {"ids": keys}), lambda rows, _: {row.id: row for row in rows}
)


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


def _by_ballot(rows: list[BallotOption], _: list[UUID]) -> dict[UUID, list[BallotOption]]:
    found: dict[UUID, list[BallotOption]] = {}
    for row in rows:
        found.setdefault(row.ballot_id, []).append(row)
    return found


# Each ballot's options in their order; no vote is counted for it.
options_by_ballot: Batched[UUID, list[BallotOption]] = Batched(
    lambda keys, _: Ask(_OPTIONS, {"ids": keys}), _by_ballot
)


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


# Each ballot, where its options were asked for with the list of them.
BallotRows = list[tuple[Ballot, list[BallotOption] | None]]


@dataclass(frozen=True, slots=True)
class BallotPage:
    """Which ballots: in these states, after a position, of a community and of everyone, or all."""

    first: int
    states: tuple[BallotState, ...]
    after: tuple[datetime, UUID] | None = None
    community_id: UUID | None = None
    # Instead of a community: that of this member.
    member_id: UUID | None = None
    # Read the ballots' options together with them.
    with_options: bool = False
    # The attributes that are read of ballots; all if None.
    columns: tuple[str, ...] | None = None


def _ask_page(keys: list[BallotPage], _: datetime) -> Ask | None:
    if len(keys) != 1:
        return None
    (key,) = keys
    return Ask(
        _page(
            key.after is not None,
            key.community_id is not None,
            key.member_id is not None,
            key.with_options,
            key.columns,
        ),
        {
            "states": [state.name for state in key.states],
            "opens_at": key.after and key.after[0],
            "id": key.after and key.after[1],
            "community_id": key.community_id,
            "member_id": key.member_id,
            "first": key.first + 1,
        },
    )


def _tell_page(rows: list[Any], keys: list[BallotPage]) -> dict[BallotPage, BallotRows]:
    (key,) = keys
    return {key: rows if key.with_options else [(row, None) for (row,) in rows]}


async def _one_by_one(read: Read, keys: Iterable[BallotPage]) -> dict[BallotPage, BallotRows]:
    found: dict[BallotPage, BallotRows] = {}
    for key in keys:
        found |= await pages(read, [key])
    return found


# The ballots of each page, latest opening first; one more than `first` if there are more.
pages: Batched[BallotPage, BallotRows] = Batched(_ask_page, _tell_page, _one_by_one)
_OPTIONS_OF_ONE = ListOf(
    select(BallotOption)
    .where(BallotOption.ballot_id == Ballot.id)
    .order_by(BallotOption.position)
    .correlate(Ballot),
    only="id label",
)


@lru_cache(maxsize=256)
def _page(
    after: bool,
    of_community: bool,
    of_member: bool,
    with_options: bool,
    columns: tuple[str, ...] | None,
) -> Rows[Any]:
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
    if of_member:
        member = bindparam("member_id", type_=Uuid())
        home = select(Member.community_id).where(Member.id == member).scalar_subquery()
        query = query.where(or_(Ballot.community_id.is_(None), Ballot.community_id == home))
    page = query.limit(bindparam("first", type_=Integer()))
    return Rows(
        page,
        only=None if columns is None else {Ballot: columns},
        lists=[_OPTIONS_OF_ONE] if with_options else [],
    )
