"""Members, their communities, and what happens to them, live."""

from collections.abc import AsyncIterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import members
from app.kernel.auth import MemberCaller, Role
from app.kernel.errors import NotAllowed, NotSignedIn
from app.kernel.live import Fact
from app.staff import Subject
from schema.benefits import BenefitsOfMember
from schema.churn import ChurnOfMember
from schema.context import Ctx, Info
from schema.coupons import CouponsOfMember
from schema.eco import EcoOfMember
from schema.enums import describe
from schema.fields import Known, Wanted, field, loaded, mutation, query, subscription
from schema.gifts import GiftsOfMember
from schema.guard import MEMBER, SIGNED_IN, STAFF, bound_to, sees_member, staff
from schema.live import live_cursor, resumed
from schema.nodes import Node, NodeLoader, global_id, key_of, read_id
from schema.occasions import BirthdayOfMember
from schema.packs import PacksOfMember
from schema.paging import BY_INSTANT, After, Connection, First
from schema.playbooks_alerts import MessagesOfMember
from schema.points import PointsOfMember
from schema.segments import SegmentsOfMember
from schema.sharing import SharingOfMember
from schema.streams import FactStream
from schema.tiers import TierOfMember

describe(
    members.MemberStatus,
    "Whether a member takes part.",
    ACTIVE="Takes part.",
    FROZEN="Held by staff: may look, may not act.",
    CLOSED="Closed by the member or by staff.",
)


@strawberry.type(description="A neighbourhood (小区), in whose time zone its business days run.")
class Community(Node):
    name: str = strawberry.field(description="The neighbourhood's name.")
    time_zone: str = strawberry.field(description="The IANA name of its time zone.")


def community_of(row: members.Community) -> Community:
    """The GraphQL value of a community."""
    return Community(id=global_id("Community", row.id), name=row.name, time_zone=row.time_zone)


def _closes_at(row: members.Closure) -> datetime:
    return row.erase_at


@strawberry.type(description="A person, however many apps and cards they come by.")
class Member(
    TierOfMember,
    BenefitsOfMember,
    PointsOfMember,
    SharingOfMember,
    CouponsOfMember,
    PacksOfMember,
    GiftsOfMember,
    BirthdayOfMember,
    SegmentsOfMember,
    EcoOfMember,
    ChurnOfMember,
    MessagesOfMember,
    Node,
):
    community_key: strawberry.Private[UUID]
    nickname: str = strawberry.field(description="The name that neighbours see.")
    avatar_url: str | None = strawberry.field(description="The address of the member's picture.")
    status: members.MemberStatus = strawberry.field(description="Whether the member takes part.")
    locale: str = strawberry.field(description="The language the member reads: zh-CN or en.")
    registered_at: datetime = strawberry.field(description="When the member joined.")

    closing_at: datetime | None = loaded(
        members.closing_by_member,
        key=lambda member: member.key,
        make=_closes_at,
        nullable=True,
        description="When the account will be closed for good, as its member asked; until then "
        "keepMyAccount undoes it.",
    )

    @field(description="The member's neighbourhood.")
    async def community(self, info: Info) -> Community:
        row = await info.context.one(members.communities_by_id, self.community_key)
        if row is None:
            raise LookupError(f"community {self.community_key} of a member")
        return community_of(row)


def member_of(row: members.Member) -> Member:
    """The GraphQL value of a member."""
    return Member(
        id=global_id("Member", row.id),
        key=row.id,
        community_key=row.community_id,
        nickname=row.nickname,
        avatar_url=row.avatar_url,
        status=row.status,
        locale=row.locale,
        registered_at=row.registered_at,
    )


def _member_or_none(row: members.Member | None) -> Member | None:
    return None if row is None else member_of(row)


async def load_member(info: Info, key: UUID) -> Member | None:
    """A member, for themselves, staff and their leader; None for everyone else."""
    row = await visible_member(info, key)
    return None if row is None else member_of(row)


async def visible_member(info: Info, key: UUID) -> members.Member | None:
    """The row of a member whom the caller may see."""
    caller = info.context.caller
    if isinstance(caller, MemberCaller) and caller.id != key:
        return None
    row = await info.context.one(members.by_id, key)
    if row is not None and row.merged_into is not None:
        # Old ids stand in letters and exports: they lead to who the member is now.
        row = await info.context.one(members.by_id, row.merged_into)
    return row if row is not None and sees_member(caller, row.id, row.community_id) else None


async def load_community(info: Info, key: UUID) -> Community | None:
    """A community, for everyone signed in."""
    if not SIGNED_IN.test(info.context.caller):
        return None
    row = await info.context.one(members.communities_by_id, key)
    return None if row is None else community_of(row)


