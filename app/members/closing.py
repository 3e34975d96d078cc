"""Freezing a member, and closing an account: asked for, thought over, done."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app.kernel.auth import revoke_sessions_of
from app.kernel.db import Tx
from app.members.errors import MemberClosed, MemberNotFound, NotClosing, ReasonNeeded
from app.members.events import ClosureRequested, MemberFrozen
from app.members.merging import lock_members
from app.members.rules import LONGEST_REASON, closing_at
from app.members.tables import Closure, Community, Member, MemberStatus


def check_reason(reason: str) -> str:
    """The reason without blanks around it.

    Raises ReasonNeeded.
    """
    said = reason.strip()
    if not 0 < len(said) <= LONGEST_REASON or "\0" in said:
        raise ReasonNeeded()
    return said


async def freeze(tx: Tx, *, member_id: UUID, reason: str) -> tuple[Member, list[UUID]]:
    """Let a member look and not act; ends their sessions, whose ids it answers.

    Freezing a frozen member changes nothing. Raises ReasonNeeded, MemberNotFound, MemberClosed.
    """
    check_reason(reason)
    member = await _open_account(tx, member_id)
    if member.status is not MemberStatus.FROZEN:
        member.status = MemberStatus.FROZEN
        tx.emit(MemberFrozen(member_id=member_id, frozen=True))
    return member, await revoke_sessions_of(tx, subject_id=member_id)


async def unfreeze(tx: Tx, *, member_id: UUID, reason: str) -> Member:
    """Let a frozen member act again; one who is not frozen stays as they are.

    Raises ReasonNeeded, MemberNotFound, MemberClosed.
    """
    check_reason(reason)
    member = await _open_account(tx, member_id)
    if member.status is MemberStatus.FROZEN:
        member.status = MemberStatus.ACTIVE
        tx.emit(MemberFrozen(member_id=member_id, frozen=False))
    return member


async def request_closure(tx: Tx, *, member_id: UUID) -> datetime:
    """Have an account closed once the time for thinking it over is past; answers that instant.

    Asking again changes nothing. Raises MemberNotFound, MemberClosed.
    """
    await _open_account(tx, member_id)
    community = (
        await tx.session.execute(
            select(Community.settings, Community.time_zone)
            .join(Member, Member.community_id == Community.id)
            .where(Member.id == member_id)
        )
    ).one()
    erase_at = closing_at(tx.now, community.settings, community.time_zone)
    made = await tx.session.scalar(
        insert(Closure)
        .values(member_id=member_id, requested_at=tx.now, erase_at=erase_at)
        .on_conflict_do_nothing()
        .returning(Closure.erase_at)
    )
    if made is None:
        return (await tx.session.get_one(Closure, member_id)).erase_at
    tx.emit(ClosureRequested(member_id=member_id, erase_at=erase_at))
    return made


async def keep(tx: Tx, *, member_id: UUID) -> Member:
    """Take the request back. Raises MemberNotFound, MemberClosed, NotClosing."""
    member = await _open_account(tx, member_id)
    taken_back = await tx.session.scalar(
        delete(Closure)
        .where(Closure.member_id == member_id, Closure.erased_at.is_(None))
        .returning(Closure.member_id)
    )
    if taken_back is None:
        raise NotClosing()
    tx.emit(ClosureRequested(member_id=member_id, erase_at=None))
    return member


async def due_closures(tx: Tx, *, limit: int) -> list[UUID]:
    """Members whose time for thinking it over is past."""
    rows = await tx.session.scalars(
        select(Closure.member_id)
        .where(Closure.erased_at.is_(None), Closure.erase_at <= tx.now)
        .order_by(Closure.member_id)
        .limit(limit)
    )
    return list(rows)


async def take_due(tx: Tx, *, member_id: UUID) -> bool:
    """Lock a member whose account is to be erased, and note that it is; False if it is not due.

    They may have changed their mind since they were found.
    """
    if not await lock_members(tx, [member_id]):
        return False
    taken = await tx.session.scalar(
        update(Closure)
        .where(
            Closure.member_id == member_id,
            Closure.erased_at.is_(None),
            Closure.erase_at <= tx.now,
        )
        .values(erased_at=tx.now)
        .returning(Closure.member_id)
    )
    return taken is not None


async def _open_account(tx: Tx, member_id: UUID) -> Member:
    member = (await lock_members(tx, [member_id])).get(member_id)
    if member is None:
        raise MemberNotFound()
    if member.status is MemberStatus.CLOSED:
        raise MemberClosed()
    return member
