"""One-yuan gifts of orders that were called off or refunded in full: their units are free again."""

from uuid import UUID

from sqlalchemy import select

from app import orders
from app.gifts.events import GiftFreed
from app.gifts.offers import locked_offer
from app.gifts.tables import GiftHold, HoldState
from app.kernel.db import Tx

UNDONE = (orders.OrderStatus.CANCELLED, orders.OrderStatus.REFUNDED)


async def return_gifts(tx: Tx, *, member_id: UUID, order_id: UUID) -> int:
    """Put the units that were taken with an order back into stock; answers how many.

    Only for an order that was cancelled or refunded in full, and once: doing it again changes
    nothing. The member may hold the gift again in the same cycle.
    """
    order = (await orders.by_id(tx, [(member_id, order_id)])).get((member_id, order_id))
    if order is None or order.status not in UNDONE:
        return 0
    taken = select(GiftHold).where(
        GiftHold.member_id == member_id,
        GiftHold.order_ref == order.order_no,
        GiftHold.state == HoldState.TAKEN,
    )
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
                    member_id=member_id,
                    hold_id=hold.id,
                    offer_id=offer_id,
                    state=HoldState.RETURNED.value,
                )
            )
        await tx.session.flush()
    return returned
