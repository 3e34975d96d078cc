"""Sharing over GraphQL: links with proof, accepting an invitation, what invitations brought."""

from datetime import datetime

import strawberry

from app import drops, points
from app.kernel.db import Tx
from app.kernel.table import Json
from app.members import MemberNotActive, MemberNotFound
from schema.acting import acting_member, answered
from schema.context import Info
from schema.enums import describe
from schema.fields import Wanted, mutation, wanted
from schema.guard import MEMBER
from schema.nodes import MemberPart, global_id, key_of
from schema.scalars import Points

describe(
    points.ShareTarget,
    "What a member shares.",
    PRODUCT="A product, by its SKU.",
    DROP="A drop, by its id.",
    COMMUNITY="The whole neighbourhood shop.",
)
describe(
    points.InvitationState,
    "What became of an invitation.",
    ACCEPTED="The invited has not made an order that counts and has settled.",
    REWARDED="The invited's first order has settled: the inviter has their points.",
    VOID="Inviter and invited turned out to be one person, or the invitation a second one.",
)


@strawberry.type(description="A member's link to something; its code proves who invited.")
class Share:
    code: str = strawberry.field(
        description="What the link carries and newcomers accept the invitation by."
    )
    target_kind: points.ShareTarget = strawberry.field(description="What is shared.")
    target: str | None = strawberry.field(
        description="The SKU or the drop's id; null for the whole shop."
    )
    created_at: datetime = strawberry.field(description="When it was first shared.")


@strawberry.type(description="An invitation that a member has accepted.")
class Invitation:
    state: points.InvitationState = strawberry.field(description="What became of it.")
    accepted_at: datetime = strawberry.field(description="When it was accepted.")


@strawberry.type(description="What a member's invitations have brought.")
class MemberSharing:
    accepted: int = strawberry.field(description="How many neighbours have accepted one.")
    rewarded: int = strawberry.field(description="How many of them have brought points.")
    points: Points = strawberry.field(description="The points that they brought.")
    left_this_month: int = strawberry.field(
        description="How many more may be accepted this month of the neighbourhood."
    )


def _sharing(row: points.Sharing | None) -> MemberSharing:
    if row is None:
        raise LookupError("what invitations brought has nothing for a member")
    return MemberSharing(
        accepted=row.accepted,
        rewarded=row.rewarded,
        points=Points(row.points),
        left_this_month=row.left,
    )


@strawberry.type(description="A member's share of inviting others.")
class SharingOfMember(MemberPart):
    @wanted(description="What the member's invitations have brought.")
    def sharing(self, info: Info) -> Wanted[MemberSharing]:
        return Wanted(points.sharing_by_member, self.key, _sharing)


@strawberry.input(description="Something that the signed-in member wants to share.")
class ShareInput:
    target_kind: points.ShareTarget = strawberry.field(description="What is shared.")
    target: str | None = strawberry.field(
        default=None,
        description="The SKU or the drop's id, up to 100 characters; left out for the whole shop.",
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The link is made, or was there already.")
class ShareSuccess:
    share: Share = strawberry.field(description="The link.")


@strawberry.input(description="The code of a link by which the signed-in member has come.")
class AcceptInvitationInput:
    code: str = strawberry.field(description="The code, in letters of either case.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key gets the first answer again."
    )


@strawberry.type(description="The invitation is accepted.")
class AcceptInvitationSuccess:
    invitation: Invitation = strawberry.field(description="The invitation.")


REFUSALS = [
    points.ShareNotFound,
    points.OwnInvitation,
    points.AlreadyInvited,
    points.NotANewcomer,
    points.InvitationRing,
    points.TooManyInvitations,
    MemberNotActive,
    MemberNotFound,
]


async def _drop(tx: Tx, target: str | None) -> str:
    """The id of the drop that is shared. Raises DropNotFound unless there is one."""
    key = key_of(strawberry.ID(target or ""), "Drop", "target")
    if key not in await drops.by_id(tx, [key]):
        raise drops.DropNotFound()
    return global_id("Drop", key)


@strawberry.type(description="Mutations of sharing.")
class SharingMutation:
    @mutation(
        MEMBER,
        ShareSuccess,
        refusals=[drops.DropNotFound, MemberNotActive, MemberNotFound],
        description="Makes the member's link to a product, a drop or the shop; one a target.",
    )
    async def share(self, info: Info, input: ShareInput) -> ShareSuccess:
        member_id = acting_member(info)

        async def work(tx: Tx) -> Json:
            target = input.target
            if input.target_kind is points.ShareTarget.DROP:
                target = await _drop(tx, target)
            row = await points.share(
                tx, member_id=member_id, target_kind=input.target_kind, target=target
            )
            return {
                "code": row.code,
                "kind": row.target_kind.value,
                "target": row.target,
                "at": row.created_at.isoformat(),
            }

        done = await answered(info, input, work)
        return ShareSuccess(
            share=Share(
                code=done["code"],
                target_kind=points.ShareTarget(done["kind"]),
                target=done["target"] or None,
                created_at=datetime.fromisoformat(done["at"]),
            )
        )

    @mutation(
        MEMBER,
        AcceptInvitationSuccess,
        refusals=REFUSALS,
        description="Binds a newcomer to whoever invited them, for good. Call it after the first "
        "sign-in with the code that the link carried.",
        sensitive=True,
    )
    async def accept_invitation(
        self, info: Info, input: AcceptInvitationInput
    ) -> AcceptInvitationSuccess:
        member_id = acting_member(info)

        async def work(tx: Tx) -> Json:
            row = await points.accept_invitation(tx, member_id=member_id, code=input.code)
            return {"state": row.state.value, "at": row.accepted_at.isoformat()}

        # Logs never show the code, but another code is another request.
        done = await answered(info, input, work, given={"code": input.code})
        return AcceptInvitationSuccess(
            invitation=Invitation(
                state=points.InvitationState(done["state"]),
                accepted_at=datetime.fromisoformat(done["at"]),
            )
        )
