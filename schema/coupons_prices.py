"""What a basket costs, over GraphQL: each discount in its order, adding up to the fen."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import strawberry

from app import coupons, gifts
from app.kernel.auth import MemberCaller
from app.kernel.db import Read
from app.kernel.errors import Locale, NotSignedIn
from schema.context import Info
from schema.enums import describe
from schema.fields import LATER, query
from schema.guard import MEMBER
from schema.nodes import global_id, key_of
from schema.scalars import Fen, Points

describe(
    coupons.Stage,
    "Where in the order of a price a discount has its place; each works on what is left.",
    name="PriceStage",
    ITEM="Coupons for articles.",
    CATEGORY="Coupons for categories.",
    ORDER="Coupons for the whole order, their threshold asked of the discounted subtotal.",
    EXCHANGE="Units at a price of their own, out of thresholds and points.",
    SHIPPING="Coupons for the delivery fee.",
    POINTS="Points used as money.",
)


@strawberry.input(description="One product of a basket, at its price before coupons.")
class BasketLineInput:
    sku: str = strawberry.field(description="The product's SKU.")
    category: str = strawberry.field(default="", description="The product's category.")
    quantity: int = strawberry.field(default=1, description="How many units.")
    unit_fen: Fen = strawberry.field(description="The price of one unit.")


def basket_of(lines: Sequence[BasketLineInput], shipping_fen: Fen) -> coupons.Basket:
    """The basket that an input stands for."""
    return coupons.Basket(
        [coupons.Line(line.sku, line.category, line.quantity, line.unit_fen) for line in lines],
        shipping_fen,
    )


async def without_gifts(
    read: Read,
    member_id: UUID,
    basket: coupons.Basket,
    hold_ids: Sequence[strawberry.ID] | None,
    order_ref: str | None = None,
) -> coupons.Basket:
    """The basket with the member's one-yuan gifts apart: these, or all that it has a unit of."""
    named = None
    if hold_ids is not None:
        named = [key_of(item, "GiftHold", "giftHoldIds") for item in hold_ids]
    return await gifts.gifts_apart(
        read, member_id=member_id, basket=basket, hold_ids=named, order_ref=order_ref
    )


@strawberry.input(description="What a member is about to order.")
class BasketInput:
    lines: list[BasketLineInput] = strawberry.field(
        description="The products at prices before coupons, at most 250."
    )
    shipping_fen: Fen = strawberry.field(default=Fen(0), description="The delivery fee.")
    gift_hold_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        metadata={LATER: True},
        description="The member's held one-yuan gifts of which the basket has a unit, at most 50; "
        "null for all of them, an empty list for none.",
    )


@strawberry.type(
    description="A unit of a basket that is a one-yuan gift (1元礼), paid for beside it."
)
class PricedGift:
    hold_id: strawberry.ID = strawberry.field(description="The hold of the gift.")
    sku: str = strawberry.field(description="The product's SKU.")
    unit_fen: Fen = strawberry.field(description="The price of a unit that is no gift.")
    payable_fen: Fen = strawberry.field(description="What the gift costs.")


@strawberry.type(description="One product of a basket with what it costs in the end.")
class PricedLine:
    sku: str = strawberry.field(description="The product's SKU.")
    category: str = strawberry.field(description="The product's category.")
    quantity: int = strawberry.field(description="How many units.")
    unit_fen: Fen = strawberry.field(description="The price of one unit before discounts.")
    payable_fen: Fen = strawberry.field(
        description="What all units cost after every discount, points included."
    )


@strawberry.type(description="One discount of a price.")
class PriceStep:
    coupon_id: strawberry.ID | None = strawberry.field(description="The coupon; null for points.")
    stage: coupons.Stage = strawberry.field(description="Where it has its place.")
    base_fen: Fen = strawberry.field(description="What was left of the goods it is for.")
    discount_fen: Fen = strawberry.field(description="What it takes off.")
    shares: list[Fen] = strawberry.field(
        description="Each line's share of it, in the order of the lines; at most 250."
    )
    shipping_fen: Fen = strawberry.field(description="What of it is off the delivery fee.")
    points: Points = strawberry.field(description="How many points it takes; 0 for coupons.")


@strawberry.type(description="A coupon that takes nothing off a basket, and why.")
class CouponLeftOut:
    coupon_id: strawberry.ID = strawberry.field(description="The coupon.")
    code: str = strawberry.field(description="A stable code, such as BELOW_THRESHOLD.")
    message: str = strawberry.field(description="The reason as a sentence for the member.")


