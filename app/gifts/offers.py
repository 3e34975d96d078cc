"""One-yuan gifts: a unit kept for a member for a day, taken with an order or let go."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, update

from app import orders
from app.gifts.errors import (
    GiftAlreadyHeld,
    GiftNotFound,
    GiftNotOpen,
    GiftOutOfStock,
    HoldNotFound,
    HoldNotUsable,
)
from app.gifts.events import GiftFreed, GiftHeld, GiftTaken
from app.gifts.rules import GIFT_PRICE_FEN, HOLD_TIME, MAX_STOCK, cycle_key, is_open
from app.gifts.tables import GiftCycle, GiftHold, GiftOffer, HoldState
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.sets import lock_name
from app.kernel.text import checked_text
from app.members import require_active, zone_of

LONGEST_TITLE = 60
LONGEST_KEY = 64


async def create_offer(
    tx: Tx,
    *,
    title: str,
    sku: str,
    stock: int,
    cycle: GiftCycle,
    price_fen: int = GIFT_PRICE_FEN,
    opens_at: datetime | None = None,
    closes_at: datetime | None = None,
    by: UUID | None = None,
) -> GiftOffer:
    """Offer so many units of a SKU as gifts; without hours it is open from now on.

    Raises InvalidInput.
    """
    title = checked_text(title, field="title", longest=LONGEST_TITLE)
    sku = checked_text(sku, field="sku", longest=LONGEST_KEY)
    check_within(stock, 1, MAX_STOCK, field="stock")
    check_within(price_fen, 1, 100_000, field="priceFen")
    opens_at = opens_at or tx.now
    if closes_at is not None and closes_at <= max(opens_at, tx.now):
        raise InvalidInput(
            field="closesAt", reason="must be to come and after opensAt", reason_zh="须晚于开始时间"
        )
    offer = GiftOffer(
        id=tx.new_id(),
        title=title,
        sku=sku,
        price_fen=price_fen,
        stock=stock,
        cycle=cycle,
        promised=0,
        held=0,
        taken=0,
        opens_at=opens_at,
        closes_at=closes_at,
        created_by=by,
        created_at=tx.now,
    )
    tx.session.add(offer)
    await tx.session.flush()
    return offer


async def hold_gift(tx: Tx, *, offer_id: UUID, member_id: UUID) -> GiftHold:
    """Keep one unit of a gift for the member for 24 hours, once in a cycle.

    What was released or expired may be held again. Raises GiftNotFound, GiftNotOpen,
    GiftAlreadyHeld, GiftOutOfStock, MemberNotFound, MemberNotActive.
    """
    offer = await locked_offer(tx, offer_id)
    await require_active(tx, member_id)
    if not is_open(offer, tx.now):
        raise GiftNotOpen()
    zone = await zone_of(tx, member_id)
    cycle = cycle_key(offer.cycle, at=tx.now, zone=zone)
    earlier = await tx.session.scalar(
        select(GiftHold.id).where(
            GiftHold.member_id == member_id,
            GiftHold.offer_id == offer_id,
            GiftHold.cycle == cycle,
            GiftHold.state.in_((HoldState.HELD, HoldState.TAKEN)),
        )
    )
    if earlier is not None:
        raise GiftAlreadyHeld()
    if offer.promised + offer.held + offer.taken >= offer.stock:
        raise GiftOutOfStock()
    return await keep(tx, offer, member_id=member_id, cycle=cycle)


async def keep(tx: Tx, offer: GiftOffer, *, member_id: UUID, cycle: str) -> GiftHold:
    """Keep one unit of a locked offer that is known to have it."""
    offer.held += 1
    hold = GiftHold(
        member_id=member_id,
        id=tx.new_id(),
        offer_id=offer.id,
        cycle=cycle,
        state=HoldState.HELD,
        held_at=tx.now,
        expires_at=tx.now + HOLD_TIME,
        ended_at=None,
        order_ref=None,
    )
    tx.session.add(hold)
    await tx.session.flush()
    tx.emit(
        GiftHeld(
            member_id=member_id,
            hold_id=hold.id,
            offer_id=offer.id,
            title=offer.title,
            expires_at=hold.expires_at,
        )
    )
    return hold


async def take_gift(tx: Tx, *, hold_id: UUID, member_id: UUID, order_ref: str) -> GiftHold:
    """Take a held gift with an order, of which `order_ref` is the shop's number.

    Raises HoldNotFound, HoldNotUsable, MemberNotActive, InvalidInput, also for an order that came
    to nothing.
    """
    order_ref = checked_text(order_ref, field="orderRef", longest=LONGEST_KEY)
    # What follows the order's end waits, so that it sees this gift or we see the end.
    await hold_order(tx, member_id, order_ref)
    await orders.require_going_on(tx, member_id=member_id, order_no=order_ref)
    await require_active(tx, member_id)
    offer, hold = await _locked_hold(tx, member_id, hold_id)
    offer.held -= 1
    offer.taken += 1
    hold.state, hold.ended_at, hold.order_ref = HoldState.TAKEN, tx.now, order_ref
    await tx.session.flush()
    tx.emit(
        GiftTaken(member_id=member_id, hold_id=hold.id, offer_id=hold.offer_id, order_ref=order_ref)
    )
    return hold


async def hold_order(tx: Tx, member_id: UUID, order_ref: str) -> None:
    """Let the gifts of an order be taken, or put back, one after the other."""
    await lock_name(tx, f"gifts of order {member_id} {order_ref}")


async def release_gift(tx: Tx, *, hold_id: UUID, member_id: UUID) -> GiftHold:
    """Let a held gift go, so that another may have it.

    Raises HoldNotFound, HoldNotUsable.
    """
    offer, hold = await _locked_hold(tx, member_id, hold_id)
    offer.held -= 1
    hold.state, hold.ended_at = HoldState.RELEASED, tx.now
    await tx.session.flush()
    tx.emit(
        GiftFreed(
            member_id=member_id, hold_id=hold.id, offer_id=hold.offer_id, state=hold.state.value
        )
    )
    return hold


async def _locked_hold(tx: Tx, member_id: UUID, hold_id: UUID) -> tuple[GiftOffer, GiftHold]:
    """A hold that has not ended, with its offer; both are held until the transaction ends."""
    offer_id = await tx.session.scalar(
        select(GiftHold.offer_id).where(GiftHold.member_id == member_id, GiftHold.id == hold_id)
    )
    if offer_id is None:
        raise HoldNotFound()
    offer = await locked_offer(tx, offer_id)
    hold = await tx.session.get_one(
        GiftHold, (member_id, hold_id), with_for_update=True, populate_existing=True
    )
    if hold.state is not HoldState.HELD:
        raise HoldNotUsable(state=hold.state)
    return offer, hold


async def locked_offer(tx: Tx, offer_id: UUID) -> GiftOffer:
    """The offer, held until the transaction ends, after its overdue holds were freed.

    So nobody waits for the job that frees them. Raises GiftNotFound.
    """
    offer = await tx.session.scalar(
        select(GiftOffer)
        .where(GiftOffer.id == offer_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if offer is None:
        raise GiftNotFound()
    await _free(tx, offer)
    return offer


async def _free(tx: Tx, offer: GiftOffer) -> int:
    freed = await tx.session.execute(
        update(GiftHold)
        .where(
            GiftHold.offer_id == offer.id,
            GiftHold.state == HoldState.HELD,
            GiftHold.expires_at <= tx.now,
        )
        .values(state=HoldState.EXPIRED, ended_at=GiftHold.expires_at)
        .returning(GiftHold.member_id, GiftHold.id)
        .execution_options(synchronize_session=False)
    )
    count = 0
    for member_id, hold_id in freed:
        count += 1
        tx.emit(
            GiftFreed(
                member_id=member_id,
                hold_id=hold_id,
                offer_id=offer.id,
                state=HoldState.EXPIRED.value,
            )
        )
    if count:
        offer.held -= count
        await tx.session.flush()
    return count


_OVERDUE = text(
    """
    SELECT o.id FROM gift_offer o
    WHERE EXISTS (SELECT FROM gift_hold h
                  WHERE h.offer_id = o.id AND h.state = 'HELD' AND h.expires_at <= :now)
    ORDER BY o.id LIMIT 1
    """
)


async def free_due(tx: Tx) -> int:
    """Free the overdue holds of one offer; answers how many. Call again until it answers 0."""
    offer_id = await tx.session.scalar(_OVERDUE, {"now": tx.now})
    if offer_id is None:
        return 0
    offer = await tx.session.scalar(
        select(GiftOffer)
        .where(GiftOffer.id == offer_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return 0 if offer is None else await _free(tx, offer)


async def promise(tx: Tx, *, offer_id: UUID, units: int) -> None:
    """Set units aside for packs. Raises GiftNotFound, GiftOutOfStock."""
    offer = await locked_offer(tx, offer_id)
    if offer.promised + offer.held + offer.taken + units > offer.stock:
        raise GiftOutOfStock()
    offer.promised += units
    await tx.session.flush()


async def unpromise(tx: Tx, *, offer_id: UUID, units: int) -> None:
    """Give units back that were set aside for packs."""
    offer = await locked_offer(tx, offer_id)
    offer.promised -= units
    await tx.session.flush()


async def keep_promised(tx: Tx, *, offer_id: UUID, member_id: UUID, cycle: str) -> GiftHold:
    """Keep a unit for the member that was set aside for their pack."""
    offer = await locked_offer(tx, offer_id)
    offer.promised -= 1
    return await keep(tx, offer, member_id=member_id, cycle=cycle)
