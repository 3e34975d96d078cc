"""Holding a coupon for an order, letting it go, and getting one for a code, over GraphQL."""

from datetime import datetime, timedelta
from uuid import UUID

import strawberry

from app import coupons, gifts
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MemberNotActive
from schema.acting import acting_member, answered
from schema.context import Info
from schema.coupons import Coupon, coupon_by_key
from schema.coupons_prices import BasketLineInput, basket_of, without_gifts
from schema.fields import LATER, field, mutation
from schema.guard import MEMBER
from schema.nodes import key_of
from schema.scalars import Fen

USUAL_MINUTES = int(coupons.USUAL_HOLD.total_seconds()) // 60


@strawberry.input(description="The holding of a coupon for an order that is being placed.")
class ReserveCouponInput:
    coupon_id: strawberry.ID = strawberry.field(description="The coupon.")
    order_ref: str = strawberry.field(
        description="The shop's number of the order, up to 64 characters."
    )
    lines: list[BasketLineInput] = strawberry.field(
        description="The order's products at prices before coupons, at most 250."
    )
    shipping_fen: Fen = strawberry.field(default=Fen(0), description="The delivery fee.")
    gift_hold_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        metadata={LATER: True},
        description="The member's one-yuan gifts of which the order has a unit, out of the "
        "threshold; null for all that are held or were taken with it, an empty list for none.",
    )
    hold_minutes: int = strawberry.field(
        default=USUAL_MINUTES,
        description="How long to hold it, 1 to 1440 minutes; never longer than it is valid.",
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The coupon is held for the order.")
class ReserveCouponSuccess:
    key: strawberry.Private[tuple[UUID, UUID]]
    discount_fen: Fen = strawberry.field(
        description="What it will take off this basket beside the order's other coupons."
    )
    reserved_until: datetime = strawberry.field(
        description="The instant at which it is free again unless it is used."
    )

    @field(description="The coupon.")
    async def coupon(self, info: Info) -> Coupon:
        return await coupon_by_key(info, *self.key)


@strawberry.input(description="The letting go of a coupon that is held.")
class ReleaseCouponInput:
    coupon_id: strawberry.ID = strawberry.field(description="The coupon.")
    order_ref: str = strawberry.field(description="The order that it is held for.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The coupon is free again.")
class ReleaseCouponSuccess:
    key: strawberry.Private[tuple[UUID, UUID]]

    @field(description="The coupon.")
    async def coupon(self, info: Info) -> Coupon:
        return await coupon_by_key(info, *self.key)


@strawberry.input(description="The entering of a code (兑换码).")
class RedeemCodeInput:
    code: str = strawberry.field(
        description="The code as it is printed; gaps and small letters are forgiven."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The member has the coupon of the code.")
class RedeemCodeSuccess:
    key: strawberry.Private[tuple[UUID, UUID]]

    @field(description="The coupon.")
    async def coupon(self, info: Info) -> Coupon:
        return await coupon_by_key(info, *self.key)


@strawberry.type(description="Mutations of holding coupons and entering codes.")
class CouponsHoldingMutation:
    @mutation(
        MEMBER,
        ReserveCouponSuccess,
        refusals=[
            coupons.CouponNotFound,
            coupons.CouponNotUsable,
            coupons.NotFirstOrder,
            coupons.CannotCombine,
            coupons.NothingInScope,
            coupons.BelowThreshold,
            gifts.HoldNotFound,
            gifts.HoldNotUsable,
            MemberNotActive,
        ],
        description="Holds one of the member's coupons for an order that is being placed.",
        sensitive=True,
    )
    async def reserve_coupon(self, info: Info, input: ReserveCouponInput) -> ReserveCouponSuccess:
        member_id = acting_member(info)
        coupon_id = key_of(input.coupon_id, "Coupon", "couponId")

        async def work(tx: Tx) -> Json:
            # Minutes that no timedelta holds are refused with the others that are too many.
            minutes = max(0, min(input.hold_minutes, 10_000))
            basket = basket_of(input.lines, input.shipping_fen)
            coupon, step = await coupons.reserve(
                tx,
                coupon_id=coupon_id,
                member_id=member_id,
                order_ref=input.order_ref,
                basket=await without_gifts(
                    tx, member_id, basket, input.gift_hold_ids, input.order_ref
                ),
                hold=timedelta(minutes=minutes),
            )
            until = coupon.reserved_until
            return {"discount_fen": step.fen, "until": until and until.isoformat()}

        answer = await answered(info, input, work)
        return ReserveCouponSuccess(
            key=(member_id, coupon_id),
            discount_fen=Fen(answer["discount_fen"]),
            reserved_until=datetime.fromisoformat(answer["until"]),
        )

    @mutation(
        MEMBER,
        ReleaseCouponSuccess,
        refusals=[coupons.CouponNotFound, coupons.CouponNotReserved],
        description="Lets go of a coupon that is held for an order.",
        sensitive=True,
    )
    async def release_coupon(self, info: Info, input: ReleaseCouponInput) -> ReleaseCouponSuccess:
        member_id = acting_member(info)
        coupon_id = key_of(input.coupon_id, "Coupon", "couponId")

        async def work(tx: Tx) -> Json:
            await coupons.release(
                tx, coupon_id=coupon_id, member_id=member_id, order_ref=input.order_ref
            )
            return {}

        await answered(info, input, work)
        return ReleaseCouponSuccess(key=(member_id, coupon_id))

    @mutation(
        MEMBER,
        RedeemCodeSuccess,
        refusals=[
            coupons.CodeNotFound,
            coupons.CodeTaken,
            coupons.CouponLimitReached,
            coupons.BatchUsedUp,
            coupons.BatchNotActive,
            coupons.ValidityOver,
            MemberNotActive,
        ],
        description="Gives the member the coupon of a code, which works once.",
        sensitive=True,
    )
    async def redeem_code(self, info: Info, input: RedeemCodeInput) -> RedeemCodeSuccess:
        member_id = acting_member(info)

        async def work(tx: Tx) -> Json:
            coupon_id = await coupons.enter_code(tx, member_id=member_id, code=input.code)
            return {"coupon": str(coupon_id)}

        # A code is money: what is kept of the input is a digest.
        answer = await answered(
            info, input, work, given={"code": coupons.digest_of_code(input.code)}
        )
        return RedeemCodeSuccess(key=(member_id, UUID(answer["coupon"])))
