"""A member's birthday: told once, changed once, and in force by cycles."""

from datetime import date
from uuid import UUID

from sqlalchemy import delete, select

from app.gifts.calendars import Birthday, as_json, birthday_of, check_birthday, cycle_of
from app.gifts.errors import BirthdayChangedAlready
from app.gifts.tables import BirthdayChange
from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.members import Member, MemberNotActive, MemberNotFound, MemberStatus, zone_of


async def set_birthday(tx: Tx, *, member_id: UUID, birthday: Birthday) -> Birthday:
    """Tell or change a member's birthday; telling the same again changes nothing.

    What is told first counts from the next business day on. A change counts from the next cycle
    on, and there is one. Raises BirthdayChangedAlready, MemberNotFound, MemberNotActive,
    InvalidInput.
    """
    told = check_birthday(birthday)
    member = await tx.session.get(Member, member_id, with_for_update=True, populate_existing=True)
    if member is None:
        raise MemberNotFound()
    if member.status is not MemberStatus.ACTIVE:
        raise MemberNotActive()
    before = birthday_of(member.birthday)
    if before == told:
        return told
    today = business_day(tx.now, await zone_of(tx, member_id))
    told_on = today.isoformat()
    if before is not None:
        await _note_change(tx, member_id, before, _next_cycle(before, told, today))
        # The old one goes on counting in this cycle.
        told_on = (member.birthday or {}).get("told_on")
    member.birthday = as_json(told) | {"told_on": told_on}
    await tx.session.flush()
    return told


def _next_cycle(before: Birthday, told: Birthday, today: date) -> int:
    # The later of the two calendars' years: each cycle has exactly one birthday, and no change
    # counts in a cycle that has begun.
    return 1 + max(cycle_of(one.calendar, today) for one in (before, told))


async def _note_change(tx: Tx, member_id: UUID, before: Birthday, from_cycle: int) -> None:
    # The member's row is held, so that nobody else comes in between.
    earlier = await tx.session.scalar(
        select(BirthdayChange.member_id).where(BirthdayChange.member_id == member_id)
    )
    if earlier is not None:
        raise BirthdayChangedAlready()
    tx.session.add(
        BirthdayChange(
            member_id=member_id,
            before=as_json(before),
            from_cycle=from_cycle,
            changed_at=tx.now,
        )
    )
    await tx.session.flush()


async def forget_birthday(tx: Tx, member_id: UUID) -> None:
    """Erase what is kept of a member's earlier birthday; the present one is in the member's row."""
    await tx.session.execute(delete(BirthdayChange).where(BirthdayChange.member_id == member_id))
