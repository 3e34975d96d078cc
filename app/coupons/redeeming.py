"""Using a coupon on an order, at once or after holding it while the order is placed."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, update

from app import orders
from app.coupons.choosing import may_meet
from app.coupons.errors import (
    CannotCombine,
    CouponNotFound,
    CouponNotReserved,
    CouponNotUsable,
)
from app.coupons.events import CouponRedeemed, CouponReleased, CouponReserved
from app.coupons.explaining import explain
from app.coupons.firsts import require_first
from app.coupons.orders import Held, OnOrder, held, on_order, prior_of
from app.coupons.pricing import Pricing, Step, price
from app.coupons.rules import (
    LONGEST_HOLD,
    LONGEST_KEY,
    SHORTEST_HOLD,
    USUAL_HOLD,
    Basket,
    standing,
)
from app.coupons.tables import Batch, BatchState, Coupon, CouponState, Redemption
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.sets import lock_name
from app.kernel.table import Json
from app.kernel.text import checked_text
from app.members import MemberNotActive, MemberStatus, by_id


async def reserve(
    tx: Tx,
    *,
    coupon_id: UUID,
    member_id: UUID,
    order_ref: str,
    basket: Basket,
    hold: timedelta = USUAL_HOLD,
) -> tuple[Coupon, Step]:
    """Hold a member's coupon for an order that is being placed; answers what it will take off.

    It is free again after `hold` (1 minute to 24 hours), or when it expires if that is sooner.
    Reserving it again for the same order holds it anew. Raises what `redeem` raises.
    """
    if not SHORTEST_HOLD <= hold <= LONGEST_HOLD:
        raise InvalidInput(field="holdMinutes", reason="1 to 1440", reason_zh="须为1至1440分钟")
    order_ref = await _open_order(tx, member_id, order_ref)
    mine = await _usable(tx, member_id, coupon_id, order_ref)
    batch_state = await tx.session.scalar(
        select(Batch.state).where(Batch.id == mine.coupon.batch_id)
    )
    if batch_state is BatchState.REVOKED:
        raise CouponNotUsable(state=CouponState.REVOKED)
    if mine.first_order:
        await require_first(tx, member_id=member_id, order_ref=order_ref)
    _, step = await _reckon(tx, mine, member_id, order_ref, basket)
    coupon = mine.coupon
    coupon.state = CouponState.RESERVED
    coupon.reserved_for = order_ref
    coupon.reserved_until = until = min(tx.now + hold, coupon.expires_at)
    await tx.session.flush()
    tx.emit(
        CouponReserved(
            member_id=member_id,
            coupon_id=coupon_id,
            order_ref=order_ref,
            until=until,
        )
    )
    return coupon, step


async def release(tx: Tx, *, coupon_id: UUID, member_id: UUID, order_ref: str) -> Coupon:
    """Let go of a coupon that is held for an order. Raises CouponNotFound, CouponNotReserved."""
    coupon = await _locked(tx, member_id, coupon_id)
    if coupon.state is not CouponState.RESERVED or coupon.reserved_for != order_ref.strip():
        raise CouponNotReserved()
    coupon.state, coupon.reserved_for, coupon.reserved_until = CouponState.ACTIVE, None, None
    await tx.session.flush()
    tx.emit(CouponReleased(member_id=member_id, coupon_id=coupon_id, order_ref=order_ref.strip()))
    return coupon


async def redeem(
    tx: Tx, *, coupon_id: UUID, member_id: UUID, order_ref: str, basket: Basket
) -> Redemption:
    """Use a member's coupon on an order: it is redeemed once, however often this runs at once.

    `order_ref` is the shop's number of the order, `basket` its lines at prices before coupons. What
    earlier coupons took off the order stays; those that are held for it are reckoned with. The
    redemption keeps the discount in fen and how it was reckoned. Raises CouponNotFound,
    CouponNotUsable, NotFirstOrder, CannotCombine, NothingInScope, BelowThreshold, MemberNotActive,
    InvalidInput.
    """
    order_ref = await _open_order(tx, member_id, order_ref)
    mine = await _usable(tx, member_id, coupon_id, order_ref)
    if mine.first_order:
        await require_first(tx, member_id=member_id, order_ref=order_ref)
    pricing, step = await _reckon(tx, mine, member_id, order_ref, basket)
    coupon = mine.coupon
    coupon.state, coupon.reserved_for, coupon.reserved_until = CouponState.REDEEMED, None, None
    redemption = Redemption(
        member_id=member_id,
        coupon_id=coupon_id,
        order_ref=order_ref,
        discount_fen=step.fen,
        explanation=_told(mine, pricing, step),
        at=tx.now,
        lost_fen=0,
    )
    tx.session.add(redemption)
    await tx.session.flush()
    await _spend(tx, mine, step)
    tx.emit(
        CouponRedeemed(
            member_id=member_id,
            coupon_id=coupon_id,
            batch_id=coupon.batch_id,
            order_ref=order_ref,
            discount_fen=step.fen,
        )
    )
    return redemption


async def _open_order(tx: Tx, member_id: UUID, order_ref: str) -> str:
    """The order's number as it is stored, its coupons held still for this transaction."""
    order_ref = checked_text(order_ref, field="orderRef", longest=LONGEST_KEY)
    member = (await by_id(tx, [member_id])).get(member_id)
    if member is None:
        raise CouponNotFound()
    if member.status is not MemberStatus.ACTIVE:
        raise MemberNotActive()
    # Two coupons for one order at once must see each other to be judged for stacking.
    await lock_name(tx, f"coupons of order {member_id} {order_ref}")
    # What follows the order's end waits for that lock, so that it sees this use or we see the end.
    await orders.require_going_on(tx, member_id=member_id, order_no=order_ref)
    return order_ref


