"""Making coupons and using them, over GraphQL."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import coupons, gifts
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MemberNotActive
from app.staff import subject
from schema.acting import acting_member, acting_staff, answered, may_approve_alone
from schema.context import Info, note_made
from schema.coupons import (
    Coupon,
    CouponBatch,
    CouponTemplate,
    batch_by_key,
    coupon_by_key,
    template_by_key,
)
from schema.coupons_prices import BasketLineInput, basket_of, without_gifts
from schema.fields import LATER, field, mutation
from schema.guard import MEMBER, staff
from schema.nodes import key_of
from schema.scalars import Fen


@strawberry.input(description="How many coupons of a new template to make available at once.")
class CouponBatchInput:
    quantity: int = strawberry.field(description="How many coupons.")
    budget_fen: Fen | None = strawberry.field(
        default=None,
        description="The most they may cost together; by default all that they can cost.",
    )


@strawberry.input(description="A new coupon template.")
class CreateCouponTemplateInput:
    name: str = strawberry.field(description="The name that members see, up to 60 characters.")
    kind: coupons.Kind = strawberry.field(description="What such a coupon does to a basket.")
    value: int = strawberry.field(
        description="Fen off; for PERCENT percent off; for EXCHANGE_PRICE the price in fen."
    )
    validity: coupons.Validity = strawberry.field(
        default=coupons.Validity.RELATIVE, description="How its validity is reckoned."
    )
    threshold_fen: Fen = strawberry.field(
        default=Fen(0), description="What the lines in scope must cost together."
    )
    max_discount_fen: Fen | None = strawberry.field(
        default=None,
        description="The most that one takes off; needed for PERCENT and EXCHANGE_PRICE.",
    )
    skus: list[str] = strawberry.field(
        default_factory=list[str], description="The SKUs in scope; one for EXCHANGE_PRICE."
    )
    categories: list[str] = strawberry.field(
        default_factory=list[str], description="The categories in scope; needed for CATEGORY."
    )
    valid_from: datetime | None = strawberry.field(
        default=None, description="For ABSOLUTE: the first instant."
    )
    valid_until: datetime | None = strawberry.field(
        default=None, description="For ABSOLUTE: the instant at which it ends."
    )
    wait_days: int | None = strawberry.field(
        default=None, description="For RELATIVE: business days before it can be used."
    )
    valid_days: int | None = strawberry.field(
        default=None, description="For RELATIVE: business days of validity, the first included."
    )
    validity_reason: str | None = strawberry.field(
        default=None, description="Why its validity lies outside 7 to 14 days, if it does."
    )
    return_policy: coupons.ReturnPolicy = strawberry.field(
        default=coupons.ReturnPolicy.NEVER,
        description="Whether a coupon comes back when its order is refunded.",
    )
    stacking_group: str | None = strawberry.field(
        default=None, description="An order takes one coupon of each group."
    )
    exclusive: bool = strawberry.field(
        default=False, description="True if it stands alone on its order."
    )
    per_member: int = strawberry.field(
        default=1, description="How many of them one member may have."
    )
    per_identity: int | None = strawberry.field(
        default=None,
        description="How many one person may have, recognised by phone and WeChat.",
    )
    first_order: bool = strawberry.field(
        default=False,
        metadata={LATER: True},
        description="True if it is for members who have not ordered yet.",
    )
    priority: int = strawberry.field(
        default=0, description="Within its stage of a price, higher comes first."
    )
    batch: CouponBatchInput | None = strawberry.field(
        default=None,
        description="A batch to make with it: active at once where you may approve it yourself, "
        "else a draft for somebody else to approve.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key never makes two."
    )

    def draft(self) -> coupons.TemplateDraft:
        """The draft that the input stands for."""
        return coupons.TemplateDraft(
            name=self.name,
            kind=self.kind,
            value=self.value,
            validity=self.validity,
            threshold_fen=self.threshold_fen,
            max_discount_fen=self.max_discount_fen,
            skus=tuple(self.skus),
            categories=tuple(self.categories),
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            wait_days=self.wait_days,
            valid_days=self.valid_days,
            validity_reason=self.validity_reason,
            return_policy=self.return_policy,
            stacking_group=self.stacking_group,
            exclusive=self.exclusive,
            per_member=self.per_member,
            per_identity=self.per_identity,
            first_order=self.first_order,
            priority=self.priority,
        )


@strawberry.type(description="The template is there, and so is its batch if one was asked for.")
class CreateCouponTemplateSuccess:
    template_key: strawberry.Private[UUID]
    batch_key: strawberry.Private[UUID | None]

    @field(description="The template.")
    async def template(self, info: Info) -> CouponTemplate:
        return await template_by_key(info, self.template_key)

    @field(description="The batch, if one was asked for; its status says whether it is active.")
    async def batch(self, info: Info) -> CouponBatch | None:
        return None if self.batch_key is None else await batch_by_key(info, self.batch_key)


@strawberry.input(description="The use of a coupon on an order.")
class RedeemCouponInput:
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
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never redeems twice."
    )

    def basket(self) -> coupons.Basket:
        """The basket that the input stands for."""
        return basket_of(self.lines, self.shipping_fen)


@strawberry.type(description="The coupon is used.")
class RedeemCouponSuccess:
    key: strawberry.Private[tuple[UUID, UUID]]
    discount_fen: Fen = strawberry.field(description="What the coupon takes off the order.")

    @field(description="The coupon, with its redemption.")
    async def coupon(self, info: Info) -> Coupon:
        return await coupon_by_key(info, *self.key)


async def _create(tx: Tx, input: CreateCouponTemplateInput, *, by: UUID, alone: bool) -> Json:
    template = await coupons.create_template(tx, draft=input.draft(), by=by)
    note_made(subject(coupons.Template, template.id))
    if input.batch is None:
        return {"template": str(template.id), "batch": None}
    batch = await coupons.create_batch(
        tx,
        template_id=template.id,
        quantity=input.batch.quantity,
        budget_fen=input.batch.budget_fen,
        by=by,
    )
    if alone:
        await coupons.approve_batch(tx, batch_id=batch.id, by=by, alone=True)
        await coupons.move_batch(tx, batch_id=batch.id, to=coupons.BatchState.ACTIVE)
    return {"template": str(template.id), "batch": str(batch.id)}


@strawberry.type(description="Mutations of coupons.")
class CouponsMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        CreateCouponTemplateSuccess,
        description="Makes a coupon template and, if asked for, a batch of its coupons.",
    )
    async def create_coupon_template(
        self, info: Info, input: CreateCouponTemplateInput
    ) -> CreateCouponTemplateSuccess:
        staff_id = acting_staff(info)
        alone = may_approve_alone(info)
        answer = await answered(
            info, input, lambda tx: _create(tx, input, by=staff_id, alone=alone)
        )
        batch = answer["batch"]
        return CreateCouponTemplateSuccess(
            template_key=UUID(answer["template"]),
            batch_key=None if batch is None else UUID(batch),
        )

    @mutation(
        MEMBER,
        RedeemCouponSuccess,
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
        description="Uses one of the member's coupons on an order and reckons its discount.",
        sensitive=True,
    )
    async def redeem_coupon(self, info: Info, input: RedeemCouponInput) -> RedeemCouponSuccess:
        member_id = acting_member(info)
        coupon_id = key_of(input.coupon_id, "Coupon", "couponId")

        async def work(tx: Tx) -> Json:
            made = await coupons.redeem(
                tx,
                coupon_id=coupon_id,
                member_id=member_id,
                order_ref=input.order_ref,
                basket=await without_gifts(
                    tx, member_id, input.basket(), input.gift_hold_ids, input.order_ref
                ),
            )
            return {"discount_fen": made.discount_fen}

        answer = await answered(info, input, work)
        return RedeemCouponSuccess(
            key=(member_id, coupon_id), discount_fen=Fen(answer["discount_fen"])
        )
