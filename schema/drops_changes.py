"""Making drops, opening them and claiming from them, over GraphQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import strawberry

from app import coupons, drops, segments, tiers
from app.kernel.auth import MemberCaller, Role
from app.kernel.db import Tx
from app.kernel.errors import NotSignedIn
from app.kernel.table import Json
from app.members import CommunityNotFound, MemberNotActive
from app.staff import subject
from schema.acting import acting_staff, answered
from schema.context import Info, note_made
from schema.drops import Drop, DropClaim, drop_by_key, drop_of
from schema.fields import field, mutation
from schema.guard import MEMBER, staff
from schema.nodes import key_of
from schema.segments import SegmentStage


@strawberry.input(description="Early access: some of the stock for members of a tier or above.")
class DropWindowInput:
    tier: str = strawberry.field(description="The lowest tier that may claim, by its code.")
    opens_at: datetime = strawberry.field(
        description="From when on they may claim, before the drop opens for everyone."
    )
    stock: int = strawberry.field(
        description="How many coupons of the drop's stock are set apart for them."
    )


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
    min_tier: str | None = strawberry.field(
        default=None, description="The lowest tier whose members may claim, by its code."
    )
    stages: list[SegmentStage] = strawberry.field(
        default_factory=list[SegmentStage],
        description="Only for members who are in one of these stages when the drop is made; empty "
        "for all.",
    )
    early_access: list[DropWindowInput] | None = strawberry.field(
        default=None,
        description="Windows of early access, at most five; a later one is for a lower tier.",
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


@strawberry.input(description="The early end of an open drop.")
class CloseDropInput:
    drop_id: strawberry.ID = strawberry.field(description="The drop to close now.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; sent again it gets the first answer."
    )


@strawberry.type(description="The drop is closed, and its batch has back what was left.")
class CloseDropSuccess:
    drop_key: strawberry.Private[UUID]

    @field(description="The drop.")
    async def drop(self, info: Info) -> Drop:
        return await drop_by_key(info, self.drop_key)


@strawberry.input(description="The cancellation of a drop.")
class CancelDropInput:
    drop_id: strawberry.ID = strawberry.field(description="The drop to cancel.")
    reason: str = strawberry.field(
        description="Why, up to 200 characters; members whose coupon is taken back read it."
    )
    claims: drops.ClaimsFate = strawberry.field(
        default=drops.ClaimsFate.KEEP, description="What becomes of claimed coupons."
    )
    points: int | None = strawberry.field(
        default=None, description="Points for each member whose coupon is taken back."
    )
    batch_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The active batch, of another template, of which each member whose coupon is "
        "taken back gets one; enough is set aside in it at once.",
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; sent again it gets the first answer."
    )


@strawberry.type(description="The drop is cancelled; claimants are made good in the background.")
class CancelDropSuccess:
    drop_key: strawberry.Private[UUID]

    @field(description="The drop.")
    async def drop(self, info: Info) -> Drop:
        return await drop_by_key(info, self.drop_key)


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


async def _ranks(tx: Tx, input: CreateDropInput) -> dict[str, int]:
    lowest = set[str]() if input.min_tier is None else {input.min_tier}
    return await ranks_of(tx, {one.tier for one in input.early_access or ()} | lowest)


async def ranks_of(tx: Tx, named: set[str]) -> dict[str, int]:
    """The rank of each tier that is named. Raises TierNotFound."""
    found = await tiers.tiers_by_code(tx, named) if named else {}
    if len(found) < len(named):
        raise tiers.TierNotFound()
    return {code: row.rank for code, row in found.items()}


def windows_of(
    early: Sequence[DropWindowInput] | None, ranks: Mapping[str, int]
) -> list[drops.Window]:
    """The windows that an input stands for."""
    return [drops.Window(ranks[one.tier], one.opens_at, one.stock) for one in early or ()]


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
            tiers.TierNotFound,
        ],
        description="Schedules a drop and sets its stock aside in the batch.",
    )
    async def create_drop(self, info: Info, input: CreateDropInput) -> CreateDropSuccess:
        staff_id = acting_staff(info)
        batch_id = key_of(input.batch_id, "CouponBatch", "batchId")
        home = input.community_id
        community_id = None if home is None else key_of(home, "Community", "communityId")

        async def work(tx: Tx) -> Json:
            ranks = await _ranks(tx, input)
            made = await drops.create_drop(
                tx,
                batch_id=batch_id,
                title=input.title,
                opens_at=input.opens_at,
                closes_at=input.closes_at,
                stock=input.stock,
                community_id=community_id,
                guests_only=bool(input.stages),
                min_rank=None if input.min_tier is None else ranks[input.min_tier],
                early=windows_of(input.early_access, ranks),
                by=staff_id,
            )
            if input.stages:
                chosen = segments.members_in_stage(*input.stages)
                await drops.invite_all(tx, drop_id=made.id, chosen=chosen)
            note_made(subject(drops.Drop, made.id))
            return {"drop": str(made.id)}

        answer = await answered(info, input, work)
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
        staff(Role.CAMPAIGN_MANAGER),
        CloseDropSuccess,
        refusals=[drops.DropNotFound, drops.DropNotOpen],
        description="Closes an open drop before its hour; what was claimed stays claimed.",
    )
    async def close_drop(self, info: Info, input: CloseDropInput) -> CloseDropSuccess:
        key = key_of(input.drop_id, "Drop", "dropId")

        async def work(tx: Tx) -> Json:
            return {"drop": str((await drops.close_drop(tx, drop_id=key)).id)}

        await answered(info, input, work, about=subject(drops.Drop, key))
        return CloseDropSuccess(drop_key=key)

    @mutation(
        staff(Role.CAMPAIGN_MANAGER),
        CancelDropSuccess,
        refusals=[
            drops.DropNotFound,
            drops.DropNotCancellable,
            coupons.BatchNotFound,
            coupons.BatchNotActive,
            coupons.BatchTooSmall,
        ],
        description="Cancels a drop that is to come, open or sold out, with a reason. Claimed "
        "coupons stay, or are taken back for points, another coupon, or both.",
    )
    async def cancel_drop(self, info: Info, input: CancelDropInput) -> CancelDropSuccess:
        staff_id = acting_staff(info)
        key = key_of(input.drop_id, "Drop", "dropId")
        other = None if input.batch_id is None else key_of(input.batch_id, "CouponBatch", "batchId")

        async def work(tx: Tx) -> Json:
            await drops.cancel_drop(
                tx,
                drop_id=key,
                reason=input.reason,
                fate=input.claims,
                points_each=input.points,
                batch_id=other,
                by=staff_id,
            )
            return {"drop": str(key)}

        await answered(info, input, work, about=subject(drops.Drop, key))
        return CancelDropSuccess(drop_key=key)

    @mutation(
        MEMBER,
        ClaimDropSuccess,
        refusals=[
            drops.DropNotFound,
            drops.NotOpen,
            drops.AlreadyClaimed,
            drops.SoldOut,
            drops.NotInAudience,
            drops.NotYetYours,
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
