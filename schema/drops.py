"""Drops over GraphQL: their countdown, their stock, and a member's own claim."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import coupons, drops, members
from app.kernel.auth import MemberCaller
from app.kernel.live import Fact
from schema.context import Info
from schema.coupons import (
    Coupon,
    CouponBatch,
    CouponTemplate,
    batch_by_key,
    coupon_by_key,
    template_by_key,
)
from schema.enums import describe
from schema.fields import field, query
from schema.guard import OFFICE, SIGNED_IN
from schema.nodes import Node, NodeLoader, global_id, key_of
from schema.paging import BY_INSTANT, After, Connection, First

describe(
    drops.DropState,
    "Where a drop stands.",
    SCHEDULED="Its hour is to come.",
    OPEN="Claims are accepted.",
    SOLD_OUT="Everything has been claimed.",
    CLOSED="Its hour is over and some was left.",
    CANCELLED="Staff ended it; what was claimed stays claimed.",
)


describe(
    drops.ClaimsFate,
    "What becomes of the coupons that were claimed before a drop was cancelled.",
    name="DropClaimsFate",
    KEEP="They stay with their members.",
    REVOKE="Unused ones are taken back, and their members get something for them.",
)


@strawberry.type(description="Early access: some of the stock for members of a tier or above.")
class DropWindow:
    rank: int = strawberry.field(description="The lowest tier that may claim, by its rank.")
    opens_at: datetime = strawberry.field(description="From when on they may claim.")
    stock: int = strawberry.field(
        description="How many coupons are set apart; what is left goes to the next window, and in "
        "the end to everyone."
    )


@strawberry.type(description="Why a drop was cancelled, and how far its claimants are made good.")
class DropCancellation:
    reason: str = strawberry.field(description="Why, in the words of staff.")
    claims: drops.ClaimsFate = strawberry.field(description="What becomes of claimed coupons.")
    points: int | None = strawberry.field(
        description="Points that a member gets for a coupon that is taken back."
    )
    revoked: int = strawberry.field(description="How many coupons have been taken back so far.")
    cancelled_at: datetime = strawberry.field(description="When staff cancelled it.")
    done_at: datetime | None = strawberry.field(
        description="When every claimant had been seen to; null while that goes on."
    )


def cancellation_of(row: drops.Cancellation) -> DropCancellation:
    """The GraphQL value of a cancellation."""
    return DropCancellation(
        reason=row.reason,
        claims=row.fate,
        points=row.points,
        revoked=row.revoked,
        cancelled_at=row.at,
        done_at=row.done_at,
    )


@strawberry.type(description="A member's one claim in a drop.")
class DropClaim:
    member_key: strawberry.Private[UUID]
    coupon_key: strawberry.Private[UUID]
    claimed_at: datetime = strawberry.field(description="When it was claimed.")

    @field(description="The coupon that it gave.")
    async def coupon(self, info: Info) -> Coupon:
        return await coupon_by_key(info, self.member_key, self.coupon_key)


def claim_of(row: drops.Claim) -> DropClaim:
    """The GraphQL value of a claim."""
    return DropClaim(member_key=row.member_id, coupon_key=row.coupon_id, claimed_at=row.claimed_at)


@strawberry.type(description="A stock of coupons, claimed first come, first served (秒杀).")
class Drop(Node):
    key: strawberry.Private[UUID]
    batch_key: strawberry.Private[UUID]
    title: str = strawberry.field(description="The title that members see.")
    state: drops.DropState = strawberry.field(description="Where the drop stands.")
    opens_at: datetime = strawberry.field(
        description="When claims begin; count down against serverInfo's time."
    )
    closes_at: datetime = strawberry.field(description="When claims end.")
    stock: int = strawberry.field(description="How many coupons there are to claim.")
    remaining: int = strawberry.field(description="How many are left.")
    community_id: strawberry.ID | None = strawberry.field(
        description="The neighbourhood whose members may claim; null for all."
    )
    min_rank: int | None = strawberry.field(
        description="The lowest tier whose members may claim, by its rank; null for all."
    )
    guests_only: bool = strawberry.field(
        description="Whether it is only for members who were chosen when it was made."
    )

    @field(description="Windows of early access, the first to begin first.", shared=True)
    async def early_access(self, info: Info) -> list[DropWindow]:
        windows = await info.context.one(drops.windows_by_drop, self.key)
        return [
            DropWindow(rank=one.rank, opens_at=one.opens_at, stock=one.stock)
            for one in windows or ()
        ]

    @field(
        description="When the signed-in member can begin to claim, early access included; null for "
        "those whom the drop is not for."
    )
    async def my_opens_at(self, info: Info) -> datetime | None:
        caller = info.context.caller
        row = await info.context.one(drops.by_id, self.key)
        if not isinstance(caller, MemberCaller) or row is None:
            return None
        return await _opens_for(info, row, caller.id)

    @field(description="Why and how staff cancelled it; null if they did not.", allow=OFFICE)
    async def cancellation(self, info: Info) -> DropCancellation | None:
        row = await info.context.one(drops.cancellations_by_drop, self.key)
        return None if row is None else cancellation_of(row)

    @field(description="What the coupons do.", shared=True)
    async def template(self, info: Info) -> CouponTemplate:
        batch = await info.context.one(coupons.batches_by_id, self.batch_key)
        if batch is None:
            raise LookupError(f"coupon batch {self.batch_key} of a drop")
        return await template_by_key(info, batch.template_id)

    @field(description="The batch that the stock is set aside from.", allow=OFFICE)
    async def batch(self, info: Info) -> CouponBatch:
        return await batch_by_key(info, self.batch_key)

    @field(description="The signed-in member's claim; null if they have none.")
    async def my_claim(self, info: Info) -> DropClaim | None:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            return None
        row = await info.context.one(drops.claims_by_member_and_drop, (caller.id, self.key))
        return None if row is None else claim_of(row)


async def _opens_for(info: Info, row: drops.Drop, member_id: UUID) -> datetime | None:
    member = await info.context.one(members.by_id, member_id)
    rank = await info.context.one(drops.ranks_by_member, member_id)
    if member is None or rank is None:
        return None
    if row.community_id not in (None, member.community_id) or rank < (row.min_rank or rank):
        return None
    if row.guests_only and not await info.context.one(drops.guests_of, (member_id, row.id)):
        return None
    windows = await info.context.one(drops.windows_by_drop, row.id)
    return drops.opens_for(row.opens_at, windows or (), rank)


@dataclass(frozen=True, slots=True)
class Picture:
    """How a drop looked at one of its versions, and the live cursor it was seen at."""

    seq: int
    version: int
    state: drops.DropState
    remaining: int
    opens_at: datetime
    closes_at: datetime

    @classmethod
    def of_row(cls, row: drops.Drop, seq: int) -> "Picture":
        """The picture that the table shows."""
        return cls(seq, row.version, row.state, row.remaining, row.opens_at, row.closes_at)

    @classmethod
    def of_fact(cls, fact: Fact) -> "Picture":
        """The picture that a live fact carries."""
        given = fact.payload
        return cls(
            seq=fact.seq,
            version=given["version"],
            state=drops.DropState(given["state"]),
            remaining=given["remaining"],
            opens_at=datetime.fromisoformat(given["opens_at"]),
            closes_at=datetime.fromisoformat(given["closes_at"]),
        )

    def merged(self, later: "Picture") -> "Picture":
        """The newer of two pictures at the later cursor: facts may arrive out of order."""
        newer = later if later.version > self.version else self
        return Picture(
            max(self.seq, later.seq),
            newer.version,
            newer.state,
            newer.remaining,
            newer.opens_at,
            newer.closes_at,
        )


def drop_of(row: drops.Drop, picture: Picture | None = None) -> Drop:
    """The GraphQL value of a drop, as it looks in a picture or else in its row."""
    seen = picture or Picture.of_row(row, 0)
    return Drop(
        id=global_id("Drop", row.id),
        key=row.id,
        batch_key=row.batch_id,
        title=row.title,
        state=seen.state,
        opens_at=seen.opens_at,
        closes_at=seen.closes_at,
        stock=row.stock,
        remaining=seen.remaining,
        community_id=None if row.community_id is None else global_id("Community", row.community_id),
        min_rank=row.min_rank,
        guests_only=row.guests_only,
    )


async def drop_by_key(info: Info, key: UUID) -> Drop:
    """The drop of something that refers to it."""
    row = await info.context.one(drops.by_id, key)
    if row is None:
        raise LookupError(f"drop {key}")
    return drop_of(row)


async def load_drop(info: Info, key: UUID) -> Drop | None:
    """A drop, for everyone signed in."""
    if not SIGNED_IN.test(info.context.caller):
        return None
    row = await info.context.one(drops.by_id, key)
    return None if row is None else drop_of(row)


NODES: dict[str, NodeLoader] = {"Drop": load_drop}


@strawberry.type(description="Queries of drops.")
class DropsQuery:
    @query(SIGNED_IN, description="A drop by id.")
    async def drop(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The drop's id.")],
    ) -> Drop | None:
        return await load_drop(info, key_of(id, "Drop"))

    @query(SIGNED_IN, description="Drops, the last to open first.")
    async def drops(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        status: Annotated[
            drops.DropState | None, strawberry.argument(description="Only those that stand so.")
        ] = None,
    ) -> Connection[Drop]:
        asked = BY_INSTANT.asked(first, after)
        async with info.context.read() as read:
            rows = await drops.page(
                read,
                first=asked.size,
                after=asked.position,
                state=status,
            )
        return asked.page(rows, node=drop_of, key=lambda row: (row.opens_at, row.id))
