"""What an order carries of a member's coupons: those that are used, and those held for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from app.coupons.pricing import Offer, Prior
from app.coupons.rules import Basket, Terms, apportion
from app.coupons.tables import Coupon, CouponState, Redemption, Template
from app.kernel.db import Read


@dataclass(frozen=True, slots=True)
class Held:
    """A coupon with what it offers."""

    coupon: Coupon
    offer: Offer
    first_order: bool


@dataclass(frozen=True, slots=True)
class OnOrder:
    """The coupons of an order: the uses in their order, what they offered, and those held."""

    redemptions: list[Redemption]
    used: list[Offer]
    reserved: list[Offer]


def offer_of_row(coupon: Coupon, template: Template) -> Offer:
    """A stored coupon as prices see it."""
    return Offer(
        coupon_id=coupon.id,
        terms=Terms.of(template),
        expires_at=coupon.expires_at,
        group=template.stacking_group,
        exclusive=template.exclusive,
        priority=template.priority,
    )


async def held(read: Read, coupon: Coupon) -> Held:
    """A coupon with what its template offers."""
    template = await read.session.get_one(Template, coupon.template_id)
    return Held(coupon, offer_of_row(coupon, template), template.first_order)


async def on_order(read: Read, member_id: UUID, order_ref: str, *, but: UUID) -> OnOrder:
    """The coupons of an order, but one; reservations that ran out are none."""
    used = await read.session.execute(
        select(Redemption, Coupon, Template)
        .join(
            Coupon, (Coupon.member_id == Redemption.member_id) & (Coupon.id == Redemption.coupon_id)
        )
        .join(Template, Template.id == Coupon.template_id)
        .where(Redemption.member_id == member_id, Redemption.order_ref == order_ref)
        .order_by(Redemption.at, Redemption.coupon_id)
    )
    rows = used.all()
    reserved = await read.session.execute(
        select(Coupon, Template)
        .join(Template, Template.id == Coupon.template_id)
        .where(
            Coupon.member_id == member_id,
            Coupon.state == CouponState.RESERVED,
            Coupon.reserved_for == order_ref,
            Coupon.reserved_until > read.now,
            Coupon.id != but,
        )
    )
    return OnOrder(
        redemptions=[row[0] for row in rows],
        used=[offer_of_row(row[1], row[2]) for row in rows],
        reserved=[offer_of_row(row[0], row[1]) for row in reserved],
    )


def prior_of(basket: Basket, redemptions: Sequence[Redemption]) -> Prior:
    """What the coupons that are used on an order have taken off its lines.

    Where a line is not what it was then, its share lies on the whole basket in proportion.
    """
    left = [line.total_fen for line in basket.lines]
    shipping = 0
    for use in redemptions:
        told = use.explanation.get("lines")
        same = told is not None and [
            (item["sku"], item["quantity"], item["unit_fen"]) for item in told
        ] == [(line.sku, line.quantity, line.unit_fen) for line in basket.lines]
        off_shipping = use.explanation.get("shipping_discount_fen", 0)
        goods = use.discount_fen - off_shipping
        if same and told is not None:
            shares = tuple(item["discount_fen"] for item in told)
        else:
            goods = min(goods, sum(left))
            shares = apportion(goods, left) if goods else (0,) * len(left)
        left = [max(0, amount - share) for amount, share in zip(left, shares, strict=True)]
        shipping = min(basket.shipping_fen, shipping + off_shipping)
    pairs = zip(basket.lines, left, strict=True)
    return Prior(tuple(line.total_fen - amount for line, amount in pairs), shipping)
