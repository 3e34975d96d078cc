"""Taking coupons back from those who have not used them."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text

from app.coupons.batches import release_budget
from app.kernel.db import Tx

_HOLD = text(
    """
    SELECT c.id FROM unnest(CAST(:members AS uuid[]), CAST(:coupons AS uuid[])) AS a(member_id, id)
    JOIN coupon AS c USING (member_id, id)
    WHERE c.state IN ('WAITING', 'ACTIVE')
    ORDER BY c.member_id, c.id FOR UPDATE OF c
    """
)

# Coupons are locked by member, as everywhere. One on an order or used already stays as it is.
_REVOKE = text(
    """
    WITH held AS (
        SELECT c.member_id, c.id
        FROM unnest(CAST(:members AS uuid[]), CAST(:coupons AS uuid[])) AS a(member_id, id)
        JOIN coupon AS c USING (member_id, id)
        WHERE c.state IN ('WAITING', 'ACTIVE')
        ORDER BY c.member_id, c.id FOR UPDATE OF c
    )
    UPDATE coupon AS c SET state = 'REVOKED' FROM held
    WHERE c.member_id = held.member_id AND c.id = held.id
    RETURNING c.id, c.batch_id
    """
)


async def hold_unused(tx: Tx, keys: Iterable[tuple[UUID, UUID]]) -> set[UUID]:
    """Which of these coupons, named by member and id, are unused; so they stay until the end."""
    pairs = sorted(set(keys))
    held = await tx.session.scalars(
        _HOLD, {"members": [pair[0] for pair in pairs], "coupons": [pair[1] for pair in pairs]}
    )
    return set(held)


async def revoke_coupons(
    tx: Tx, keys: Iterable[tuple[UUID, UUID]], *, release: bool = True
) -> set[UUID]:
    """Revoke these coupons, named by member and id, as far as they are unused; answers which.

    Their money goes back to their batches, unless the caller keeps it for whoever gets the coupon
    next (`release=False`).
    """
    pairs = sorted(set(keys))
    rows = await tx.session.execute(
        _REVOKE, {"members": [pair[0] for pair in pairs], "coupons": [pair[1] for pair in pairs]}
    )
    revoked = {row.id: row.batch_id for row in rows}
    if release:
        await release_budget(tx, ended=Counter(revoked.values()))
    return set(revoked)
