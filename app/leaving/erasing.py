"""Closing an account for good: personal data goes, the ledgers stay under the id alone."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, delete, select, text, update

from app import members
from app.kernel.auth import revoke_sessions_of
from app.kernel.db import Tx
from app.kernel.outbox import LiveEvent
from app.kernel.table import Table
from app.leaving.exporting import whole_person
from app.members import MemberErased
from app.merging import PARTS

# What signing in has counted and sent under the fingerprints of the identities.
_TRACES = (
    "DELETE FROM phone_code WHERE blind = ANY(:blinds)",
    "DELETE FROM login_brake WHERE name IN (SELECT 'phone:' || b FROM unnest(:blinds) AS b"
    " UNION ALL SELECT 'messages-to-phone:' || b FROM unnest(:blinds) AS b)",
)
_BLINDS = bindparam("blinds", type_=ARRAY(Text()))


async def erase_due(tx: Tx, *, limit: int = 20) -> int:
    """Close the accounts whose time for thinking it over is past; answers how many were due."""
    due = await members.due_closures(tx, limit=limit)
    for member_id in due:
        if await members.take_due(tx, member_id=member_id):
            await erase(tx, member_id=member_id)
    return len(due)


async def erase(tx: Tx, *, member_id: UUID) -> None:
    """Close an account and erase the person's data, wherever the list of parts says it lies.

    Orders, points, coupons and votes stay under the id, which then names nobody; an identity of
    the member's is free again, and whoever signs in by it is a new member.
    """
    own = await whole_person(tx, member_id)
    for key in own:
        await revoke_sessions_of(tx, subject_id=key)
    await _erase_traces(tx, own)
    for name, part in PARTS.items():
        table = Table.metadata.tables.get(name)
        if table is None:
            continue
        mine = table.columns[part.by[0]].in_(own)
        if part.deleted:
            await tx.session.execute(delete(table).where(mine))
        elif part.erased:
            blank = {
                column: text(value.value.replace("{column}", column))
                for column, value in part.erased.items()
            }
            await tx.session.execute(update(table).where(mine).values(blank))
    await tx.session.execute(
        update(members.Member)
        .where(members.Member.id.in_(own))
        .values(
            nickname=members.CLOSED_NICKNAME,
            phone_verified_at=None,
            status=members.MemberStatus.CLOSED,
        )
        .execution_options(synchronize_session=False)
    )
    tx.emit(MemberErased(member_id=member_id))


async def _erase_traces(tx: Tx, own: Sequence[UUID]) -> None:
    blinds = list(
        await tx.session.scalars(
            select(members.Identity.blind).where(members.Identity.member_id.in_(own))
        )
    )
    for statement in _TRACES:
        await tx.session.execute(text(statement).bindparams(_BLINDS), {"blinds": blinds})
    topics = [members.member_topic(key) for key in own]
    await tx.session.execute(delete(LiveEvent).where(LiveEvent.topic.in_(topics)))
