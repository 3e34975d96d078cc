"""The rolls and votes of two members who are one."""

from uuid import UUID

from sqlalchemy import select, text

from app.ballots.states import BallotState
from app.ballots.tables import Ballot, RollEntry
from app.ballots.voting import closing_lock
from app.kernel.db import Tx
from app.kernel.sets import lock_name

# Where both are on the roll of an open ballot, the later of their votes is the person's vote.
_KEEP_LATEST = text(
    """
    WITH both_voted AS (
      SELECT own.ballot_id, v.option_id, v.cast_at,
             own.changes + v.changes + 1 AS changes, v.cast_at > own.cast_at AS later
      FROM vote own
      JOIN vote v ON v.ballot_id = own.ballot_id AND v.member_id = :from_id
      WHERE own.member_id = :into_id AND own.ballot_id = :ballot_id
    ), kept AS (
      UPDATE vote SET option_id = b.option_id, cast_at = b.cast_at, changes = b.changes
      FROM both_voted b
      WHERE b.later AND vote.ballot_id = b.ballot_id AND vote.member_id = :into_id
    )
    DELETE FROM vote USING both_voted b
    WHERE vote.ballot_id = b.ballot_id AND vote.member_id = :from_id
    """
)
# One statement each, at whose end votes and roll agree again. What is on the roll of one alone
# moves as it is, so that no count changes.
_MOVE_ALONE = text(
    """
    WITH rolls AS (
      UPDATE ballot_roll r SET member_id = :into_id
      WHERE r.member_id = :from_id AND NOT EXISTS (
        SELECT FROM ballot_roll own
        WHERE own.member_id = :into_id AND own.ballot_id = r.ballot_id)
      RETURNING r.ballot_id
    ), votes AS (
      UPDATE vote v SET member_id = :into_id
      FROM rolls WHERE v.member_id = :from_id AND v.ballot_id = rolls.ballot_id
    ) SELECT count(*) FROM rolls
    """
)
_MOVE_VOTE = text(
    """
    UPDATE vote SET member_id = :into_id WHERE member_id = :from_id AND ballot_id = :ballot_id
    """
)
_LEAVE_ROLL = text("DELETE FROM ballot_roll WHERE member_id = :from_id AND ballot_id = :ballot_id")
_SHRINK_ROLL = text("UPDATE ballot SET roll_size = roll_size - 1 WHERE id = :ballot_id")


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Give a member's places on rolls and their votes to another; answers how many places moved.

    In an open ballot a person whom the roll holds twice is one voter: the roll shrinks by one and
    the later vote is kept. A ballot that was counted stays as it was declared: where both voted in
    it, both votes stay, under the ids that cast them.
    """
    given = {"from_id": from_id, "into_id": into_id}
    for ballot_id in await _open_with_both(tx, from_id, into_id):
        # Whoever counts the ballot waits, or this waits for them and finds it counted.
        await lock_name(tx, closing_lock(ballot_id), shared=True)
        state = await tx.session.scalar(
            select(Ballot.state).where(Ballot.id == ballot_id).with_for_update()
        )
        if state is not BallotState.OPEN:
            continue
        here = {**given, "ballot_id": ballot_id}
        for statement in (_KEEP_LATEST, _MOVE_VOTE):
            await tx.session.execute(statement, here)
        for statement in (_LEAVE_ROLL, _SHRINK_ROLL):
            await tx.session.execute(statement, here)
    moved = await tx.session.scalar(_MOVE_ALONE, given)
    return int(moved or 0)


async def _open_with_both(tx: Tx, from_id: UUID, into_id: UUID) -> list[UUID]:
    own = select(RollEntry.ballot_id).where(RollEntry.member_id == into_id)
    found = await tx.session.scalars(
        select(Ballot.id)
        .join(RollEntry, RollEntry.ballot_id == Ballot.id)
        .where(
            RollEntry.member_id == from_id,
            RollEntry.ballot_id.in_(own),
            Ballot.state == BallotState.OPEN,
        )
        .order_by(Ballot.id)
    )
    return list(found)
