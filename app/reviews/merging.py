"""Reviews of two members who are one."""

from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Tx

MERGED = "merged"

# Of two reviews of one product the later is the person's. Steps of one transaction: the older is
# set aside under a product that is none, so that the later can take its place.
_STEPS = (
    """
    UPDATE review r SET sku = r.sku || E'\\x1f'
    WHERE r.member_id = ANY(CAST(:both AS uuid[])) AND EXISTS (
      SELECT FROM review o WHERE o.member_id = ANY(CAST(:both AS uuid[]))
        AND o.member_id <> r.member_id AND o.sku = r.sku
        AND (o.submitted_at, o.id) > (r.submitted_at, r.id))
    """,
    """
    UPDATE review SET member_id = :into_id
    WHERE member_id = :from_id AND right(sku, 1) <> E'\\x1f'
    """,
    """
    UPDATE review SET member_id = :from_id, sku = rtrim(sku, E'\\x1f'), state = 'HIDDEN',
      hidden_reason = coalesce(hidden_reason, :reason), moderated_at = coalesce(moderated_at, :now),
      moderated_by = coalesce(moderated_by, :nobody)
    WHERE member_id = ANY(CAST(:both AS uuid[])) AND right(sku, 1) = E'\\x1f'
    """,
)
_NOBODY = UUID(int=0)


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """Give a member's reviews to another; answers how many moved.

    Where both reviewed one product, the later review is kept as it is; the older one stays hidden
    under the merged id, with what it was rewarded.
    """
    given = {"from_id": from_id, "into_id": into_id, "both": [from_id, into_id]}
    given |= {"reason": MERGED, "now": tx.now, "nobody": _NOBODY}
    moved = 0
    for number, step in enumerate(_STEPS):
        names = [name for name in given if f":{name}" in step]
        result = await tx.session.execute(text(step), {name: given[name] for name in names})
        moved = getattr(result, "rowcount", 0) if number == 1 else moved
    return moved
