"""The life cycle of two members who are one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select, text

from app import orders
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.segments.commands import LOCK
from app.segments.rules import Silence, silences_between
from app.segments.tables import SilenceEpisode

# The stage goes, as of anyone who left; the survivor's is judged anew by the next run.
_LEAVE = text(
    """
    WITH gone AS (
      DELETE FROM member_stage WHERE member_id = :from_id RETURNING member_id, stage
    )
    INSERT INTO stage_transition (member_id, id, from_stage, to_stage, at, reason)
    SELECT member_id, :id, stage, NULL, :now, 'MEMBER_LEFT' FROM gone
    """
)


async def hold_runs(tx: Tx) -> None:
    """Keep runs, which derive everybody's silences, out until the transaction ends.

    A run may take a minute: call it before any other lock is held.
    """
    await lock_name(tx, LOCK, shared=True)


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> int:
    """End a member's stage and derive the silences of both anew from the orders of both.

    The orders have moved before, and `hold_runs` was called. Answers how many episodes there are
    then.
    """
    given = {"from_id": from_id, "now": tx.now, "id": tx.new_id()}
    await tx.session.execute(_LEAVE, given)
    held = await _held(tx, from_id, into_id)
    rows = [
        {
            "member_id": into_id,
            "id": held.get(silence.silent_from) or tx.new_id(),
            "silent_from": silence.silent_from,
            "woken_at": silence.woken_at,
            "order_id": silence.order_id,
        }
        for silence in await _silences(tx, into_id)
    ]
    await tx.session.execute(
        delete(SilenceEpisode).where(SilenceEpisode.member_id.in_([from_id, into_id]))
    )
    if rows:
        await tx.session.execute(insert(SilenceEpisode), rows)
    return len(rows)


async def _held(tx: Tx, from_id: UUID, into_id: UUID) -> dict[datetime, UUID]:
    """The episodes of both by their beginnings: one that goes on keeps its id, which a bonus may
    name; the survivor's before the other's.
    """
    rows = await tx.session.execute(
        select(SilenceEpisode.silent_from, SilenceEpisode.id)
        .where(SilenceEpisode.member_id.in_([from_id, into_id]))
        .order_by(SilenceEpisode.member_id == into_id)
    )
    return {row.silent_from: row.id for row in rows}


async def _silences(tx: Tx, member_id: UUID) -> list[Silence]:
    """An order by either identity ends a silence of both."""
    order = orders.counted_orders(tx.now).subquery()
    rows = await tx.session.execute(
        select(order.c.paid_at, order.c.id)
        .where(order.c.member_id == member_id)
        .order_by(order.c.paid_at, order.c.id)
    )
    return silences_between([(row.paid_at, row.id) for row in rows], tx.now)
