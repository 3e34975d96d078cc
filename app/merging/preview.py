"""What a merge would come to: it is done and undone."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from app import members
from app.kernel.db import Tx
from app.kernel.table import Json
from app.merging.commands import merge

_HOLDING = text(
    """
    SELECT
      (SELECT coalesce(sum(active), 0) FROM points_account
        WHERE member_id = :id AND currency = 'POINTS') AS points,
      (SELECT coalesce(sum(pending), 0) FROM points_account
        WHERE member_id = :id AND currency = 'POINTS') AS pending,
      (SELECT coalesce(sum(debt), 0) FROM points_account
        WHERE member_id = :id AND currency = 'POINTS') AS debt,
      (SELECT coalesce(sum(active), 0) FROM points_account
        WHERE member_id = :id AND currency = 'CARBON') AS carbon,
      (SELECT count(*) FROM coupon WHERE member_id = :id
        AND state IN ('WAITING', 'ACTIVE', 'RESERVED')) AS coupons,
      (SELECT count(*) FROM member_order WHERE member_id = :id) AS orders,
      (SELECT count(*) FROM vote WHERE member_id = :id) AS votes,
      (SELECT count(*) FROM identity WHERE member_id = :id) AS identities,
      (SELECT tier_code FROM tier_standing WHERE member_id = :id) AS tier
    """
)
_REASON = "preview"


@dataclass(frozen=True, slots=True)
class Holding:
    """What a member has: points by kind, coupons that can still be used, and so on."""

    points: int
    pending: int
    debt: int
    carbon: int
    coupons: int
    orders: int
    votes: int
    identities: int
    # None is the lowest.
    tier: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What two members have, and what the one who goes on would have."""

    merged: Holding
    survivor: Holding
    after: Holding
    figures: Json


async def preview(tx: Tx, *, from_id: UUID, into_id: UUID) -> Preview:
    """What `merge` would do now, to the row; nothing is changed. Raises what `merge` raises."""
    merged, survivor = await _holding(tx, from_id), await _holding(tx, into_id)
    told = len(tx.events)
    async with tx.session.begin_nested() as savepoint:
        made = await merge(
            tx,
            from_id=from_id,
            into_id=into_id,
            actor_kind="staff",
            actor_id=UUID(int=0),
            reason=_REASON,
        )
        after, figures = await _holding(tx, into_id), dict(made.figures)
        await savepoint.rollback()
    del tx.events[told:]
    return Preview(merged, survivor, after, figures)


async def _holding(tx: Tx, member_id: UUID) -> Holding:
    if member_id not in await members.survivors(tx, [member_id]):
        raise members.MemberNotFound()
    row = (await tx.session.execute(_HOLDING, {"id": member_id})).one()
    return Holding(
        *(int(value) for value in row[:-1]), tier=None if row.tier is None else str(row.tier)
    )