@strawberry.type(description="What a basket costs, and how that comes about.")
class BasketPrice:
    subtotal_fen: Fen = strawberry.field(description="The goods before discounts, gifts aside.")
    shipping_fen: Fen = strawberry.field(description="The delivery fee before discounts.")
    saved_fen: Fen = strawberry.field(description="What coupons take off.")
    points_fen: Fen = strawberry.field(description="What points pay for.")
    payable_shipping_fen: Fen = strawberry.field(description="The delivery fee that remains.")
    payable_fen: Fen = strawberry.field(
        description="Goods and delivery after all: the sum of the lines, the delivery fee and the "
        "gifts."
    )
    gifts_fen: Fen = strawberry.field(description="What the one-yuan gifts cost together.")
    lines: list[PricedLine] = strawberry.field(
        description="The products in the order given, gifts aside; at most 250."
    )
    gifts: list[PricedGift] = strawberry.field(
        description="The units that are one-yuan gifts, out of thresholds, discounts and points; "
        "at most 50."
    )
    steps: list[PriceStep] = strawberry.field(
        description="The discounts in the order they are taken off; at most 201."
    )
    left_out: list[CouponLeftOut] = strawberry.field(
        description="Coupons that were looked at and take nothing off; at most 200."
    )
    is_best: bool = strawberry.field(
        description="False where there were too many combinations to try them all."
    )
    explanation: strawberry.scalars.JSON = strawberry.field(
        description="All that the price was reckoned from, as it is stored when coupons are used."
    )


def price_of(found: coupons.Pricing, locale: Locale) -> BasketPrice:
    """The GraphQL value of a price."""
    pairs = zip(found.basket.lines, found.payable_lines, strict=True)
    return BasketPrice(
        subtotal_fen=Fen(found.subtotal_fen),
        shipping_fen=Fen(found.basket.shipping_fen),
        saved_fen=Fen(found.saved_fen),
        points_fen=Fen(sum(step.fen for step in found.steps if step.coupon_id is None)),
        payable_shipping_fen=Fen(found.payable_shipping_fen),
        payable_fen=Fen(found.payable_fen),
        gifts_fen=Fen(found.apart_fen),
        lines=[
            PricedLine(
                sku=line.sku,
                category=line.category,
                quantity=line.quantity,
                unit_fen=Fen(line.unit_fen),
                payable_fen=Fen(payable),
            )
            for line, payable in pairs
        ],
        gifts=[
            PricedGift(
                hold_id=global_id("GiftHold", UUID(unit.ref)),
                sku=unit.sku,
                unit_fen=Fen(unit.unit_fen),
                payable_fen=Fen(unit.price_fen),
            )
            for unit in found.basket.apart
        ],
        steps=[_step_of(step) for step in found.steps],
        left_out=[
            CouponLeftOut(
                coupon_id=global_id("Coupon", offer.coupon_id),
                code=refusal.code,
                message=refusal.message(locale),
            )
            for offer, refusal in found.left_out
        ],
        is_best=found.complete,
        explanation=strawberry.scalars.JSON(coupons.explain(found)),
    )


def _step_of(step: coupons.Step) -> PriceStep:
    return PriceStep(
        coupon_id=None if step.coupon_id is None else global_id("Coupon", step.coupon_id),
        stage=step.stage,
        base_fen=Fen(step.base_fen),
        discount_fen=Fen(step.fen),
        shares=[Fen(share) for share in step.shares],
        shipping_fen=Fen(step.shipping_fen),
        points=Points(step.points),
    )


@strawberry.type(description="Queries of prices.")
class PricesQuery:
    @query(
        MEMBER,
        description="What a basket costs the member with the best allowed combination of coupons; "
        "nothing is held or used.",
    )
    async def price_basket(
        self,
        info: Info,
        basket: Annotated[
            BasketInput, strawberry.argument(description="What is about to be ordered.")
        ],
        coupon_ids: Annotated[
            list[strawberry.ID] | None,
            strawberry.argument(
                description="The coupons to choose from, at most 50; null for all the member's own."
            ),
        ] = None,
        points: Annotated[
            Points, strawberry.argument(description="How many points to use at the most.")
        ] = Points(0),
    ) -> BasketPrice:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            raise NotSignedIn()
        named = None
        if coupon_ids is not None:
            named = [key_of(item, "Coupon", "couponIds") for item in coupon_ids]
        async with info.context.read() as read:
            whole = basket_of(basket.lines, basket.shipping_fen)
            found = await coupons.quote(
                read,
                member_id=caller.id,
                basket=await without_gifts(read, caller.id, whole, basket.gift_hold_ids),
                coupon_ids=named,
                use_points=points,
            )
        return price_of(found, info.context.locale)
