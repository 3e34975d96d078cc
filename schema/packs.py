"""Packs over GraphQL."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import coupons, gifts
from app.kernel.auth import MemberCaller
from schema.context import Info
from schema.coupons import Coupon, CouponTemplate, coupon_by_key, template_by_key
from schema.enums import describe
from schema.fields import Wanted, field, loaded, query, wanted
from schema.gifts import GiftHold, GiftOffer, hold_by_key, offer_of
from schema.guard import SIGNED_IN
from schema.nodes import MemberPart, Node, NodeLoader, global_id
from schema.paging import BY_ID, After, Connection, First
from schema.scalars import Points

describe(
    gifts.PackState,
    "Where a pack stands.",
    name="PackStatus",
    DRAFT="Written; nothing is set aside for it.",
    OPEN="Given out while its stock lasts.",
    CLOSED="Given out no more; parts of claimed ones go on unlocking.",
)
describe(
    gifts.PackOnce,
    "How often one member may claim a pack.",
    EVER="Once.",
    PER_EPISODE="Once for each silence that they come back from.",
)
describe(
    gifts.Unlock,
    "When a part of a claimed pack is given.",
    name="PackUnlock",
    AT_ONCE="With the claim.",
    DAY_N="When business day n begins, the day of the claim being day 1.",
    WHEN_PREVIOUS_REDEEMED="When the coupon before it is used on an order.",
)
describe(
    gifts.PartState,
    "Where a part of a claimed pack stands.",
    name="PackPartStatus",
    LOCKED="Its time is to come.",
    GIVEN="The member was given it.",
    LAPSED="It can no longer be given.",
)


@strawberry.type(description="One thing in a pack: a coupon, points or a gift.")
class PackItem:
    batch_key: strawberry.Private[UUID | None]
    offer_key: strawberry.Private[UUID | None]
    position: int = strawberry.field(description="Its place in the pack, from 1.")
    unlock: gifts.Unlock = strawberry.field(description="When it is given.")
    day: int | None = strawberry.field(description="For DAY_N: the business day.")
    points: Points | None = strawberry.field(description="Points, if it is points.")

    @field(description="What the coupon does, if it is a coupon.", shared=True)
    async def template(self, info: Info) -> CouponTemplate | None:
        if self.batch_key is None:
            return None
        batch = await info.context.one(coupons.batches_by_id, self.batch_key)
        if batch is None:
            raise LookupError(f"coupon batch {self.batch_key} of a pack")
        return await template_by_key(info, batch.template_id)

    gift: GiftOffer | None = loaded(
        gifts.offers_by_id,
        key=lambda item: item.offer_key,
        make=offer_of,
        nullable=True,
        description="The gift, if it is one.",
    )


def item_of(row: gifts.PackItem) -> PackItem:
    """The GraphQL value of a pack's item."""
    return PackItem(
        batch_key=row.batch_id,
        offer_key=row.offer_id,
        position=row.position,
        unlock=row.unlock,
        day=row.day,
        points=None if row.points is None else Points(row.points),
    )


@strawberry.type(description="Several things given together (礼包), at most 20.")
class Pack(Node):
    key: strawberry.Private[UUID]
    title: str = strawberry.field(description="The title that members see.")
    status: gifts.PackState = strawberry.field(description="Where the pack stands.")
    once: gifts.PackOnce = strawberry.field(description="How often one member may claim it.")
    stock: int = strawberry.field(description="How many of them there are.")
    remaining: int = strawberry.field(description="How many are left to claim.")

    @wanted(description="What it holds, in order.", shared=True)
    def items(self, info: Info) -> Wanted[list[PackItem]]:
        return Wanted(
            gifts.items_by_pack, self.key, lambda rows: [item_of(row) for row in rows or []]
        )


def pack_of(row: gifts.Pack) -> Pack:
    """The GraphQL value of a pack."""
    return Pack(
        id=global_id("Pack", row.id),
        key=row.id,
        title=row.title,
        status=row.state,
        once=row.once,
        stock=row.stock,
        remaining=row.stock - row.claimed,
    )


