"""Coupons over GraphQL: a member's own, and what staff make them from."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import coupons
from app.kernel.auth import MemberCaller, Role, StaffCaller
from app.kernel.db import Tx
from app.kernel.errors import NotSignedIn
from app.kernel.idempotency import once
from app.kernel.table import Json
from app.members import MemberNotActive
from schema.context import Info
from schema.fields import field, mutation, shown
from schema.guard import MEMBER, SIGNED_IN, staff
from schema.nodes import MemberPart, Node, NodeLoader, global_id, key_of
from schema.paging import Connection, connect, decode_cursor, encode_cursor, page_size
from schema.scalars import Fen

strawberry.enum(coupons.Kind, name="CouponKind", description="What a coupon does to a basket.")
strawberry.enum(
    coupons.Validity,
    name="CouponValidity",
    description="ABSOLUTE: between two instants. RELATIVE: business days from the grant.",
)
strawberry.enum(
    coupons.ReturnPolicy,
    name="CouponReturnPolicy",
    description="Whether a coupon comes back when its order is refunded.",
)
strawberry.enum(
    coupons.CouponState, name="CouponStatus", description="Where a member's coupon stands."
)
strawberry.enum(
    coupons.BatchState,
    name="CouponBatchStatus",
    description="Where a batch stands; only an ACTIVE one gives coupons out.",
)


@strawberry.type(description="What coupons of one make do, where they apply, how long they live.")
class CouponTemplate(Node):
    name: str = strawberry.field(description="The name that members see.")
    kind: coupons.Kind = strawberry.field(description="What such a coupon does to a basket.")
    value: int = strawberry.field(
        description="Fen off; for PERCENT percent off; for EXCHANGE_PRICE the price in fen."
    )
    threshold_fen: Fen = strawberry.field(
        description="What the lines in scope must cost together, before the coupon."
    )
    max_discount_fen: Fen = strawberry.field(description="The most that one coupon takes off.")
    skus: list[str] = strawberry.field(description="The SKUs in scope.")
    categories: list[str] = strawberry.field(
        description="The categories in scope; without SKUs and categories everything is."
    )
    validity: coupons.Validity = strawberry.field(description="How its validity is reckoned.")
    valid_from: datetime | None = strawberry.field(description="For ABSOLUTE: the first instant.")
    valid_until: datetime | None = strawberry.field(
        description="For ABSOLUTE: the instant at which it ends."
    )
    wait_days: int | None = strawberry.field(
        description="For RELATIVE: business days before it can be used."
    )
    valid_days: int | None = strawberry.field(
        description="For RELATIVE: business days of validity, the first included."
    )
    return_policy: coupons.ReturnPolicy = strawberry.field(
        description="Whether a coupon comes back when its order is refunded."
    )
    exclusive: bool = strawberry.field(description="True if it stands alone on its order.")
    per_member: int = strawberry.field(description="How many of them one member may have.")


def template_of(row: coupons.Template) -> CouponTemplate:
    """The GraphQL value of a template."""
    return CouponTemplate(
        id=global_id("CouponTemplate", row.id),
        name=row.name,
        kind=row.kind,
        value=row.value,
        threshold_fen=Fen(row.threshold_fen),
        max_discount_fen=Fen(row.max_discount_fen),
        skus=list(row.skus),
        categories=list(row.categories),
        validity=row.validity,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        wait_days=row.wait_days,
        valid_days=row.valid_days,
        return_policy=row.return_policy,
        exclusive=row.exclusive,
        per_member=row.per_member,
    )


async def template_by_key(info: Info, key: UUID) -> CouponTemplate:
    """The template of something that refers to it."""
    row = await info.context.one(coupons.templates_by_id, key)
    if row is None:
        raise LookupError(f"coupon template {key}")
    return template_of(row)


@strawberry.type(description="So many coupons of a template, for at most so much money.")
class CouponBatch(Node):
    template_key: strawberry.Private[UUID]
    status: coupons.BatchState = strawberry.field(description="Where the batch stands.")
    quantity: int = strawberry.field(description="How many coupons there are in all.")
    granted: int = strawberry.field(description="How many members were given, drops aside.")
    set_aside: int = strawberry.field(description="How many are promised to drops under way.")
    redeemed: int = strawberry.field(description="How many were used on orders.")
    budget_fen: Fen = strawberry.field(description="The most that its coupons may cost together.")
    reserved_fen: Fen = strawberry.field(description="What coupons not yet used can still cost.")
    spent_fen: Fen = strawberry.field(description="What used coupons have cost.")

    @field(description="What its coupons do.")
    async def template(self, info: Info) -> CouponTemplate:
        return await template_by_key(info, self.template_key)


def batch_of(row: coupons.Batch) -> CouponBatch:
    """The GraphQL value of a batch."""
    return CouponBatch(
        id=global_id("CouponBatch", row.id),
        template_key=row.template_id,
        status=row.state,
        quantity=row.quantity,
        granted=row.granted,
        set_aside=row.set_aside,
        redeemed=row.redeemed,
        budget_fen=Fen(row.budget_fen),
        reserved_fen=Fen(row.reserved_fen),
        spent_fen=Fen(row.spent_fen),
    )


async def batch_by_key(info: Info, key: UUID) -> CouponBatch:
    """The batch of something that refers to it."""
    row = await info.context.one(coupons.batches_by_id, key)
    if row is None:
        raise LookupError(f"coupon batch {key}")
    return batch_of(row)


@strawberry.type(description="A coupon used on an order.")
class CouponRedemption:
    order_ref: str = strawberry.field(description="The shop's number of the order.")
    discount_fen: Fen = strawberry.field(description="What the coupon took off.")
    at: datetime = strawberry.field(description="When it was used.")
    explanation: strawberry.scalars.JSON = strawberry.field(
        description="The reckoning line by line; its parts add up to the discount."
    )


def redemption_of(row: coupons.Redemption) -> CouponRedemption:
    """The GraphQL value of a redemption."""
    return CouponRedemption(
        order_ref=row.order_ref,
        discount_fen=Fen(row.discount_fen),
        at=row.at,
        explanation=strawberry.scalars.JSON(row.explanation),
    )


@strawberry.type(description="One coupon of one member.")
class Coupon(Node):
    key: strawberry.Private[tuple[UUID, UUID]]
    template_key: strawberry.Private[UUID]
    status: coupons.CouponState = strawberry.field(description="Where the coupon stands.")
    code: str | None = strawberry.field(description="The code to show at a till, if it has one.")
    usable_from: datetime = strawberry.field(description="The first instant it can be used at.")
    expires_at: datetime = strawberry.field(
        description="The instant at which it can no longer be used."
    )
    granted_at: datetime = strawberry.field(description="When the member was given it.")

    @field(description="What the coupon does.")
    async def template(self, info: Info) -> CouponTemplate:
        return await template_by_key(info, self.template_key)

    @field(description="Its use on an order, once it is redeemed.")
    async def redemption(self, info: Info) -> CouponRedemption | None:
        row = await info.context.one(coupons.redemptions_by_member_and_id, self.key)
        return None if row is None else redemption_of(row)


def coupon_of(row: coupons.Coupon) -> Coupon:
    """The GraphQL value of a coupon."""
    return Coupon(
        id=global_id("Coupon", row.id),
        key=(row.member_id, row.id),
        template_key=row.template_id,
        status=row.state,
        code=row.code,
        usable_from=row.usable_from,
        expires_at=row.expires_at,
        granted_at=row.granted_at,
    )


async def coupon_by_key(info: Info, member_id: UUID, coupon_id: UUID) -> Coupon:
    """The coupon of something that refers to it."""
    row = await info.context.one(coupons.by_member_and_id, (member_id, coupon_id))
    if row is None:
        raise LookupError(f"coupon {coupon_id} of member {member_id}")
    return coupon_of(row)


async def load_coupon(info: Info, key: UUID) -> Coupon | None:
    """One of the signed-in member's own coupons."""
    caller = info.context.caller
    if not isinstance(caller, MemberCaller):
        return None
    row = await info.context.one(coupons.by_member_and_id, (caller.id, key))
    return None if row is None else coupon_of(row)