NODES: dict[str, NodeLoader] = {"Member": load_member, "Community": load_community}


@strawberry.type(description="Queries of members.")
class MemberQuery:
    @query(
        SIGNED_IN,
        description="The signed-in member; null for staff.",
        remembered=True,
    )
    def me(self, info: Info) -> Wanted[Member | None] | None:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            return None
        return Wanted(members.by_id, caller.id, _member_or_none, ahead=Known(key=caller.id))

    @query(
        SIGNED_IN,
        description="A member by id: oneself, anyone for staff, one's community's for leaders.",
        remembered=True,
    )
    async def member(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The member's id.")],
    ) -> Member | None:
        return await load_member(info, key_of(id, "Member"))

    @query(STAFF, description="Members, newest first; a leader sees their community's.")
    async def members(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        search: Annotated[
            str | None, strawberry.argument(description="The beginning of a nickname.")
        ] = None,
        community_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only members of this one.")
        ] = None,
    ) -> Connection[Member]:
        asked = BY_INSTANT.asked(first, after)
        community = None if community_id is None else key_of(community_id, "Community")
        bound = bound_to(info.context.caller)
        if bound is not None:
            if community not in (None, bound):
                raise NotAllowed()
            community = bound
        async with info.context.read() as read:
            rows = await members.page(
                read,
                after=asked.position,
                first=asked.size,
                search=search,
                community_id=community,
            )
        return asked.page(rows, node=member_of, key=lambda row: (row.registered_at, row.id))


@strawberry.type(description="Something that happened to the signed-in member.")
class MemberUpdate:
    member_key: strawberry.Private[UUID]
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    kind: str = strawberry.field(
        description="What happened, such as tier.changed, coupon.granted or points.changed."
    )
    facts: strawberry.scalars.JSON = strawberry.field(
        description="What the client needs to show it: ids and numbers by name."
    )

    @field(description="The member as they are now.")
    async def member(self, info: Info) -> Member:
        row = await info.context.one(members.by_id, self.member_key)
        if row is None:
            raise LookupError(f"member {self.member_key} of an update")
        return member_of(row)


async def _update(ctx: Ctx, fact: Fact) -> MemberUpdate | None:
    caller = ctx.caller
    if not isinstance(caller, MemberCaller):
        return None
    return MemberUpdate(
        member_key=caller.id,
        cursor=live_cursor(fact.seq),
        kind=fact.kind,
        facts=strawberry.scalars.JSON(fact.payload),
    )


@strawberry.type(description="Subscriptions of members.")
class MemberSubscription:
    @subscription(MEMBER, description="Everything that happens to the signed-in member.")
    async def my_updates(
        self,
        info: Info,
        after: Annotated[
            str | None,
            strawberry.argument(description="The cursor of the last update seen, to miss none."),
        ] = None,
    ) -> AsyncIterable[MemberUpdate]:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller):
            raise NotSignedIn()
        return FactStream[MemberUpdate](
            ctx=info.context,
            topic=members.member_topic(caller.id),
            shared=False,
            event=_update,
            after=await resumed(info.context, after),
        )


async def load_node(info: Info, id: str, nodes: dict[str, NodeLoader]) -> Node | None:
    """Whatever an opaque id names, under that kind's own access rule."""
    kind, key = read_id(id)
    loader = nodes.get(kind)
    return None if loader is None else await loader(info, key)


@strawberry.input(description="A phone for a member who came by a store card or an import.")
class LinkPhoneInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    phone: str = strawberry.field(description="A mainland mobile number, or any in E.164 form.")


@strawberry.type(description="The member may sign in by the phone.")
class LinkPhoneSuccess:
    member: Member = strawberry.field(description="The member.")


@strawberry.type(description="Mutations of members.")
class MemberMutation:
    @mutation(
        staff(Role.SUPPORT),
        LinkPhoneSuccess,
        refusals=[members.BadPhoneNumber, members.MemberNotFound, members.IdentityTaken],
        description="Lets a member who came by a store card sign in by phone, once support has "
        "made sure that both are one person's.",
    )
    async def link_phone(self, info: Info, input: LinkPhoneInput) -> LinkPhoneSuccess:
        key = key_of(input.member_id, "Member", "memberId")
        kind, number = members.IdentityKind.PHONE, members.normal_phone(input.phone) or ""
        blind = info.context.vault.blind(kind, number)
        phone = {"member_id": key, "kind": kind, "blind": blind}
        async with info.context.begin(about=Subject(members.Identity, phone)) as tx:
            row = await members.link_phone(
                tx, vault=info.context.vault, member_id=key, phone=input.phone
            )
        return LinkPhoneSuccess(member=member_of(row))