async def pack_by_key(info: Info, key: UUID) -> Pack:
    """The pack of something that refers to it."""
    row = await info.context.one(gifts.packs_by_id, key)
    if row is None:
        raise LookupError(f"pack {key}")
    return pack_of(row)


@strawberry.type(description="One thing of a claimed pack, and what it became.")
class PackPart:
    part: strawberry.Private[gifts.PackPart]
    status: gifts.PartState = strawberry.field(description="Where it stands.")
    unlocks_at: datetime | None = strawberry.field(
        description="When it is given; null while it waits for the coupon before it to be used."
    )
    ended_at: datetime | None = strawberry.field(description="When it was given or lapsed.")
    item: PackItem = strawberry.field(description="What it is.")

    @field(description="The coupon that it became, if it did.")
    async def coupon(self, info: Info) -> Coupon | None:
        key = self.part.coupon_id
        return None if key is None else await coupon_by_key(info, self.part.member_id, key)

    @field(description="The hold of the gift that it became, if it did.")
    async def hold(self, info: Info) -> GiftHold | None:
        key = self.part.hold_id
        return None if key is None else await hold_by_key(info, self.part.member_id, key)


def part_of(pair: tuple[gifts.PackPart, gifts.PackItem]) -> PackPart:
    """The GraphQL value of a part."""
    part, item = pair
    return PackPart(
        part=part,
        status=part.state,
        unlocks_at=part.unlocks_at,
        ended_at=part.ended_at,
        item=item_of(item),
    )


@strawberry.type(description="A pack that a member claimed.")
class PackClaim:
    key: strawberry.Private[tuple[UUID, UUID]]
    pack_key: strawberry.Private[UUID]
    claimed_at: datetime = strawberry.field(description="When it was claimed.")

    pack: Pack = loaded(
        gifts.packs_by_id,
        key=lambda claim: claim.pack_key,
        make=pack_of,
        description="The pack.",
    )

    @wanted(description="Its parts, in the pack's order.")
    def parts(self, info: Info) -> Wanted[list[PackPart]]:
        return Wanted(
            gifts.parts_by_claim, self.key, lambda rows: [part_of(row) for row in rows or []]
        )


def claim_of(row: gifts.PackClaim) -> PackClaim:
    """The GraphQL value of a claim."""
    return PackClaim(key=(row.member_id, row.id), pack_key=row.pack_id, claimed_at=row.claimed_at)


async def load_pack(info: Info, key: UUID) -> Pack | None:
    """A pack, for everyone signed in; drafts are for staff."""
    caller = info.context.caller
    if not SIGNED_IN.test(caller):
        return None
    row = await info.context.one(gifts.packs_by_id, key)
    if row is None or (isinstance(caller, MemberCaller) and row.state is gifts.PackState.DRAFT):
        return None
    return pack_of(row)


NODES: dict[str, NodeLoader] = {"Pack": load_pack}


@strawberry.type(description="A member's packs.")
class PacksOfMember(MemberPart):
    @wanted(description="The packs that the member claimed, newest first.")
    def packs(
        self, info: Info, first: First = 5, after: After = None
    ) -> Wanted[Connection[PackClaim]]:
        asked = BY_ID.asked(first, after)
        return Wanted(
            gifts.claim_pages,
            gifts.MemberPage(self.key, asked.size, asked.position),
            lambda rows: asked.page(rows, node=claim_of, key=lambda row: row.id),
        )


@strawberry.type(description="Queries of packs.")
class PacksQuery:
    @query(SIGNED_IN, description="Packs, newest first; members see those that are open.")
    async def packs(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        status: Annotated[
            gifts.PackState | None, strawberry.argument(description="Only those that stand so.")
        ] = None,
    ) -> Connection[Pack]:
        asked = BY_ID.asked(first, after)
        state = status
        if isinstance(info.context.caller, MemberCaller):
            state = gifts.PackState.OPEN
        async with info.context.read() as read:
            rows = await gifts.pack_page(read, first=asked.size, after=asked.position, state=state)
        return asked.page(rows, node=pack_of, key=lambda row: row.id)
