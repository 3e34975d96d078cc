"""One-yuan gifts that were called off or given back, with their order or alone: units are free."""

from uuid import UUID

from sqlalchemy import Select, select, text

from app import orders
from app.gifts.events import GiftFreed
from app.gifts.offers import hold_order, locked_offer
from app.gifts.tables import GiftHold, HoldState
from app.kernel.db import Tx

UNDONE = (orders.OrderStatus.CANCELLED, orders.OrderStatus.REFUNDED)
# Gifts whose own line came back, all of it or all of its money. A line of the same article at its
# usual price is no gift's: what it was paid with tells them apart.
_GIVEN_BACK = text(
    """
    SELECT h.id FROM gift_hold h
    JOIN gift_offer o ON o.id = h.offer_id
    JOIN order_line l ON l.member_id = h.member_id AND l.order_id = :order_id
     AND l.sku = o.sku AND l.paid_fen = l.quantity * o.price_fen
    WHERE h.member_id = :member_id AND h.order_ref = :order_ref AND h.state = 'TAKEN'
      AND (l.refunded_quantity = l.quantity
           OR l.refunded_fen = l.paid_fen AND l.refunded_fen > 0)
    """
)


async def return_gifts(tx: Tx, *, member_id: UUID, order_id: UUID) -> int:
    """Put the units that were taken with an order back into stock; answers how many.

    All of an order that was cancelled or refunded in full; of one refunded in part, those whose own
    line came back. Once: doing it again changes nothing. The member may hold the gift again in the
    same cycle. Of two orders of one number, from two sources, nothing comes back before both came
    to nothing.
    """
    order = (await orders.by_id(tx, [(member_id, order_id)])).get((member_id, order_id))
    if order is None or not (order.status in UNDONE or order.refunded_fen):
        return 0
    await hold_order(tx, member_id, order.order_no)
    same = await orders.of_number(tx, member_id=member_id, order_no=order.order_no)
    undone = orders.came_to_nothing(same)
    if not undone and (order.status in UNDONE or len(same) > 1):
        # The other order of this number, from another source, may be the gift's.
        return 0
    taken = select(GiftHold).where(
        GiftHold.member_id == member_id,
        GiftHold.order_ref == order.order_no,
        GiftHold.state == HoldState.TAKEN,
    )
    if not undone:
        given = {"member_id": member_id, "order_id": order_id, "order_ref": order.order_no}
        back = list(await tx.session.scalars(_GIVEN_BACK, given))
        taken = taken.where(GiftHold.id.in_(back))
    return await _put_back(tx, taken)


async def _put_back(tx: Tx, taken: "Select[GiftHold]") -> int:
    offers = {hold.offer_id for hold in await tx.session.scalars(taken)}
    returned = 0
    # An offer is locked before its holds, and offers in the order of their keys.
    for offer_id in sorted(offers):
        offer = await locked_offer(tx, offer_id)
        rows = await tx.session.scalars(
            taken.where(GiftHold.offer_id == offer_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        for hold in rows.all():
            hold.state, hold.ended_at = HoldState.RETURNED, tx.now
            offer.taken -= 1
            returned += 1
            tx.emit(
                GiftFreed(
                    member_id=hold.member_id,
                    hold_id=hold.id,
                    offer_id=offer_id,
                    state=HoldState.RETURNED.value,
                )
            )
        await tx.session.flush()
    return returned
