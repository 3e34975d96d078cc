"""Scores and alerts of two members who are one."""

from uuid import UUID

from sqlalchemy import and_, select, text

from app.churn.closing import close_alerts
from app.churn.tables import OPEN_STATES, AlertState, ChurnAlert
from app.kernel.db import Tx

_FORGET = (
    text("DELETE FROM churn_score WHERE member_id = :from_id"),
    # The next night counts the events of both.
    text("DELETE FROM churn_signal WHERE member_id = :from_id"),
)
# The past goes along; where both were scored at one instant, the survivor's score is kept.
_MOVE = (
    text(
        """
        UPDATE churn_score_history h SET member_id = :into_id
        WHERE h.member_id = :from_id AND NOT EXISTS (
          SELECT FROM churn_score_history own
          WHERE own.member_id = :into_id AND own.as_of = h.as_of)
        """
    ),
    text("DELETE FROM churn_score_history WHERE member_id = :from_id"),
    text("UPDATE churn_alert_step SET member_id = :into_id WHERE member_id = :from_id"),
    text("UPDATE churn_alert_action SET member_id = :into_id WHERE member_id = :from_id"),
)
_MOVE_ALERTS = text("UPDATE churn_alert SET member_id = :into_id WHERE member_id = :from_id")


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Give a member's alerts and past scores to another; the present score is the survivor's.

    Where both have an open alert, that of the merged member ends as muted. Answers how many alerts
    moved.
    """
    given = {"from_id": from_id, "into_id": into_id}
    other = select(ChurnAlert.id).where(
        ChurnAlert.member_id == into_id, ChurnAlert.state.in_(OPEN_STATES)
    )
    await close_alerts(
        tx,
        state=AlertState.MUTED,
        chosen=and_(ChurnAlert.member_id == from_id, other.exists()),
        reason="merged",
    )
    for statement in _FORGET:
        await tx.session.execute(statement, given)
    moved = await tx.session.execute(_MOVE_ALERTS, given)
    for statement in _MOVE:
        await tx.session.execute(statement, given)
    return getattr(moved, "rowcount", 0)
