"""Bringing coupons' states up to the clock: what wakes, what is freed, what is over."""

from collections import Counter
from uuid import UUID

from sqlalchemy import text

from app.coupons.batches import release_budget
from app.kernel.db import Tx
from app.kernel.sets import lock_name

_FREE = text(
    """
    WITH due AS (
        SELECT member_id, id FROM coupon
        WHERE state = 'RESERVED' AND reserved_until <= :now
        ORDER BY reserved_until LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE coupon c SET state = 'ACTIVE', reserved_for = NULL, reserved_until = NULL FROM due
    WHERE c.member_id = due.member_id AND c.id = due.id RETURNING c.id
    """
)

_END_EXPIRED = text(
    """
    WITH due AS (
        SELECT member_id, id FROM coupon
        WHERE state IN ('WAITING', 'ACTIVE') AND expires_at <= :now
        ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE coupon c SET state = 'EXPIRED' FROM due
        WHERE c.member_id = due.member_id AND c.id = due.id RETURNING c.batch_id
    )
    SELECT batch_id, count(*) FROM ended GROUP BY batch_id
    """
)

_END_REVOKED = text(
    """
    WITH due AS (
        SELECT c.member_id, c.id FROM coupon_batch b JOIN coupon c ON c.batch_id = b.id
        WHERE b.state = 'REVOKED' AND b.reserved_fen > 0
          AND c.state IN ('WAITING', 'ACTIVE', 'RESERVED')
        LIMIT :most FOR UPDATE OF c SKIP LOCKED
    ), ended AS (
        UPDATE coupon c SET state = 'REVOKED', reserved_for = NULL, reserved_until = NULL FROM due
        WHERE c.member_id = due.member_id AND c.id = due.id RETURNING c.batch_id
    )
    SELECT batch_id, count(*) FROM ended GROUP BY batch_id
    """
)

_WAKE = text(
    """
    WITH due AS (
        SELECT member_id, id FROM coupon
        WHERE state = 'WAITING' AND usable_from <= :now AND expires_at > :now
        ORDER BY usable_from LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE coupon c SET state = 'ACTIVE' FROM due
    WHERE c.member_id = due.member_id AND c.id = due.id RETURNING c.id
    """
)


async def free_due(tx: Tx, *, most: int = 10_000) -> int:
    """Free coupons whose reservation ran out; answers how many.

    Readers and commands go by the instants and do not depend on this.
    """
    rows = await tx.session.execute(_FREE, {"now": tx.now, "most": most})
    return len(rows.all())


async def activate_due(tx: Tx, *, most: int = 10_000) -> int:
    """Show waiting coupons as active once their day has come; answers how many.

    Redeeming goes by the instants and does not depend on this.
    """
    rows = await tx.session.execute(_WAKE, {"now": tx.now, "most": most})
    return len(rows.all())


async def expire_due(tx: Tx, *, most: int = 10_000) -> int:
    """End coupons that are past their validity or of a revoked batch, and release their budget.

    Answers how many; call again until it answers 0. Coupons in someone's hands are left to the
    next call.
    """
    await lock_name(tx, "coupons sweep")
    ended: Counter[UUID] = Counter()
    for statement in (_END_EXPIRED, _END_REVOKED):
        rows = await tx.session.execute(statement, {"now": tx.now, "most": most})
        ended.update({row[0]: row[1] for row in rows})
    await release_budget(tx, ended=ended)
    return ended.total()
