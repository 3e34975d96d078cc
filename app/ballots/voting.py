"""Casting a vote."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app import members
from app.ballots.errors import (
    AlreadyVoted,
    BallotNotFound,
    BallotNotOpen,
    NotOnRoll,
    OptionNotFound,
)
from app.ballots.events import VoteCast
from app.ballots.rules import takes_votes
from app.ballots.states import BallotState
from app.ballots.tables import Ballot, BallotOption, RollEntry, Vote
from app.kernel.db import Tx
from app.kernel.sets import lock_name


def closing_lock(ballot_id: UUID) -> str:
    """The lock that voters share and the one who closes the ballot holds alone."""
    return f"ballot closing {ballot_id}"


async def cast(tx: Tx, *, ballot_id: UUID, member_id: UUID, option_id: UUID) -> Vote:
    """Vote, or vote anew where the ballot was declared changeable.

    A vote that is answered was taken before the closing and is counted. Raises BallotNotFound,
    BallotNotOpen, OptionNotFound, NotOnRoll, AlreadyVoted, and members.MemberNotActive for those
    whose account was frozen since the roll was.
    """
    await lock_name(tx, closing_lock(ballot_id), shared=True)
    ballot = await tx.session.get(Ballot, ballot_id, populate_existing=True)
    if ballot is None or ballot.state is BallotState.DRAFT:
        raise BallotNotFound()
    if not takes_votes(
        ballot.state, opens_at=ballot.opens_at, closes_at=ballot.closes_at, now=tx.now
    ):
        raise BallotNotOpen()
    if await tx.session.get(BallotOption, (ballot_id, option_id)) is None:
        raise OptionNotFound()
    await _check_voter(tx, ballot_id=ballot_id, member_id=member_id)
    vote = await _store(tx, ballot, member_id=member_id, option_id=option_id)
    if vote is None:
        raise AlreadyVoted()
    tx.emit(VoteCast(ballot_id=ballot_id, visibility=ballot.visibility))
    return vote


async def _check_voter(tx: Tx, *, ballot_id: UUID, member_id: UUID) -> None:
    status = await tx.session.scalar(
        select(members.Member.status)
        .join(RollEntry, RollEntry.member_id == members.Member.id)
        .where(RollEntry.member_id == member_id, RollEntry.ballot_id == ballot_id)
    )
    if status is None:
        raise NotOnRoll()
    if status is not members.MemberStatus.ACTIVE:
        raise members.MemberNotActive()


async def _store(tx: Tx, ballot: Ballot, *, member_id: UUID, option_id: UUID) -> Vote | None:
    statement = insert(Vote).values(
        member_id=member_id, ballot_id=ballot.id, option_id=option_id, cast_at=tx.now, changes=0
    )
    key = [Vote.member_id, Vote.ballot_id]
    if ballot.change_until_close:
        statement = statement.on_conflict_do_update(
            index_elements=key,
            set_={"option_id": option_id, "cast_at": tx.now, "changes": Vote.changes + 1},
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    return await tx.session.scalar(
        statement.returning(Vote), execution_options={"populate_existing": True}
    )
