"""Bringing the coupons of two accounts of one person together."""

from uuid import UUID

from sqlalchemy import text

from app.coupons.batches import release_budget
from app.kernel.db import Tx

_LOCK = text(
    """
    SELECT member_id FROM coupon WHERE member_id IN (:from_id, :into_id)
    ORDER BY member_id, id FOR UPDATE
    """
)

# The numbers of those that move go on where the survivor's end.
_MOVE = text(
    """
    UPDATE coupon c SET member_id = :into_id, nth = c.nth + coalesce(
        (SELECT max(o.nth) FROM coupon o
         WHERE o.member_id = :into_id AND o.template_id = c.template_id), 0)
    WHERE c.member_id = :from_id
    """
)

_MOVE_USES = ("coupon_redemption", "coupon_return")

# What one member may have of a template holds for the two together: beyond it the oldest coupons
# that are still unused go. Those given back by a revocation never counted.
_REVOKE = text(
    """
    WITH held AS (
        SELECT c.member_id, c.id, c.batch_id, c.state IN ('WAITING', 'ACTIVE') AS unused,
               least(t.per_member, coalesce(t.per_identity, t.per_member)) AS most,
               count(*) OVER (PARTITION BY c.template_id) AS having,
               row_number() OVER (
                   PARTITION BY c.template_id, c.state IN ('WAITING', 'ACTIVE')
                   ORDER BY c.granted_at, c.id) AS age
        FROM coupon c JOIN coupon_template t ON t.id = c.template_id
        WHERE c.member_id = :into_id AND c.state <> 'REVOKED'
    )
    UPDATE coupon c SET state = 'REVOKED' FROM held h
    WHERE c.member_id = h.member_id AND c.id = h.id AND h.unused AND h.age <= h.having - h.most
    RETURNING c.batch_id
    """
)


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    """Give one member's coupons and their uses to another who is the same person.

    Used, reserved and expired ones move as they are. Where the two have more of a template than one
    member, or one person, may have, the oldest unused ones are revoked and their budget is free
    again. Doing it again changes nothing.
    """
    await tx.session.flush()
    await tx.session.execute(_LOCK, {"from_id": from_id, "into_id": into_id})
    moved = await tx.session.execute(
        text("SELECT EXISTS (SELECT FROM coupon WHERE member_id = :from_id)"), {"from_id": from_id}
    )
    if not moved.scalar_one():
        return
    await tx.session.execute(_MOVE, {"from_id": from_id, "into_id": into_id})
    for table in _MOVE_USES:
        await tx.session.execute(
            text(f"UPDATE {table} SET member_id = :into_id WHERE member_id = :from_id"),
            {"from_id": from_id, "into_id": into_id},
        )
    revoked = await tx.session.scalars(_REVOKE, {"into_id": into_id})
    ended: dict[UUID, int] = {}
    for batch_id in revoked:
        ended[batch_id] = ended.get(batch_id, 0) + 1
    await release_budget(tx, ended=ended)
