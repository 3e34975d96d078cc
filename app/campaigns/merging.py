"""Enrolments of two members who are one."""

from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Tx

_MOVE = text(
    """
    WITH moved AS (
      UPDATE campaign_enrollment e SET member_id = :into_id
      WHERE e.member_id = :from_id AND NOT EXISTS (
        SELECT FROM campaign_enrollment own
        WHERE own.member_id = :into_id AND own.campaign_id = e.campaign_id)
      RETURNING 1
    ) SELECT count(*) FROM moved
    """
)


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Give a member's parts in campaigns to another; answers how many moved.

    Where both took part, each enrolment stays as it was measured: whoever was held out under one
    name and treated under the other belongs to both groups of that campaign's figures.
    """
    return int(await tx.session.scalar(_MOVE, {"from_id": from_id, "into_id": into_id}) or 0)