async def load_template(info: Info, key: UUID) -> CouponTemplate | None:
    """A template, for everyone signed in."""
    if not SIGNED_IN.test(info.context.caller):
        return None
    row = await info.context.one(coupons.templates_by_id, key)
    return None if row is None else template_of(row)


async def load_batch(info: Info, key: UUID) -> CouponBatch | None:
    """A batch, for staff."""
    if not isinstance(info.context.caller, StaffCaller):
        return None
    row = await info.context.one(coupons.batches_by_id, key)
    return None if row is None else batch_of(row)


NODES: dict[str, NodeLoader] = {
    "Coupon": load_coupon,
    "CouponTemplate": load_template,
    "CouponBatch": load_batch,
}


@strawberry.type(description="A member's coupons.")
class CouponsOfMember(MemberPart):
    @field(description="The member's coupons, newest first.")
    async def coupons(
        self,
        info: Info,
        status: Annotated[
            coupons.CouponState | None, strawberry.argument(description="Only those that stand so.")
        ] = None,
        first: Annotated[int, strawberry.argument(description="How many at most, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor to go on after.")
        ] = None,
    ) -> Connection[Coupon]:
        size = page_size(first)
        position = None if after is None else decode_cursor(after, UUID)[0]
        page = coupons.CouponPage(self.key, size, after=position, state=status)
        rows = await info.context.one(coupons.pages, page) or []
        return connect(
            rows,
            first=size,
            after=after,
            node=coupon_of,
            cursor=lambda row: encode_cursor(row.id),
        )


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
    batch: CouponBatchInput | None = strawberry.field(
        default=None,
        description="A batch to make with it, approved by you and active at once.",
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
        )


