"""Notices to staff: what a nightly check found and a person ought to look at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert

from app.kernel.db import Read, Tx
from app.staff.errors import NoticeNotFound
from app.staff.tables import StaffNotice


@dataclass(frozen=True, slots=True)
class Notice:
    """What staff are told: the kind, what it is about, and figures by name as JSON values."""

    kind: str
    subject: str
    facts: Mapping[str, object]


async def notify(tx: Tx, notices: Iterable[Notice], *, day: date) -> int:
    """Put notices before staff, one of a kind and subject a business day; answers how many are new.

    The first of a day stands, so that a check which runs again tells nothing twice.
    """
    rows = [
        {
            "id": tx.new_id(),
            "kind": one.kind,
            "subject": one.subject,
            "day": day,
            "facts": dict(one.facts),
            "at": tx.now,
        }
        for one in notices
    ]
    if not rows:
        return 0
    made = await tx.session.scalars(
        insert(StaffNotice).values(rows).on_conflict_do_nothing().returning(StaffNotice.id)
    )
    return len(made.all())


async def acknowledge_notice(tx: Tx, *, notice_id: UUID, actor_id: UUID) -> StaffNotice:
    """Note who has seen to a notice; the first who did stays. Raises NoticeNotFound."""
    row = await tx.session.get(StaffNotice, notice_id, with_for_update=True)
    if row is None:
        raise NoticeNotFound()
    if row.acknowledged_at is None:
        row.acknowledged_at, row.acknowledged_by = tx.now, actor_id
    return row


async def notices_page(
    read: Read, *, first: int, after: tuple[datetime, UUID] | None = None, waiting: bool = False
) -> list[StaffNotice]:
    """Notices, newest first; one more than `first` if there are more.

    `waiting`: only those that nobody has acknowledged.
    """
    query = select(StaffNotice).order_by(StaffNotice.at.desc(), StaffNotice.id.desc())
    if after is not None:
        query = query.where(tuple_(StaffNotice.at, StaffNotice.id) < tuple_(*after))
    if waiting:
        query = query.where(StaffNotice.acknowledged_at.is_(None))
    return list(await read.session.scalars(query.limit(first + 1)))


async def notices_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, StaffNotice]:
    """Notices by id; unknown ids are absent."""
    rows = await read.session.scalars(select(StaffNotice).where(StaffNotice.id.in_(list(keys))))
    return {row.id: row for row in rows}
