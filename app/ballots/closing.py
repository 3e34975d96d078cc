"""Closing a ballot, counting its votes and announcing what was decided."""

from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, array

from app import members
from app.ballots.errors import BallotDecidedAlready, BallotNotFound, BallotNotOpen
from app.ballots.events import BallotClosed, BallotDecided
from app.ballots.rules import MAX_REASON, OptionTally, Verdict, verdict
from app.ballots.states import BallotState
from app.ballots.tables import Ballot, BallotOption, Vote
from app.ballots.voting import closing_lock
from app.kernel.db import Tx
from app.kernel.outbox import encode
from app.kernel.sets import emit_each, lock_name
from app.kernel.text import checked_text


async def close(tx: Tx, *, ballot_id: UUID) -> Ballot:
    """Take no more votes and count those taken; the ballot then waits for its decision.

    Waits for votes under way. Staff may close before the announced time; never twice. Raises
    BallotNotFound, BallotNotOpen.
    """
    await lock_name(tx, closing_lock(ballot_id))
    ballot = await tx.session.get(Ballot, ballot_id, with_for_update=True, populate_existing=True)
    if ballot is None:
        raise BallotNotFound()
    if ballot.state is not BallotState.OPEN:
        raise BallotNotOpen()
    ballot.state = BallotState.CLOSED
    ballot.closed_at = tx.now
    await tx.session.flush()
    turnout = await _tally(tx, ballot_id)
    ballot.turnout = turnout
    ballot.state = BallotState.TALLIED
    await tx.session.flush()
    tx.emit(BallotClosed(ballot_id=ballot_id, turnout=turnout))
    return ballot


async def close_due(tx: Tx) -> list[UUID]:
    """Close and count every open ballot whose time is over; answers their ids."""
    due = await tx.session.scalars(
        select(Ballot.id)
        .where(Ballot.state == BallotState.OPEN, Ballot.closes_at <= tx.now)
        .order_by(Ballot.id)
    )
    closed: list[UUID] = []
    for ballot_id in due.all():
        try:
            await close(tx, ballot_id=ballot_id)
        except BallotNotOpen:  # staff closed it while we waited for its lock
            continue
        closed.append(ballot_id)
    return closed


async def decide(
    tx: Tx, *, ballot_id: UUID, staff_id: UUID, reason: str, adopt: bool = True
) -> Ballot:
    """Announce the outcome with its reason to everyone who voted.

    The votes decide by the declared quorum and tie rule; with `adopt=False` staff turn the winner
    down. Raises BallotNotFound, BallotNotOpen before the tally, BallotDecidedAlready, InvalidInput.
    """
    text = checked_text(reason, field="reason", longest=MAX_REASON)
    ballot = await tx.session.get(Ballot, ballot_id, with_for_update=True, populate_existing=True)
    if ballot is None:
        raise BallotNotFound()
    if ballot.decided_at is not None:
        raise BallotDecidedAlready()
    if ballot.state is not BallotState.TALLIED:
        raise BallotNotOpen()
    outcome = verdict(
        await _options(tx, ballot_id),
        roll_size=ballot.roll_size or 0,
        quorum_percent=ballot.quorum_percent,
        tie_rule=ballot.tie_rule,
    )
    if outcome.state is BallotState.ADOPTED and not adopt:
        outcome = Verdict(BallotState.REJECTED, outcome.winner)
    ballot.state = outcome.state
    ballot.winner_id = outcome.winner.id if outcome.winner else None
    ballot.decided_at = tx.now
    ballot.decided_by = staff_id
    ballot.decision_reason = text
    await tx.session.flush()
    await _tell(tx, ballot, outcome)
    return ballot


async def conclude(
    tx: Tx, *, ballot_id: UUID, staff_id: UUID, reason: str, adopt: bool = True
) -> Ballot:
    """Close the ballot if it is still open, count the votes and announce the decision.

    Raises what `close` and `decide` raise.
    """
    ballot = await tx.session.get(Ballot, ballot_id, populate_existing=True)
    if ballot is None:
        raise BallotNotFound()
    if ballot.state is BallotState.OPEN:
        await close(tx, ballot_id=ballot_id)
    return await decide(tx, ballot_id=ballot_id, staff_id=staff_id, reason=reason, adopt=adopt)


async def _tally(tx: Tx, ballot_id: UUID) -> int:
    votes = (
        select(func.count())
        .where(Vote.ballot_id == BallotOption.ballot_id, Vote.option_id == BallotOption.id)
        .scalar_subquery()
    )
    counted = await tx.session.scalars(
        update(BallotOption)
        .where(BallotOption.ballot_id == ballot_id)
        .values(votes=votes)
        .returning(BallotOption.votes)
        .execution_options(synchronize_session=False)
    )
    return sum(count or 0 for count in counted)


async def _options(tx: Tx, ballot_id: UUID) -> list[OptionTally]:
    rows = await tx.session.execute(
        select(BallotOption.id, BallotOption.position, BallotOption.label, BallotOption.votes)
        .where(BallotOption.ballot_id == ballot_id)
        .order_by(BallotOption.position)
    )
    return [OptionTally(id_, position, label, votes or 0) for id_, position, label, votes in rows]


async def _tell(tx: Tx, ballot: Ballot, outcome: Verdict) -> None:
    fact = BallotDecided(
        ballot_id=ballot.id,
        question=ballot.question,
        state=outcome.state,
        winner_id=ballot.winner_id,
        winner=outcome.winner.label if outcome.winner else None,
        reason=ballot.decision_reason or "",
        decided_at=tx.now,
    )
    tx.emit(fact)
    voters = select(
        array([members.member_topic_in_sql(Vote.member_id)]),
        bindparam("payload", encode(fact), JSONB),
    ).where(Vote.ballot_id == ballot.id)
    await emit_each(tx, kind=fact.kind, source=voters)
