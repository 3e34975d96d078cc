"""Making packs, opening and closing them, and claiming one, over GraphQL."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import strawberry
from sqlalchemy import select

from app import coupons, gifts
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from app.segments import SilenceEpisode
from app.staff import subject
from schema.acting import acting_member, acting_staff, answered
from schema.context import Info, note_made
from schema.fields import field, mutation
from schema.guard import MEMBER, staff
from schema.nodes import key_of
from schema.packs import Pack, PackClaim, claim_of, pack_by_key
from schema.scalars import Points


@strawberry.input(description="One thing of a new pack: name one of batch, points and gift.")
class PackItemInput:
    unlock: gifts.Unlock = strawberry.field(
        default=gifts.Unlock.AT_ONCE, description="When it is given."
    )
    day: int | None = strawberry.field(
        default=None, description="For DAY_N: the business day, 2 to 365."
    )
    batch_id: strawberry.ID | None = strawberry.field(
        default=None, description="The batch that a coupon is given of."
    )
    points: Points | None = strawberry.field(default=None, description="Points, up to a million.")
    offer_id: strawberry.ID | None = strawberry.field(
        default=None, description="The one-yuan gift that a unit is kept of."
    )

    def draft(self) -> gifts.ItemDraft:
        """The draft that the input stands for."""
        batch, offer = self.batch_id, self.offer_id
        return gifts.ItemDraft(
            unlock=self.unlock,
            day=self.day,
            batch_id=None if batch is None else key_of(batch, "CouponBatch", "batchId"),
            points=self.points,
            offer_id=None if offer is None else key_of(offer, "GiftOffer", "offerId"),
        )


@strawberry.input(description="A new pack.")
class CreatePackInput:
    title: str = strawberry.field(description="The title that members see, up to 60 characters.")
    stock: int = strawberry.field(description="How many of them there are.")
    once: gifts.PackOnce = strawberry.field(
        default=gifts.PackOnce.PER_EPISODE, description="How often one member may claim it."
    )
    items: list[PackItemInput] = strawberry.field(description="What it holds, 1 to 20 things.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never makes two."
    )


@strawberry.input(description="A pack to give out from now on.")
class OpenPackInput:
    pack_id: strawberry.ID = strawberry.field(description="The pack.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; sent again it gets the first answer."
    )


@strawberry.input(description="A pack to give out no more.")
class ClosePackInput:
    pack_id: strawberry.ID = strawberry.field(description="The pack.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; sent again it gets the first answer."
    )


@strawberry.input(description="A pack to claim.")
class ClaimPackInput:
    pack_id: strawberry.ID = strawberry.field(description="The pack.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's, one a tap: sent again it gets the first answer."
    )


@strawberry.type(description="A change of a pack.")
class PackChanged:
    key: strawberry.Private[UUID]

    @field(description="The pack as it is now.")
    async def pack(self, info: Info) -> Pack:
        return await pack_by_key(info, self.key)


@strawberry.type(description="The pack is drafted.")
class CreatePackSuccess(PackChanged):
    pass


@strawberry.type(description="The pack is given out, and all of it is set aside.")
class OpenPackSuccess(PackChanged):
    pass


@strawberry.type(description="The pack is given out no more, and what nobody claimed is free.")
class ClosePackSuccess(PackChanged):
    pass


@strawberry.type(description="The member has the pack: what is due at once is given.")
class ClaimPackSuccess:
    key: strawberry.Private[tuple[UUID, UUID]]

    @field(description="The claim with its parts.")
    async def claim(self, info: Info) -> PackClaim:
        row = await info.context.one(gifts.claims_by_member_and_id, self.key)
        if row is None:
            raise LookupError(f"pack claim {self.key}")
        return claim_of(row)


async def _open_silence(tx: Tx, member_id: UUID) -> UUID | None:
    """The silence that the member is in, if they are in one."""
    return await tx.session.scalar(
        select(SilenceEpisode.id).where(
            SilenceEpisode.member_id == member_id, SilenceEpisode.woken_at.is_(None)
        )
    )


async def _move(
    info: Info,
    input: OpenPackInput | ClosePackInput,
    change: Callable[..., Awaitable[gifts.Pack]],
) -> UUID:
    pack_id = key_of(input.pack_id, "Pack", "packId")

    async def work(tx: Tx) -> Json:
        await change(tx, pack_id=pack_id)
        return {}

    await answered(info, input, work, about=subject(gifts.Pack, pack_id))
    return pack_id


@strawberry.type(description="Mutations of packs.")
class PacksMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        CreatePackSuccess,
        refusals=[coupons.BatchNotFound, gifts.GiftNotFound],
        description="Drafts a pack of coupons, points and gifts.",
    )
    async def create_pack(self, info: Info, input: CreatePackInput) -> CreatePackSuccess:
        staff_id = acting_staff(info)

        async def work(tx: Tx) -> Json:
            made = await gifts.create_pack(
                tx,
                title=input.title,
                stock=input.stock,
                once=input.once,
                items=[item.draft() for item in input.items],
                by=staff_id,
            )
            note_made(subject(gifts.Pack, made.id))
            return {"pack": str(made.id)}

        answer = await answered(info, input, work)
        return CreatePackSuccess(key=UUID(answer["pack"]))

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        OpenPackSuccess,
        refusals=[
            gifts.PackNotFound,
            gifts.PackMoveNotAllowed,
            gifts.GiftOutOfStock,
            coupons.BatchNotActive,
            coupons.BatchTooSmall,
        ],
        description="Gives a drafted pack out; coupons and gifts for all of them are set aside.",
    )
    async def open_pack(self, info: Info, input: OpenPackInput) -> OpenPackSuccess:
        return OpenPackSuccess(key=await _move(info, input, gifts.open_pack))

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        ClosePackSuccess,
        refusals=[gifts.PackNotFound, gifts.PackMoveNotAllowed],
        description="Gives a pack out no more; what nobody claimed goes back.",
    )
    async def close_pack(self, info: Info, input: ClosePackInput) -> ClosePackSuccess:
        return ClosePackSuccess(key=await _move(info, input, gifts.close_pack))

    @mutation(
        MEMBER,
        ClaimPackSuccess,
        refusals=[
            gifts.PackNotFound,
            gifts.PackNotOpen,
            gifts.PackAlreadyClaimed,
            gifts.PackForReturning,
            gifts.PackSoldOut,
            coupons.CouponLimitReached,
            MemberNotActive,
            MemberNotFound,
        ],
        description="Claims a pack, whole or not at all.",
        sensitive=True,
    )
    async def claim_pack(self, info: Info, input: ClaimPackInput) -> ClaimPackSuccess:
        member_id = acting_member(info)
        pack_id = key_of(input.pack_id, "Pack", "packId")

        async def work(tx: Tx) -> Json:
            made = await gifts.claim_pack(
                tx,
                pack_id=pack_id,
                member_id=member_id,
                episode_id=await _open_silence(tx, member_id),
            )
            return {"claim": str(made.id)}

        answer = await answered(info, input, work)
        return ClaimPackSuccess(key=(member_id, UUID(answer["claim"])))
