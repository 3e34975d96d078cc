"""Making two members one: all slices in their order, in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from app import (
    ballots,
    campaigns,
    churn,
    coupons,
    drops,
    eco,
    gifts,
    members,
    orders,
    playbooks,
    points,
    reviews,
    segments,
    tiers,
)
from app.kernel.auth import revoke_sessions_of
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MembersMerged
from app.merging.errors import MergeBusy
from app.merging.tables import Merge

T = TypeVar("T")
Step = Callable[[Tx, UUID, UUID], Awaitable[object]]

# In the order of the slices: what stands on another's rows comes after them.
STEPS: tuple[tuple[str, Step], ...] = (
    ("identities", members.merge),
    ("orders", orders.merge),
    ("points", points.merge),
    # A drop takes the coupon that goes back into its stock before the template's limit over both
    # takes it for the batch; and drops are locked before coupons, as by claims.
    ("drops", drops.merge),
    ("coupons", coupons.merge),
    ("tiers", tiers.merge),
    ("gifts", gifts.merge),
    ("segments", segments.merge),
    ("alerts", churn.merge),
    ("campaigns", campaigns.merge),
    ("playbooks", playbooks.merge),
    ("ballots", ballots.merge),
    ("reviews", reviews.merge),
    ("eco", eco.merge),
)
# Below PostgreSQL's own patience for deadlocks, so that of two who wait for each other it is
# always the merge that gives way, and never a member's claim.
PATIENCE_MS = 400
_PATIENCE = text(f"SET LOCAL lock_timeout = '{PATIENCE_MS}ms'")
_BUSY = frozenset({"55P03", "40P01"})
TRIES = 8
# Who had read the member before the merge has written what they wanted long before this.
SETTLED_AFTER = timedelta(hours=1)
_ENDED = (
    text("DELETE FROM member_closure WHERE member_id = :from_id AND erased_at IS NULL"),
    text("DELETE FROM data_export WHERE member_id = :from_id"),
    text("DELETE FROM tier_move WHERE member_id = :from_id AND applied IS NULL"),
)


async def merge(
    tx: Tx, *, from_id: UUID, into_id: UUID, actor_kind: str, actor_id: UUID, reason: str
) -> Merge:
    """Make one member of two: everything of the first becomes the second's, and the first ends.

    Both are locked from the first statement on, so that a claim or a spend of either has happened
    before or is refused after. Sessions of the first end. Raises what `members.lock_pair` and
    `members.check_reason` raise.
    """
    said = members.check_reason(reason)
    await segments.hold_runs(tx)
    await members.lock_pair(tx, from_id=from_id, into_id=into_id)
    await tx.session.execute(_PATIENCE)
    figures = await _carry_over(tx, from_id, into_id)
    made = Merge(
        member_id=into_id,
        merged_id=from_id,
        merged_at=tx.now,
        actor_kind=actor_kind,
        actor_id=actor_id,
        reason=said,
        figures=figures,
    )
    tx.session.add(made)
    await tx.session.flush()
    tx.emit(MembersMerged(member_id=into_id, merged_id=from_id))
    return made


async def settle(tx: Tx, *, limit: int = 20) -> int:
    """Look once more at merges of before the last hour, and move what was written meanwhile.

    A command that had read the member just before the merge may have written under the old id just
    after it. Answers how many merges were looked at.
    """
    rows = list(
        await tx.session.scalars(
            select(Merge.merged_id)
            .where(Merge.settled_at.is_(None), Merge.merged_at <= tx.now - SETTLED_AFTER)
            .order_by(Merge.merged_at, Merge.merged_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    if rows:
        await segments.hold_runs(tx)
    for merged_id in rows:
        now = (await members.survivors(tx, [merged_id]))[merged_id]
        await members.lock_members(tx, [merged_id, now])
        await _carry_over(tx, merged_id, now)
        await tx.session.execute(
            update(Merge).where(Merge.merged_id == merged_id).values(settled_at=tx.now)
        )
    return len(rows)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Merge in transactions of its own until one gets its locks. Raises MergeBusy."""
    for number in range(TRIES):
        try:
            return await work()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _BUSY:
                raise
            await asyncio.sleep(0.05 * 2**number)
    raise MergeBusy()


async def _carry_over(tx: Tx, from_id: UUID, into_id: UUID) -> Json:
    figures: Json = {}
    for name, step in STEPS:
        moved = await step(tx, from_id, into_id)
        await tx.session.flush()
        if isinstance(moved, int):
            figures[name] = moved
    for statement in _ENDED:
        await tx.session.execute(statement, {"from_id": from_id})
    figures["sessions"] = len(await revoke_sessions_of(tx, subject_id=from_id))
    tx.session.expire_all()
    return figures
