"""Coupons for a member's first order (首单券): who has ordered before cannot use them.

A coupon that is held for an order is a promise, so another order's held or used one is in the way
as a paid order is; what was cancelled or refunded in full counts as if it had never been.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from app import orders
from app.coupons.errors import NotFirstOrder
from app.coupons.tables import Coupon, CouponState, Redemption, Template
from app.kernel.db import Read, Tx
from app.kernel.sets import lock_name


async def require_first(tx: Tx, *, member_id: UUID, order_ref: str) -> None:
    """Raise NotFirstOrder unless this is the member's first order, by what is known of it.

    Of two orders at once the one that comes later sees the other.
    """
    await lock_name(tx, f"first order of {member_id}")
    if await has_ordered(tx, member_id, but=order_ref):
        raise NotFirstOrder()


async def has_ordered(read: Read, member_id: UUID, *, but: str | None = None) -> bool:
    """Whether a member has an order that counts, or a first-order coupon on one; `but` aside."""
    paid = select(orders.Order.id).where(orders.Order.member_id == member_id, orders.counts())
    used = (
        select(Redemption.coupon_id)
        .join(
            Coupon, (Coupon.member_id == Redemption.member_id) & (Coupon.id == Redemption.coupon_id)
        )
        .join(Template, Template.id == Coupon.template_id)
        .where(Redemption.member_id == member_id, Template.first_order)
    )
    held = (
        select(Coupon.id)
        .join(Template, Template.id == Coupon.template_id)
        .where(
            Coupon.member_id == member_id,
            Coupon.state == CouponState.RESERVED,
            Coupon.reserved_until > read.now,
            Template.first_order,
        )
    )
    if but is not None:
        paid = paid.where(orders.Order.order_no != but)
        used = used.where(Redemption.order_ref != but)
        held = held.where(Coupon.reserved_for != but)
    found: ColumnElement[bool] = or_(paid.exists(), used.exists(), held.exists())
    return bool(await read.session.scalar(select(found)))
