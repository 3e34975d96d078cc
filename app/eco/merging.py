"""Eco actions and badges of two members who are one."""

from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Tx

# An action of a day that both did stays where it is: it was credited once to each, and its points
# have gone along.
_ACTIONS = text(
    """
    WITH moved AS (
      UPDATE eco_action a SET member_id = :into_id
      WHERE a.member_id = :from_id AND NOT EXISTS (
        SELECT FROM eco_action own
        WHERE own.member_id = :into_id AND own.type = a.type AND own.day = a.day
          AND own.order_id IS NULL AND a.order_id IS NULL
          AND own.state <> 'REJECTED' AND a.state <> 'REJECTED')
      RETURNING 1
    ) SELECT count(*) FROM moved
    """
)
# Of two badges of a class that both hold the survivor's stays, unless it is not in force.
_LAST_BADGES = text(
    """
    UPDATE badge_award b SET revoked_at = :now, revoked_reason = 'merged'
    WHERE b.member_id = :from_id AND b.revoked_at IS NULL AND EXISTS (
      SELECT FROM badge_award own
      WHERE own.member_id = :into_id AND own.badge_code = b.badge_code
        AND own.revoked_at IS NULL AND (own.expires_at IS NULL OR own.expires_at > :now))
    """
)
_BADGES = text(
    """
    UPDATE badge_award b SET member_id = :into_id, number = b.number + (
      SELECT coalesce(max(own.number), 0) FROM badge_award own
      WHERE own.member_id = :into_id AND own.badge_code = b.badge_code)
    WHERE b.member_id = :from_id AND (b.revoked_reason IS DISTINCT FROM 'merged')
    """
)


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Give a member's actions and badges to another; answers how many actions moved.

    A badge that the survivor holds already is not held twice: the merged member's is taken back
    and stays under the merged id, where it bars nobody from another.
    """
    given = {"from_id": from_id, "into_id": into_id}
    moved = await tx.session.scalar(_ACTIONS, given)
    await tx.session.execute(_LAST_BADGES, {**given, "now": tx.now})
    await tx.session.execute(_BADGES, given)
    return int(moved or 0)