async def _locked(tx: Tx, member_id: UUID, coupon_id: UUID) -> Coupon:
    coupon = await tx.session.get(
        Coupon, (member_id, coupon_id), with_for_update=True, populate_existing=True
    )
    if coupon is None:
        raise CouponNotFound()
    return coupon


async def _usable(tx: Tx, member_id: UUID, coupon_id: UUID, order_ref: str) -> Held:
    coupon = await _locked(tx, member_id, coupon_id)
    now = standing(coupon, at=tx.now)
    for_this = now is CouponState.RESERVED and coupon.reserved_for == order_ref
    if now is not CouponState.ACTIVE and not for_this:
        raise CouponNotUsable(state=now)
    return await held(tx, coupon)


async def _reckon(
    tx: Tx, mine: Held, member_id: UUID, order_ref: str, basket: Basket
) -> tuple[Pricing, Step]:
    """What the coupon takes off beside the others of its order."""
    order: OnOrder = await on_order(tx, member_id, order_ref, but=mine.coupon.id)
    if not may_meet([*order.used, *order.reserved, mine.offer]):
        raise CannotCombine()
    prior = prior_of(basket, order.redemptions)
    pricing = price(basket, [*order.reserved, mine.offer], prior=prior)
    step = pricing.step_of(mine.coupon.id)
    if step is None:
        raise pricing.refusal_of(mine.coupon.id)
    return pricing, step


def _told(mine: Held, pricing: Pricing, step: Step) -> Json:
    """The reckoning of this coupon, and the whole of which it is a part."""
    terms = mine.offer.terms
    return {
        "kind": terms.kind,
        "value": terms.value,
        "threshold_fen": terms.threshold_fen,
        "max_discount_fen": terms.max_discount_fen,
        "base_fen": step.base_fen,
        "discount_fen": step.fen,
        "shipping_fen": pricing.basket.shipping_fen,
        "shipping_discount_fen": step.shipping_fen,
        "lines": [
            {
                "sku": line.sku,
                "category": line.category,
                "quantity": line.quantity,
                "unit_fen": line.unit_fen,
                "discount_fen": share,
            }
            for line, share in zip(pricing.basket.lines, step.shares, strict=True)
        ],
        "pricing": explain(pricing),
    }


async def _spend(tx: Tx, mine: Held, step: Step) -> None:
    state = await tx.session.scalar(
        update(Batch)
        .where(Batch.id == mine.coupon.batch_id)
        .values(
            redeemed=Batch.redeemed + 1,
            reserved_fen=Batch.reserved_fen - mine.offer.terms.max_discount_fen,
            spent_fen=Batch.spent_fen + step.fen,
        )
        .returning(Batch.state)
        .execution_options(synchronize_session=False)
    )
    if state is BatchState.REVOKED:
        raise CouponNotUsable(state=CouponState.REVOKED)
