"""Coupons over GraphQL: a member's own, and what staff make them from."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import coupons
from app.kernel.auth import MemberCaller
from schema.acting import author_of
from schema.context import Info
from schema.coupons_uses import CouponRedemption, CouponReturn, redemption_of, return_of
from schema.enums import describe
from schema.fields import UNKNOWN, Selected, Wanted, loaded, wanted
from schema.guard import OFFICE, SIGNED_IN
from schema.nodes import MemberPart, Node, NodeLoader, global_id
from schema.paging import BY_ID, After, Connection, First
from schema.rows import columns_of, of_row
from schema.scalars import Fen

describe(
    coupons.Kind,
    "What a coupon does to a basket.",
    name="CouponKind",
    FIXED="Takes a fixed amount off the lines in scope.",
    PERCENT="Takes a percentage off the lines in scope, rounded down to the fen.",
    CATEGORY="Takes a fixed amount off the lines of its categories.",
    EXCHANGE_PRICE="Sells one unit of its SKU at a price of its own (换购).",
    SHIPPING="Takes an amount off the delivery fee.",
)
describe(
    coupons.Validity,
    "How the time in which a coupon can be used is reckoned.",
    name="CouponValidity",
    ABSOLUTE="Between two instants that are the same for everyone.",
    RELATIVE="So many business days from the grant, whose day is day 1.",
)
describe(
    coupons.ReturnPolicy,
    "Whether a coupon comes back when its order is refunded.",
    name="CouponReturnPolicy",
    NEVER="It does not come back.",
    ON_FULL_REFUND="It comes back when the whole order is refunded.",
)
describe(
    coupons.CouponState,
    "Where a member's coupon stands.",
    name="CouponStatus",
    WAITING="Given, but its first day is to come.",
    ACTIVE="It can be used.",
    RESERVED="Held for an order that is being placed.",
    REDEEMED="Used on an order.",
    RETURNED="Its order was refunded in full, and it did not come back.",
    EXPIRED="Its time passed unused.",
    REVOKED="Taken back with its batch.",
)
describe(
    coupons.CodeMode,
    "Whether the coupons of a batch have codes.",
    name="CouponCodeMode",
    NONE="They have none.",
    UNIQUE="Each carries a code that can be shown at a till.",
    BULK="Codes are made in advance; whoever enters one first gets the coupon.",
)
describe(
    coupons.BatchState,
    "Where a batch stands.",
    name="CouponBatchStatus",
    DRAFT="Written, not approved.",
    APPROVED="Approved, not giving out coupons yet.",
    ACTIVE="Giving out coupons.",
    PAUSED="Giving out none for now; those given stay good.",
    EXHAUSTED="Every coupon is in a member's hands.",
    ENDED="Gives out no more; those given stay good.",
    REVOKED="Gives out no more, and those given are void.",
)


@strawberry.type(description="What coupons of one make do, where they apply, how long they live.")
class CouponTemplate(Node):
    row: strawberry.Private[coupons.Template]
    id: strawberry.ID = of_row(
        "id",
        make=lambda key: global_id("CouponTemplate", key),
        description="The opaque id of this object.",
    )
    name: str = of_row("name", description="The name that members see.")
    kind: coupons.Kind = of_row("kind", description="What such a coupon does to a basket.")
    value: int = of_row(
        "value",
        description="Fen off; for PERCENT percent off; for EXCHANGE_PRICE the price in fen.",
    )
    threshold_fen: Fen = of_row(
        "threshold_fen",
        description="What the lines in scope must cost together, before the coupon.",
    )
    max_discount_fen: Fen = of_row(
        "max_discount_fen", description="The most that one coupon takes off."
    )
    skus: list[str] = of_row("skus", make=list, description="The SKUs in scope.")
    categories: list[str] = of_row(
        "categories",
        make=list,
        description="The categories in scope; without SKUs and categories everything is.",
    )
    validity: coupons.Validity = of_row("validity", description="How its validity is reckoned.")
    valid_from: datetime | None = of_row(
        "valid_from", description="For ABSOLUTE: the first instant."
    )
    valid_until: datetime | None = of_row(
        "valid_until", description="For ABSOLUTE: the instant at which it ends."
    )
    wait_days: int | None = of_row(
        "wait_days", description="For RELATIVE: business days before it can be used."
    )
    valid_days: int | None = of_row(
        "valid_days", description="For RELATIVE: business days of validity, the first included."
    )
    ready_key: str | None = of_row(
        "ready_key", description="The key of the offer that came with the product, if it is one."
    )
    return_policy: coupons.ReturnPolicy = of_row(
        "return_policy", description="Whether a coupon comes back when its order is refunded."
    )
    exclusive: bool = of_row("exclusive", description="True if it stands alone on its order.")
    stacking_group: str | None = of_row(
        "stacking_group", description="Of one group an order takes one coupon."
    )
    priority: int = of_row(
        "priority", description="Within its stage of a price, higher comes first."
    )
    per_member: int = of_row("per_member", description="How many of them one member may have.")
    per_identity: int | None = of_row(
        "per_identity",
        description="How many one person may have, recognised by phone and WeChat.",
    )
    first_order: bool = of_row(
        "first_order", description="True if it is for members who have not ordered yet."
    )


def template_of(row: coupons.Template) -> CouponTemplate:
    """The GraphQL value of a template."""
    return CouponTemplate(row=row)


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
    code_mode: coupons.CodeMode = strawberry.field(description="Whether its coupons have codes.")
    quantity: int = strawberry.field(description="How many coupons there are in all.")
    granted: int = strawberry.field(description="How many members were given, drops aside.")
    set_aside: int = strawberry.field(description="How many are promised to drops under way.")
    redeemed: int = strawberry.field(description="How many were used on orders.")
    budget_fen: Fen = strawberry.field(description="The most that its coupons may cost together.")
    reserved_fen: Fen = strawberry.field(description="What coupons not yet used can still cost.")
    spent_fen: Fen = strawberry.field(description="What used coupons have cost.")
    drafted_by: strawberry.ID | None = strawberry.field(
        description="The staff account that drafted it; null for one that the product made."
    )
    approved_by: strawberry.ID | None = strawberry.field(
        description="The staff account that approved it; null until somebody has."
    )
    approved_alone: bool = strawberry.field(
        description="True if one person drafted and approved it, which a house of one may allow."
    )

    template: CouponTemplate = loaded(
        coupons.templates_by_id,
        key=lambda batch: batch.template_key,
        make=template_of,
        description="What its coupons do.",
    )


def batch_of(row: coupons.Batch) -> CouponBatch:
    """The GraphQL value of a batch."""
    return CouponBatch(
        id=global_id("CouponBatch", row.id),
        template_key=row.template_id,
        status=row.state,
        code_mode=row.code_mode,
        quantity=row.quantity,
        granted=row.granted,
        set_aside=row.set_aside,
        redeemed=row.redeemed,
        budget_fen=Fen(row.budget_fen),
        reserved_fen=Fen(row.reserved_fen),
        spent_fen=Fen(row.spent_fen),
        drafted_by=author_of(row.drafted_by),
        approved_by=row.approved_by and global_id("StaffAccount", row.approved_by),
        approved_alone=row.approved_alone,
    )


async def batch_by_key(info: Info, key: UUID) -> CouponBatch:
    """The batch of something that refers to it."""
    row = await info.context.one(coupons.batches_by_id, key)
    if row is None:
        raise LookupError(f"coupon batch {key}")
    return batch_of(row)


@strawberry.type(description="One coupon of one member.")
class Coupon(Node):
    row: strawberry.Private[coupons.Coupon]
    # Where both were read together.
    template_row: strawberry.Private[coupons.Template | None]
    id: strawberry.ID = of_row(
        "id",
        make=lambda key: global_id("Coupon", key),
        description="The opaque id of this object.",
    )
    status: coupons.CouponState = of_row("state", description="Where the coupon stands.")
    code: str | None = of_row("code", description="The code to show at a till, if it has one.")
    usable_from: datetime = of_row(
        "usable_from", description="The first instant it can be used at."
    )
    expires_at: datetime = of_row(
        "expires_at", description="The instant at which it can no longer be used."
    )
    granted_at: datetime = of_row("granted_at", description="When the member was given it.")
    reserved_for: str | None = of_row(
        "reserved_for", description="The order that it is held for, if it is."
    )
    reserved_until: datetime | None = of_row(
        "reserved_until", description="The instant at which it is free again, if it is held."
    )

    template: CouponTemplate = loaded(
        coupons.templates_by_id,
        key=lambda coupon: coupon.row.template_id,
        make=template_of,
        ready=lambda coupon: coupon.template_row,
        needs=("template_id",),
        description="What the coupon does.",
    )
    redemption: CouponRedemption | None = loaded(
        coupons.redemptions_by_member_and_id,
        key=lambda coupon: (coupon.row.member_id, coupon.row.id),
        make=redemption_of,
        nullable=True,
        needs=("member_id", "id"),
        description="Its use on an order, once it is redeemed.",
    )
    last_return: CouponReturn | None = loaded(
        coupons.last_returns,
        key=lambda coupon: (coupon.row.member_id, coupon.row.id),
        make=return_of,
        nullable=True,
        needs=("member_id", "id"),
        description="What became of it the last time its order was refunded in full.",
    )


def coupon_of(row: coupons.Coupon, template: coupons.Template | None = None) -> Coupon:
    """The GraphQL value of a coupon, with its template where both were read together."""
    return Coupon(row=row, template_row=template)


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
    """A batch, for staff but leaders."""
    if not OFFICE.test(info.context.caller):
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
    @wanted(description="The member's coupons, newest first.")
    def coupons(
        self,
        info: Info,
        status: Annotated[
            coupons.CouponState | None, strawberry.argument(description="Only those that stand so.")
        ] = None,
        first: First = 20,
        after: After = None,
        selected: Selected = UNKNOWN,
    ) -> Wanted[Connection[Coupon]]:
        asked = BY_ID.asked(first, after)
        page = coupons.CouponPage(
            self.key,
            asked.size,
            after=asked.position,
            state=status,
            columns=columns_of(Coupon, selected, "member_id id"),
            template_columns=columns_of(CouponTemplate, selected, "id"),
        )
        return Wanted(
            coupons.pages,
            page,
            lambda rows: asked.page(
                rows, node=lambda row: coupon_of(*row), key=lambda row: row[0].id
            ),
        )
