"""Making drops, opening them and claiming from them, over GraphQL."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import coupons, drops
from app.kernel.auth import MemberCaller, Role, StaffCaller
from app.kernel.errors import NotSignedIn
from app.kernel.idempotency import once
from app.kernel.table import Json
from app.members import CommunityNotFound, MemberNotActive
from app.staff import subject
from schema.context import Info, note_made
from schema.drops import Drop, DropClaim, drop_by_key, drop_of
from schema.fields import field, mutation, shown
from schema.guard import MEMBER, staff
from schema.nodes import key_of


@strawberry.input(description="A new drop.")
class CreateDropInput:
    batch_id: strawberry.ID = strawberry.field(
        description="The active batch whose coupons are claimed; the stock is set aside in it."
    )
    title: str = strawberry.field(description="The title that members see, up to 60 characters.")
    opens_at: datetime = strawberry.field(description="When claims begin.")
    closes_at: datetime = strawberry.field(description="When claims end.")
    stock: int = strawberry.field(description="How many coupons there are to claim.")
    community_id: strawberry.ID | None = strawberry.field(
        default=None, description="The neighbourhood whose members may claim; null for all."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key never makes two."
    )


@strawberry.type(description="The drop is scheduled.")
class CreateDropSuccess:
    drop_key: strawberry.Private[UUID]

    @field(description="The drop.")
    async def drop(self, info: Info) -> Drop:
        return await drop_by_key(info, self.drop_key)


@strawberry.input(description="The opening of a drop.")
class OpenDropInput:
    drop_id: strawberry.ID = strawberry.field(description="The drop to open now.")


@strawberry.type(description="The drop is open.")
class OpenDropSuccess:
    drop: Drop = strawberry.field(description="The drop.")


@strawberry.input(description="A claim.")
class ClaimDropInput:
    drop_id: strawberry.ID = strawberry.field(description="The drop to claim from.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's, one a tap: sent again it gets the first answer."
    )


@strawberry.type(description="The member has their coupon, and keeps it whatever happens now.")
class ClaimDropSuccess:
    drop_key: strawberry.Private[UUID]
    claim: DropClaim = strawberry.field(description="The claim with its coupon.")

    @field(description="The drop after the claim.")
    async def drop(self, info: Info) -> Drop:
        return await drop_by_key(info, self.drop_key)


@strawberry.type(description="Mutations of drops.")
class DropsMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        CreateDropSuccess,
        refusals=[
            coupons.BatchNotFound,
            coupons.BatchNotActive,
            coupons.BatchTooSmall,
            CommunityNotFound,
        ],
        description="Schedules a drop and sets its stock aside in the batch.",
    )
    async def create_drop(self, info: Info, input: CreateDropInput) -> CreateDropSuccess:
        caller = info.context.caller
        if not isinstance(caller, StaffCaller):
            raise NotSignedIn()
        batch_id = key_of(input.batch_id, "CouponBatch", "batchId")
        home = input.community_id
        community_id = None if home is None else key_of(home, "Community", "communityId")
        async with info.context.begin() as tx:

            async def work() -> Json:
                made = await drops.create_drop(
                    tx,
                    batch_id=batch_id,
                    title=input.title,
                    opens_at=input.opens_at,
                    closes_at=input.closes_at,
                    stock=input.stock,
                    community_id=community_id,
                    by=caller.id,
                )
                note_made(subject(drops.Drop, made.id))
                return {"drop": str(made.id)}

            answer = await once(
                tx,
                owner_id=caller.id,
                command="createDrop",
                key=input.idempotency_key,
                given=shown(input),
                work=work,
            )
        return CreateDropSuccess(drop_key=UUID(answer["drop"]))

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        OpenDropSuccess,
        refusals=[drops.DropNotFound, drops.DropNotScheduled],
        description="Opens a scheduled drop now, before its hour if need be.",
    )
    async def open_drop(self, info: Info, input: OpenDropInput) -> OpenDropSuccess:
        key = key_of(input.drop_id, "Drop", "dropId")
        async with info.context.begin(about=subject(drops.Drop, key)) as tx:
            row = await drops.open_drop(tx, drop_id=key)
        return OpenDropSuccess(drop=drop_of(row))

    @mutation(
        MEMBER,
        ClaimDropSuccess,
        refusals=[
            drops.DropNotFound,
            drops.NotOpen,
            drops.AlreadyClaimed,
            drops.SoldOut,
            drops.NotInAudience,
            drops.TooManyClaims,
            coupons.CouponLimitReached,
            MemberNotActive,
        ],
        description="Claims the member's one coupon of a drop.",
        sensitive=True,
    )
    async def claim_drop(self, info: Info, input: ClaimDropInput) -> ClaimDropSuccess:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            raise NotSignedIn()
        drop_id = key_of(input.drop_id, "Drop", "dropId")
        key = input.idempotency_key
        made = await info.context.resources.claims.claim(
            drop_id=drop_id,
            member_id=caller.id,
            key=key,
            # What `shown(input)` answers, for less: keys outlive releases, and so must this.
            given={"drop_id": input.drop_id, "idempotency_key": key},
        )
        return ClaimDropSuccess(
            drop_key=drop_id,
            claim=DropClaim(
                member_key=caller.id, coupon_key=made.coupon_id, claimed_at=made.claimed_at
            ),
        )