@strawberry.type(description="The template is there, and so is its batch if one was asked for.")
class CreateCouponTemplateSuccess:
    template_key: strawberry.Private[UUID]
    batch_key: strawberry.Private[UUID | None]

    @field(description="The template.")
    async def template(self, info: Info) -> CouponTemplate:
        return await template_by_key(info, self.template_key)

    @field(description="The active batch, if one was asked for.")
    async def batch(self, info: Info) -> CouponBatch | None:
        return None if self.batch_key is None else await batch_by_key(info, self.batch_key)


@strawberry.input(description="One product of a basket, at its price before coupons.")
class BasketLineInput:
    sku: str = strawberry.field(description="The product's SKU.")
    category: str = strawberry.field(default="", description="The product's category.")
    quantity: int = strawberry.field(default=1, description="How many units.")
    unit_fen: Fen = strawberry.field(description="The price of one unit.")


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
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never redeems twice."
    )

    def basket(self) -> coupons.Basket:
        """The basket that the input stands for."""
        lines = [
            coupons.Line(line.sku, line.category, line.quantity, line.unit_fen)
            for line in self.lines
        ]
        return coupons.Basket(lines, self.shipping_fen)


@strawberry.type(description="The coupon is used.")
class RedeemCouponSuccess:
    key: strawberry.Private[tuple[UUID, UUID]]
    discount_fen: Fen = strawberry.field(description="What the coupon takes off the order.")

    @field(description="The coupon, with its redemption.")
    async def coupon(self, info: Info) -> Coupon:
        return await coupon_by_key(info, *self.key)


async def _create(tx: Tx, input: CreateCouponTemplateInput, by: UUID) -> Json:
    template = await coupons.create_template(tx, draft=input.draft(), by=by)
    if input.batch is None:
        return {"template": str(template.id), "batch": None}
    batch = await coupons.create_batch(
        tx,
        template_id=template.id,
        quantity=input.batch.quantity,
        budget_fen=input.batch.budget_fen,
    )
    await coupons.approve_batch(tx, batch_id=batch.id, by=by)
    await coupons.move_batch(tx, batch_id=batch.id, to=coupons.BatchState.ACTIVE)
    return {"template": str(template.id), "batch": str(batch.id)}


@strawberry.type(description="Mutations of coupons.")
class CouponsMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        CreateCouponTemplateSuccess,
        description="Makes a coupon template and, if asked for, an active batch of its coupons.",
    )
    async def create_coupon_template(
        self, info: Info, input: CreateCouponTemplateInput
    ) -> CreateCouponTemplateSuccess:
        caller = info.context.caller
        if not isinstance(caller, StaffCaller):
            raise NotSignedIn()
        async with info.context.begin() as tx:
            answer = await once(
                tx,
                owner_id=caller.id,
                command="createCouponTemplate",
                key=input.idempotency_key,
                given=shown(input),
                work=lambda: _create(tx, input, caller.id),
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
            coupons.CannotCombine,
            coupons.NothingInScope,
            coupons.BelowThreshold,
            MemberNotActive,
        ],
        description="Uses one of the member's coupons on an order and reckons its discount.",
    )
    async def redeem_coupon(self, info: Info, input: RedeemCouponInput) -> RedeemCouponSuccess:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            raise NotSignedIn()
        coupon_id = key_of(input.coupon_id, "Coupon", "couponId")
        async with info.context.begin() as tx:

            async def work() -> Json:
                made = await coupons.redeem(
                    tx,
                    coupon_id=coupon_id,
                    member_id=caller.id,
                    order_ref=input.order_ref,
                    basket=input.basket(),
                )
                return {"discount_fen": made.discount_fen}

            answer = await once(
                tx,
                owner_id=caller.id,
                command="redeemCoupon",
                key=input.idempotency_key,
                given=shown(input),
                work=work,
            )
        return RedeemCouponSuccess(
            key=(caller.id, coupon_id), discount_fen=Fen(answer["discount_fen"])
        )
