"""Giving one member's orders, refunds and events to another."""

from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Tx

# An order goes with its lines and refunds in one statement, after which their keys agree again.
# One that both have under the same number stays where it is: it is the same order, reported twice.
_ORDERS = text(
    """
    WITH moved AS (
      UPDATE member_order o SET member_id = :into_id
      WHERE o.member_id = :from_id AND NOT EXISTS (
        SELECT FROM member_order own WHERE own.member_id = :into_id
          AND own.source = o.source AND own.order_no = o.order_no)
      AND NOT EXISTS (
        SELECT FROM refund r JOIN refund own ON own.member_id = :into_id
          AND own.source = r.source AND own.refund_no = r.refund_no
        WHERE r.member_id = :from_id AND r.order_id = o.id)
      RETURNING o.id
    ), lines AS (
      UPDATE order_line l SET member_id = :into_id
      FROM moved WHERE l.member_id = :from_id AND l.order_id = moved.id
    ), refunds AS (
      UPDATE refund r SET member_id = :into_id
      FROM moved WHERE r.member_id = :from_id AND r.order_id = moved.id
    )
    SELECT count(*) FROM moved
    """
)
_LOOSE_REFUNDS = text(
    """
    UPDATE refund r SET member_id = :into_id
    WHERE r.member_id = :from_id AND r.order_id IS NULL AND NOT EXISTS (
      SELECT FROM refund own WHERE own.member_id = :into_id
        AND own.source = r.source AND own.refund_no = r.refund_no)
    """
)
_EVENTS = text(
    """
    UPDATE activity a SET member_id = :into_id
    WHERE a.member_id = :from_id AND NOT EXISTS (
      SELECT FROM activity own
      WHERE own.member_id = :into_id AND own.event_id = a.event_id)
    """
)
# Orders are found by their leader through all of them: only if there ever was such a leader.
_LED = text(
    """
    UPDATE member_order SET leader_id = :into_id
    WHERE leader_id = :from_id AND EXISTS (SELECT FROM leader WHERE member_id = :from_id)
    """
)


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Give a member's orders with lines and refunds, and their events, to another.

    Answers how many orders moved. What the other has under the same number stays: the same order
    or event came by both identities.
    """
    given = {"from_id": from_id, "into_id": into_id}
    await tx.session.execute(_LED, given)
    moved = await tx.session.scalar(_ORDERS, given)
    for statement in (_LOOSE_REFUNDS, _EVENTS):
        await tx.session.execute(statement, given)
    return int(moved or 0)
