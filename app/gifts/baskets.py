"""Which units of a basket are a member's one-yuan gifts."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, or_, select

from app.coupons import Basket
from app.gifts.errors import HoldNotFound, HoldNotUsable
from app.gifts.offers import LONGEST_KEY
from app.gifts.rules import seen_state, set_apart
from app.gifts.tables import GiftHold, GiftOffer, HoldState
from app.kernel.db import Read
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text

MOST_HOLDS = 50


async def gifts_apart(
    read: Read,
    *,
    member_id: UUID,
    basket: Basket,
    hold_ids: Sequence[UUID] | None = None,
    order_ref: str | None = None,
) -> Basket:
    """The basket with the units apart that are the member's gifts; nothing is taken by it.

    These holds, or without them every gift that is kept for the member now, or was taken with this
    order, and of which the basket has a unit. An offer lends its price to one unit. Raises
    HoldNotFound, HoldNotUsable for one that has ended, InvalidInput for one whose product the
    basket has not.
    """
    if order_ref is not None:
        order_ref = checked_text(order_ref, field="orderRef", longest=LONGEST_KEY)
    found = await _holds(read, member_id, hold_ids, order_ref)
    named = hold_ids is not None
    for hold, offer in found:
        state = seen_state(hold, read.now)
        usable = state is HoldState.HELD or (
            state is HoldState.TAKEN and order_ref is not None and hold.order_ref == order_ref
        )
        if not usable and named:
            raise HoldNotUsable(state=state)
        if not usable:
            continue
        rest = set_apart(basket, offer.sku, price_fen=offer.price_fen, ref=str(hold.id))
        if rest is basket and named:
            raise InvalidInput(
                field="giftHoldIds",
                reason=f"the basket has no unit of {offer.sku} left",
                reason_zh=f"订单中没有可作为礼品的商品{offer.sku}",
            )
        basket = rest
    return basket


async def _holds(
    read: Read, member_id: UUID, hold_ids: Sequence[UUID] | None, order_ref: str | None
) -> list[tuple[GiftHold, GiftOffer]]:
    query = (
        select(GiftHold, GiftOffer)
        .join(GiftOffer, GiftOffer.id == GiftHold.offer_id)
        .where(GiftHold.member_id == member_id)
        .order_by(GiftHold.held_at, GiftHold.id)
        .limit(MOST_HOLDS)
    )
    if hold_ids is None:
        taken = and_(GiftHold.state == HoldState.TAKEN, GiftHold.order_ref == (order_ref or ""))
        query = query.where(or_(GiftHold.state == HoldState.HELD, taken))
    else:
        if len(hold_ids) > MOST_HOLDS:
            raise InvalidInput(
                field="giftHoldIds",
                reason=f"at most {MOST_HOLDS}",
                reason_zh=f"最多{MOST_HOLDS}个",
            )
        query = query.where(GiftHold.id.in_(hold_ids))
    rows = [(row[0], row[1]) for row in await read.session.execute(query)]
    if hold_ids is not None and len(rows) < len(set(hold_ids)):
        raise HoldNotFound()
    return rows
