"""Changing times that are open for booking: fewer or more places, or none at all."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import RowMapping, select, text, update

from app.kernel.db import Tx
from app.kernel.numbers import check_within
from app.kernel.sets import lock_name
from app.kernel.text import checked_text
from app.tiers.errors import SlotBegun, SlotCancelled, SlotNotFound, SlotTooSmall
from app.tiers.events import BenefitChanged, BookedSlotCancelled
from app.tiers.rules import window_start
from app.tiers.tables import BenefitSlot, BenefitUse, BenefitWindow, UseState

LARGEST_SLOT = 100_000
LONGEST_REASON = 200

_GIVE_BACK = text("""
UPDATE entitlement e SET used = e.used - u.quantity
FROM benefit_use u
WHERE u.slot_id = :slot AND u.state = 'BOOKED' AND u.day = :day
  AND e.member_id = u.member_id AND e.benefit_code = u.benefit_code
  AND e.window_kind = :window AND e.starts_on = :starts_on
""")
_STANDINGS = text("""
SELECT s.member_id FROM tier_standing s
WHERE s.member_id IN (SELECT member_id FROM benefit_use WHERE slot_id = :slot AND state = 'BOOKED')
ORDER BY s.member_id FOR UPDATE
""")


async def hold_slot(tx: Tx, slot_id: UUID, *, alone: bool = False) -> None:
    """Keep a slot from being cancelled while it is booked, or (`alone`) from being booked.

    Before the standing of any member is locked: whoever cancels locks those of all who booked.
    """
    await lock_name(tx, f"benefit slot {slot_id}", shared=not alone)


async def cancel_slot(tx: Tx, *, slot_id: UUID, reason: str, actor_id: UUID) -> BenefitSlot:
    """Call a time off before it begins: bookings and the uses they took are given back.

    The members hear of it with the reason; cancelling it again changes nothing. Raises
    SlotNotFound, SlotBegun, InvalidInput for a reason that is missing.
    """
    why = checked_text(reason, field="reason", longest=LONGEST_REASON)
    await hold_slot(tx, slot_id, alone=True)
    slot = await _coming(tx, slot_id)
    if slot.cancelled_at is not None:
        return slot
    await tx.session.execute(_STANDINGS, {"slot": slot_id})
    await _give_back(tx, slot_id)
    ended = await tx.session.execute(
        update(BenefitUse)
        .where(BenefitUse.slot_id == slot_id, BenefitUse.state == UseState.BOOKED)
        .values(state=UseState.CANCELLED, decided_at=tx.now, decided_by=actor_id)
        .returning(BenefitUse.member_id, BenefitUse.id, BenefitUse.quantity)
        .execution_options(synchronize_session=False)
    )
    rows = sorted(ended.mappings().all(), key=lambda row: row["member_id"])
    # Of a slot that has not begun every place is one that was booked.
    slot.booked -= sum(row["quantity"] for row in rows)
    slot.cancelled_at, slot.cancel_reason = tx.now, why
    await tx.session.flush()
    for row in rows:
        _tell(tx, slot, row, why)
    return slot


async def resize_slot(tx: Tx, *, slot_id: UUID, capacity: int) -> BenefitSlot:
    """Give a time that has not begun more places or fewer, but not fewer than are booked.

    Raises SlotNotFound, SlotBegun, SlotCancelled, SlotTooSmall, InvalidInput.
    """
    check_within(capacity, 1, LARGEST_SLOT, field="capacity")
    slot = await _coming(tx, slot_id)
    if slot.cancelled_at is not None:
        raise SlotCancelled()
    if capacity < slot.booked:
        raise SlotTooSmall(booked=slot.booked)
    slot.capacity = capacity
    await tx.session.flush()
    return slot


async def _coming(tx: Tx, slot_id: UUID) -> BenefitSlot:
    slot = await tx.session.get(
        BenefitSlot, slot_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if slot is None:
        raise SlotNotFound()
    if slot.starts_at <= tx.now:
        raise SlotBegun()
    return slot


async def _give_back(tx: Tx, slot_id: UUID) -> None:
    """Take the bookings of a slot out of the windows that they were counted in."""
    # A slot's instant lies on two local days at the most, whatever the zones of its members.
    days = await tx.session.scalars(
        select(BenefitUse.day)
        .where(BenefitUse.slot_id == slot_id, BenefitUse.state == UseState.BOOKED)
        .distinct()
    )
    for day in days.all():
        for window in BenefitWindow:
            await tx.session.execute(_GIVE_BACK, _given(slot_id, day, window))


def _given(slot_id: UUID, day: date, window: BenefitWindow) -> dict[str, object]:
    return {
        "slot": slot_id,
        "day": day,
        "window": window.value,
        "starts_on": window_start(window, day),
    }


def _tell(tx: Tx, slot: BenefitSlot, row: RowMapping, reason: str) -> None:
    starts_at: datetime = slot.starts_at
    tx.emit(
        BenefitChanged(
            member_id=row["member_id"],
            use_id=row["id"],
            benefit_code=slot.benefit_code,
            quantity=row["quantity"],
            state=UseState.CANCELLED.value,
        )
    )
    tx.emit(
        BookedSlotCancelled(
            member_id=row["member_id"],
            use_id=row["id"],
            slot_id=slot.id,
            benefit_code=slot.benefit_code,
            starts_at=starts_at,
            reason=reason,
        )
    )
