"""Booking a benefit that is given at fixed times, to as many as there is room for."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.text import checked_text
from app.members import Member
from app.tiers.entitling import count_use, give_back, held_benefit, tell_use, use_of
from app.tiers.errors import (
    AlreadyBooked,
    BenefitNotFound,
    BookingNotFound,
    SlotBegun,
    SlotCancelled,
    SlotFull,
    SlotNotBegun,
    SlotNotFound,
)
from app.tiers.slots import LARGEST_SLOT, hold_slot
from app.tiers.tables import Benefit, BenefitSlot, BenefitUse, UseState

LONGEST_VENUE = 100
# A booking in one of these states holds its place.
HOLDING = (UseState.BOOKED, UseState.USED, UseState.NO_SHOW)


async def open_slot(
    tx: Tx,
    *,
    benefit_code: str,
    starts_at: datetime,
    ends_at: datetime,
    capacity: int,
    venue: str | None = None,
    community_id: UUID | None = None,
) -> BenefitSlot:
    """Offer a time at which a benefit can be had. Raises BenefitNotFound, InvalidInput."""
    benefit = await tx.session.get(Benefit, benefit_code)
    if benefit is None or not benefit.active:
        raise BenefitNotFound(benefit=benefit_code)
    if not benefit.needs_booking:
        raise InvalidInput(
            field="benefitCode", reason="it is not booked", reason_zh="该权益无需预约"
        )
    if starts_at <= tx.now:
        raise InvalidInput(field="startsAt", reason="must lie ahead", reason_zh="须晚于现在")
    if ends_at <= starts_at:
        raise InvalidInput(field="endsAt", reason="after startsAt", reason_zh="须晚于开始时间")
    check_within(capacity, 1, LARGEST_SLOT, field="capacity")
    slot = BenefitSlot(
        id=tx.new_id(),
        benefit_code=benefit_code,
        community_id=community_id,
        venue=None if venue is None else checked_text(venue, field="venue", longest=LONGEST_VENUE),
        starts_at=starts_at,
        ends_at=ends_at,
        capacity=capacity,
        booked=0,
    )
    tx.session.add(slot)
    await tx.session.flush()
    return slot


async def book_benefit(tx: Tx, *, member_id: UUID, slot_id: UUID, quantity: int = 1) -> BenefitUse:
    """Book places at a time; it counts in the windows of the day on which the time begins.

    The member's standing is locked before the slot. Raises SlotNotFound, SlotBegun, SlotFull,
    SlotCancelled, AlreadyBooked, BenefitNotFound, BenefitNotInTier, BenefitUsedUp, MemberNotFound,
    MemberNotActive, TiersMissing, InvalidInput.
    """
    await hold_slot(tx, slot_id)
    slot = await tx.session.get(BenefitSlot, slot_id, populate_existing=True)
    if slot is None:
        raise SlotNotFound()
    held = await held_benefit(tx, member_id, slot.benefit_code)
    home = await tx.session.scalar(select(Member.community_id).where(Member.id == member_id))
    if slot.community_id not in (None, home):
        raise SlotNotFound()
    if slot.cancelled_at is not None:
        raise SlotCancelled()
    if slot.starts_at <= tx.now:
        raise SlotBegun()
    booked = select(BenefitUse.id).where(
        BenefitUse.member_id == member_id,
        BenefitUse.slot_id == slot_id,
        BenefitUse.state.in_(HOLDING),
    )
    if await tx.session.scalar(booked) is not None:
        raise AlreadyBooked()
    day = business_day(slot.starts_at, held.zone)
    await count_use(tx, held, day=day, quantity=quantity)
    await _take(tx, slot_id, quantity)
    use = BenefitUse(
        member_id=member_id,
        id=tx.new_id(),
        benefit_code=slot.benefit_code,
        tier_code=held.tier_code,
        quantity=quantity,
        state=UseState.BOOKED,
        at=tx.now,
        day=day,
        slot_id=slot_id,
    )
    tx.session.add(use)
    await tx.session.flush()
    tell_use(tx, use)
    return use


async def cancel_booking(tx: Tx, *, member_id: UUID, booking_id: UUID) -> BenefitUse:
    """Give a booking's places and its use back, until the time begins; again it changes nothing.

    Raises BookingNotFound, SlotBegun.
    """
    booked = select(BenefitUse.slot_id).where(
        BenefitUse.member_id == member_id, BenefitUse.id == booking_id
    )
    slot_id = await tx.session.scalar(booked)
    if slot_id is not None:
        await hold_slot(tx, slot_id)
    use, slot = await _booking(tx, member_id, booking_id)
    if use.state is UseState.CANCELLED:
        return use
    if use.state is not UseState.BOOKED or slot.starts_at <= tx.now:
        raise SlotBegun()
    await give_back(tx, use)
    await give_places_back(tx, slot.id, use.quantity)
    use.state, use.decided_at = UseState.CANCELLED, tx.now
    await tx.session.flush()
    tell_use(tx, use)
    return use


async def give_up_bookings(tx: Tx, *, member_id: UUID) -> int:
    """Cancel whatever a member has booked that has not begun, for their account has ended.

    Answers how many bookings that were; again it changes nothing.
    """
    open_ones = await tx.session.scalars(
        select(BenefitUse.id)
        .join(BenefitSlot, BenefitSlot.id == BenefitUse.slot_id)
        .where(
            BenefitUse.member_id == member_id,
            BenefitUse.state == UseState.BOOKED,
            BenefitSlot.starts_at > tx.now,
        )
        .order_by(BenefitUse.slot_id)
    )
    found = list(open_ones)
    for booking_id in found:
        await cancel_booking(tx, member_id=member_id, booking_id=booking_id)
    return len(found)


async def settle_booking(
    tx: Tx, *, member_id: UUID, booking_id: UUID, came: bool, actor_id: UUID
) -> BenefitUse:
    """Record that the member came, or did not: either way the use counts. It can be corrected.

    Raises BookingNotFound (also of one cancelled or reversed), SlotNotBegun.
    """
    use, slot = await _booking(tx, member_id, booking_id)
    if use.state not in HOLDING:
        raise BookingNotFound()
    if slot.starts_at > tx.now:
        raise SlotNotBegun()
    state = UseState.USED if came else UseState.NO_SHOW
    if use.state is not state:
        use.state, use.decided_at, use.decided_by = state, tx.now, actor_id
        await tx.session.flush()
        tell_use(tx, use)
    return use


async def give_places_back(tx: Tx, slot_id: UUID, quantity: int) -> None:
    """Free places of a slot."""
    await tx.session.execute(
        update(BenefitSlot)
        .where(BenefitSlot.id == slot_id)
        .values(booked=BenefitSlot.booked - quantity)
        .execution_options(synchronize_session=False)
    )


async def _take(tx: Tx, slot_id: UUID, quantity: int) -> None:
    taken = await tx.session.scalar(
        update(BenefitSlot)
        .where(BenefitSlot.id == slot_id, BenefitSlot.booked + quantity <= BenefitSlot.capacity)
        .values(booked=BenefitSlot.booked + quantity)
        .returning(BenefitSlot.booked)
        .execution_options(synchronize_session=False)
    )
    if taken is None:
        raise SlotFull()


async def _booking(tx: Tx, member_id: UUID, booking_id: UUID) -> tuple[BenefitUse, BenefitSlot]:
    use = await use_of(tx, member_id, booking_id)
    if use is None or use.slot_id is None:
        raise BookingNotFound()
    return use, await tx.session.get_one(BenefitSlot, use.slot_id)
