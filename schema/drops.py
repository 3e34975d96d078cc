"""Drops over GraphQL: their countdown, their claims, and their stock as it goes, live."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import coupons, drops
from app.kernel.auth import Anonymous, MemberCaller, Role, StaffCaller
from app.kernel.errors import NotSignedIn
from app.kernel.idempotency import once
from app.kernel.live import Fact
from app.kernel.table import Json
from app.members import CommunityNotFound, MemberNotActive
from schema.context import Info
from schema.coupons import (
    Coupon,
    CouponBatch,
    CouponTemplate,
    batch_by_key,
    coupon_by_key,
    template_by_key,
)
from schema.fields import field, mutation, query, shown, subscription
from schema.guard import MEMBER, SIGNED_IN, STAFF, staff
from schema.live import followed
from schema.nodes import Node, NodeLoader, global_id, key_of
from schema.pacing import paced
from schema.paging import Connection, connect, decode_cursor, encode_cursor, instant, page_size

# At most five pictures a second.
PACE_SECONDS = 0.2

strawberry.enum(drops.DropState, description="Where a drop stands.")


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

    @field(description="What the coupons do.")
    async def template(self, info: Info) -> CouponTemplate:
        batch = await info.context.one(coupons.batches_by_id, self.batch_key)
        if batch is None:
            raise LookupError(f"coupon batch {self.batch_key} of a drop")
        return await template_by_key(info, batch.template_id)

    @field(description="The batch that the stock is set aside from.", allow=STAFF)
    async def batch(self, info: Info) -> CouponBatch:
        return await batch_by_key(info, self.batch_key)

    @field(description="The signed-in member's claim; null if they have none.")
    async def my_claim(self, info: Info) -> DropClaim | None:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            return None
        row = await info.context.one(drops.claims_by_member_and_drop, (caller.id, self.key))
        return None if row is None else claim_of(row)


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
    )


async def drop_by_key(info: Info, key: UUID) -> Drop:
    """The drop of something that refers to it."""
    row = await info.context.one(drops.by_id, key)
    if row is None:
        raise LookupError(f"drop {key}")
    return drop_of(row)


async def load_drop(info: Info, key: UUID) -> Drop | None:
    """A drop, for everyone signed in."""
    if isinstance(info.context.caller, Anonymous):
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
        first: Annotated[int, strawberry.argument(description="How many at most, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor to go on after.")
        ] = None,
        status: Annotated[
            drops.DropState | None, strawberry.argument(description="Only those that stand so.")
        ] = None,
    ) -> Connection[Drop]:
        size = page_size(first)
        position = None if after is None else decode_cursor(after, instant, UUID)
        async with info.context.database.read() as read:
            rows = await drops.page(
                read,
                first=size,
                after=None if position is None else (position[0], position[1]),
                state=status,
            )
        return connect(
            rows,
            first=size,
            after=after,
            node=drop_of,
            cursor=lambda row: encode_cursor(row.opens_at, row.id),
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
        async with info.context.begin() as tx:
            row = await drops.open_drop(tx, drop_id=key_of(input.drop_id, "Drop", "dropId"))
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
            coupons.CouponLimitReached,
            MemberNotActive,
        ],
        description="Claims the member's one coupon of a drop.",
    )
    async def claim_drop(self, info: Info, input: ClaimDropInput) -> ClaimDropSuccess:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            raise NotSignedIn()
        drop_id = key_of(input.drop_id, "Drop", "dropId")
        async with info.context.begin() as tx:

            async def work() -> Json:
                made = await drops.claim(tx, drop_id=drop_id, member_id=caller.id)
                return {"coupon": str(made.coupon_id), "at": made.claimed_at.isoformat()}

            answer = await once(
                tx,
                owner_id=caller.id,
                command="claimDrop",
                key=input.idempotency_key,
                given=shown(input),
                work=work,
            )
        return ClaimDropSuccess(
            drop_key=drop_id,
            claim=DropClaim(
                member_key=caller.id,
                coupon_key=UUID(answer["coupon"]),
                claimed_at=datetime.fromisoformat(answer["at"]),
            ),
        )


@strawberry.type(description="A drop as it looked at a moment.")
class DropUpdate:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    drop: Drop = strawberry.field(description="The drop at that moment.")


def _update(row: drops.Drop, picture: Picture) -> DropUpdate:
    return DropUpdate(
        cursor=encode_cursor(picture.seq, picture.version), drop=drop_of(row, picture)
    )


def _natural(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("not a place in a stream")
    return value


async def _pictures(info: Info, drop_id: UUID, after: int) -> AsyncGenerator[Picture]:
    async with aclosing(followed(info, drops.drop_topic(drop_id), after)) as facts:
        async for fact in facts:
            yield Picture.of_fact(fact)


@strawberry.type(description="Subscriptions of drops.")
class DropsSubscription:
    @subscription(
        SIGNED_IN,
        description=(
            "A drop as it opens, sells and ends: how it looks now at once (unless `after` says "
            "what was seen), then its newest look whenever it changes, at most five times a "
            "second."
        ),
    )
    async def drop_updated(
        self,
        info: Info,
        drop_id: Annotated[strawberry.ID, strawberry.argument(description="The drop.")],
        after: Annotated[
            str | None,
            strawberry.argument(description="The cursor of the last update seen, to miss none."),
        ] = None,
    ) -> AsyncGenerator[DropUpdate]:
        key = key_of(drop_id, "Drop", "dropId")
        seen = None if after is None else decode_cursor(after, _natural, _natural)
        # The cursor first, then the picture: whatever changes in between is in the picture too.
        head = seen[0] if seen is not None else await info.context.live.head()
        row = await info.context.one(drops.by_id, key)
        if row is None:
            raise drops.DropNotFound()
        if seen is None:
            version = row.version
            yield _update(row, Picture.of_row(row, head))
        else:
            version = seen[1]
        changes = paced(
            _pictures(info, key, head), seconds=PACE_SECONDS, merge=lambda a, b: a.merged(b)
        )
        async with aclosing(changes):
            async for picture in changes:
                # A picture already shown, or overtaken by a newer one, is not shown again.
                if picture.version > version:
                    version = picture.version
                    yield _update(row, picture)
