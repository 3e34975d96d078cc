"""Holding one-yuan gifts, taking them and letting them go, over GraphQL."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import gifts
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from app.staff import subject
from schema.acting import acting_member, acting_staff, answered
from schema.context import Info, note_made
from schema.fields import field, mutation
from schema.gifts import GiftHold, GiftOffer, hold_by_key, offer_of
from schema.guard import MEMBER, staff
from schema.nodes import key_of
from schema.scalars import Fen


@strawberry.input(description="A new one-yuan gift.")
class CreateGiftOfferInput:
    title: str = strawberry.field(description="The title that members see, up to 60 characters.")
    sku: str = strawberry.field(description="The product's SKU.")
    stock: int = strawberry.field(description="How many units there are.")
    cycle: gifts.GiftCycle = strawberry.field(
        default=gifts.GiftCycle.EVER, description="In which span a member gets it once."
    )
    price_fen: Fen = strawberry.field(
        default=Fen(gifts.GIFT_PRICE_FEN), description="What a unit costs, by default 100 fen."
    )
    opens_at: datetime | None = strawberry.field(
        default=None, description="From when it can be held; by default now."
    )
    closes_at: datetime | None = strawberry.field(
        default=None, description="From when it can no longer be held; by default never."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never makes two."
    )


@strawberry.type(description="The gift can be held within its hours.")
class CreateGiftOfferSuccess:
    key: strawberry.Private[UUID]

    @field(description="The gift.")
    async def offer(self, info: Info) -> GiftOffer:
        row = await info.context.one(gifts.offers_by_id, self.key)
        if row is None:
            raise LookupError(f"gift offer {self.key}")
        return offer_of(row)


@strawberry.input(description="A gift to keep for the signed-in member.")
class HoldGiftInput:
    offer_id: strawberry.ID = strawberry.field(description="The gift.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's, one a tap: sent again it gets the first answer."
    )


@strawberry.input(description="A held gift that goes with an order.")
class TakeGiftInput:
    hold_id: strawberry.ID = strawberry.field(description="The hold.")
    order_ref: str = strawberry.field(
        description="The shop's number of the order, up to 64 characters."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never takes twice."
    )


@strawberry.input(description="A held gift to let go.")
class ReleaseGiftInput:
    hold_id: strawberry.ID = strawberry.field(description="The hold.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; sent again it gets the first answer."
    )


@strawberry.type(description="A change of a hold.")
class HoldChanged:
    key: strawberry.Private[tuple[UUID, UUID]]

    @field(description="The hold as it is now.")
    async def hold(self, info: Info) -> GiftHold:
        return await hold_by_key(info, *self.key)


@strawberry.type(description="A unit is kept for the member for 24 hours.")
class HoldGiftSuccess(HoldChanged):
    pass


@strawberry.type(description="The gift goes with the order.")
class TakeGiftSuccess(HoldChanged):
    pass


@strawberry.type(description="The gift is let go.")
class ReleaseGiftSuccess(HoldChanged):
    pass


@strawberry.type(description="Mutations of gifts.")
class GiftsMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        CreateGiftOfferSuccess,
        description="Offers so many units of a SKU for one yuan each.",
    )
    async def create_gift_offer(
        self, info: Info, input: CreateGiftOfferInput
    ) -> CreateGiftOfferSuccess:
        staff_id = acting_staff(info)

        async def work(tx: Tx) -> Json:
            made = await gifts.create_offer(
                tx,
                title=input.title,
                sku=input.sku,
                stock=input.stock,
                cycle=input.cycle,
                price_fen=input.price_fen,
                opens_at=input.opens_at,
                closes_at=input.closes_at,
                by=staff_id,
            )
            note_made(subject(gifts.GiftOffer, made.id))
            return {"offer": str(made.id)}

        answer = await answered(info, input, work)
        return CreateGiftOfferSuccess(key=UUID(answer["offer"]))

    @mutation(
        MEMBER,
        HoldGiftSuccess,
        refusals=[
            gifts.GiftNotFound,
            gifts.GiftNotOpen,
            gifts.GiftAlreadyHeld,
            gifts.GiftOutOfStock,
            MemberNotActive,
            MemberNotFound,
        ],
        description="Keeps one unit of a gift for the member for 24 hours, once in its cycle.",
        sensitive=True,
    )
    async def hold_gift(self, info: Info, input: HoldGiftInput) -> HoldGiftSuccess:
        member_id = acting_member(info)
        offer_id = key_of(input.offer_id, "GiftOffer", "offerId")

        async def work(tx: Tx) -> Json:
            made = await gifts.hold_gift(tx, offer_id=offer_id, member_id=member_id)
            return {"hold": str(made.id)}

        answer = await answered(info, input, work)
        return HoldGiftSuccess(key=(member_id, UUID(answer["hold"])))

    @mutation(
        MEMBER,
        TakeGiftSuccess,
        refusals=[gifts.HoldNotFound, gifts.HoldNotUsable, MemberNotActive],
        description="Takes a held gift with an order, beside its basket.",
    )
    async def take_gift(self, info: Info, input: TakeGiftInput) -> TakeGiftSuccess:
        member_id = acting_member(info)
        hold_id = key_of(input.hold_id, "GiftHold", "holdId")

        async def work(tx: Tx) -> Json:
            await gifts.take_gift(
                tx, hold_id=hold_id, member_id=member_id, order_ref=input.order_ref
            )
            return {}

        await answered(info, input, work)
        return TakeGiftSuccess(key=(member_id, hold_id))

    @mutation(
        MEMBER,
        ReleaseGiftSuccess,
        refusals=[gifts.HoldNotFound, gifts.HoldNotUsable],
        description="Lets a held gift go, so that a neighbour may have it.",
    )
    async def release_gift(self, info: Info, input: ReleaseGiftInput) -> ReleaseGiftSuccess:
        member_id = acting_member(info)
        hold_id = key_of(input.hold_id, "GiftHold", "holdId")

        async def work(tx: Tx) -> Json:
            await gifts.release_gift(tx, hold_id=hold_id, member_id=member_id)
            return {}

        await answered(info, input, work)
        return ReleaseGiftSuccess(key=(member_id, hold_id))
