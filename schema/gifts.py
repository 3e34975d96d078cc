"""One-yuan gifts over GraphQL."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import gifts
from app.kernel.auth import MemberCaller
from schema.context import Info
from schema.enums import describe
from schema.fields import Wanted, field, loaded, query, wanted
from schema.guard import SIGNED_IN
from schema.nodes import MemberPart, Node, NodeLoader, global_id
from schema.paging import BY_ID, After, Connection, First
from schema.scalars import Fen

describe(
    gifts.GiftCycle,
    "The span in which a member gets a gift once.",
    EVER="All time.",
    MONTH="A calendar month of their neighbourhood.",
    YEAR="A calendar year of their neighbourhood.",
)
describe(
    gifts.HoldState,
    "Where a member's hold of a gift stands.",
    name="GiftHoldStatus",
    HELD="A unit is kept for the member.",
    TAKEN="It went with an order.",
    RELEASED="The member let it go.",
    EXPIRED="Its 24 hours passed.",
    RETURNED="The order that it went with was refunded in full or cancelled; the unit is free.",
)


@strawberry.type(description="A product for one yuan (1元礼), outside thresholds and points.")
class GiftOffer(Node):
    key: strawberry.Private[UUID]
    title: str = strawberry.field(description="The title that members see.")
    sku: str = strawberry.field(description="The product's SKU.")
    price_fen: Fen = strawberry.field(description="What a unit costs; it earns no points.")
    stock: int = strawberry.field(description="How many units there are in all.")
    cycle: gifts.GiftCycle = strawberry.field(description="In which span a member gets it once.")
    opens_at: datetime = strawberry.field(description="From when it can be held.")
    closes_at: datetime | None = strawberry.field(
        description="From when it can no longer be held; null while the stock lasts."
    )

    @wanted(description="How many units can be held now.", shared=True)
    def left(self, info: Info) -> Wanted[int]:
        return Wanted(gifts.left_by_offer, self.key, lambda found: found or 0)


def offer_of(row: gifts.GiftOffer) -> GiftOffer:
    """The GraphQL value of an offer."""
    return GiftOffer(
        id=global_id("GiftOffer", row.id),
        key=row.id,
        title=row.title,
        sku=row.sku,
        price_fen=Fen(row.price_fen),
        stock=row.stock,
        cycle=row.cycle,
        opens_at=row.opens_at,
        closes_at=row.closes_at,
    )


@strawberry.type(description="A unit of a gift that is, or was, kept for a member.")
class GiftHold(Node):
    row: strawberry.Private[gifts.GiftHold]
    held_at: datetime = strawberry.field(description="Since when.")
    expires_at: datetime = strawberry.field(description="Until when, 24 hours later.")
    order_ref: str | None = strawberry.field(
        description="The shop's number of the order that it went with."
    )

    @field(description="Where the hold stands.")
    def status(self, info: Info) -> gifts.HoldState:
        return gifts.seen_state(self.row, info.context.database.clock())

    offer: GiftOffer = loaded(
        gifts.offers_by_id,
        key=lambda hold: hold.row.offer_id,
        make=offer_of,
        description="The gift.",
    )


def hold_of(row: gifts.GiftHold) -> GiftHold:
    """The GraphQL value of a hold."""
    return GiftHold(
        id=global_id("GiftHold", row.id),
        row=row,
        held_at=row.held_at,
        expires_at=row.expires_at,
        order_ref=row.order_ref,
    )


async def hold_by_key(info: Info, member_id: UUID, hold_id: UUID) -> GiftHold:
    """The hold of something that refers to it."""
    row = await info.context.one(gifts.holds_by_member_and_id, (member_id, hold_id))
    if row is None:
        raise LookupError(f"gift hold {hold_id} of member {member_id}")
    return hold_of(row)


async def load_offer(info: Info, key: UUID) -> GiftOffer | None:
    """A gift, for everyone signed in."""
    if not SIGNED_IN.test(info.context.caller):
        return None
    row = await info.context.one(gifts.offers_by_id, key)
    return None if row is None else offer_of(row)


async def load_hold(info: Info, key: UUID) -> GiftHold | None:
    """One of the signed-in member's own holds."""
    caller = info.context.caller
    if not isinstance(caller, MemberCaller):
        return None
    row = await info.context.one(gifts.holds_by_member_and_id, (caller.id, key))
    return None if row is None else hold_of(row)


NODES: dict[str, NodeLoader] = {"GiftOffer": load_offer, "GiftHold": load_hold}


@strawberry.type(description="A member's gifts.")
class GiftsOfMember(MemberPart):
    @wanted(description="The one-yuan gifts that are or were kept for the member, newest first.")
    def gifts(
        self, info: Info, first: First = 5, after: After = None
    ) -> Wanted[Connection[GiftHold]]:
        asked = BY_ID.asked(first, after)
        return Wanted(
            gifts.hold_pages,
            gifts.MemberPage(self.key, asked.size, asked.position),
            lambda rows: asked.page(rows, node=hold_of, key=lambda row: row.id),
        )


@strawberry.type(description="Queries of gifts.")
class GiftsQuery:
    @query(
        SIGNED_IN,
        description="One-yuan gifts, newest first; members see those that can be held now.",
    )
    async def gift_offers(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[GiftOffer]:
        asked = BY_ID.asked(first, after)
        mine = isinstance(info.context.caller, MemberCaller)
        async with info.context.read() as read:
            rows = await gifts.offer_page(
                read, first=asked.size, after=asked.position, open_only=mine
            )
        return asked.page(rows, node=offer_of, key=lambda row: row.id)
