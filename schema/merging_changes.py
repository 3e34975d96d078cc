"""Two members who are one person: connected by proof, merged by themselves or by support."""

from datetime import datetime
from uuid import UUID

import orjson
import strawberry

from app import members, merging
from app.kernel.auth import Role
from app.kernel.crypto import Unreadable
from app.kernel.db import Tx
from app.kernel.errors import TooManyAttempts
from app.kernel.idempotency import check_key, digest_of
from app.kernel.table import Json
from app.staff import subject
from app.wechat import WeChatRefused, WeChatUnavailable
from schema.acting import acting_member, acting_staff, answered
from schema.context import Info, note_made
from schema.fields import mutation
from schema.guard import MEMBER, staff
from schema.members import Member, member_of
from schema.merging import MergeFigure, moves_of
from schema.nodes import key_of
from schema.proofs import Proof, prove_phone, prove_wechat, proved

_OFFER = "merge_offer"
_PAIR_REFUSALS = (
    members.SameMember,
    members.MemberNotFound,
    members.AlreadyMerged,
    members.MemberClosed,
    merging.MergeBusy,
)


@strawberry.input(description="Two members who are one person.")
class MergeMembersInput:
    survivor_id: strawberry.ID = strawberry.field(description="The member who goes on.")
    merged_id: strawberry.ID = strawberry.field(
        description="The member who ends; everything of theirs becomes the survivor's."
    )
    reason: str = strawberry.field(
        description="How you know that they are one person, up to 200 characters."
    )
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key merges once."
    )


@strawberry.type(description="The two members are one.")
class MergeMembersSuccess:
    member: Member = strawberry.field(description="The member who goes on.")
    moves: list[MergeFigure] = strawberry.field(description="What moved.")


@strawberry.type(
    description="That what was proved belongs to another account, which can be made one with this."
)
class MergeOffer:
    token: str = strawberry.field(description="Give it to mergeMyAccounts to say yes.")
    ends_at: datetime = strawberry.field(description="How long the offer stands.")
    nickname: str = strawberry.field(description="The other account's name.")
    registered_at: datetime = strawberry.field(description="When the other account was made.")


@strawberry.input(description="A phone that the signed-in member wants to sign in by as well.")
class ConnectPhoneInput:
    phone: str = strawberry.field(description="The phone that the code was sent to.")
    code: str = strawberry.field(description="The six digits of requestPhoneCode.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The phone is proved.")
class ConnectPhoneSuccess:
    member: Member = strawberry.field(description="The signed-in member.")
    offer: MergeOffer | None = strawberry.field(
        description="Null once the phone is connected; else the account that has the phone."
    )


@strawberry.input(description="A WeChat account that the signed-in member wants to sign in by too.")
class ConnectWechatInput:
    code: str = strawberry.field(description="The code of wx.login().")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The WeChat account is proved.")
class ConnectWechatSuccess:
    member: Member = strawberry.field(description="The signed-in member.")
    offer: MergeOffer | None = strawberry.field(
        description="Null once it is connected; else the account that has it."
    )


@strawberry.input(description="Yes to an offer.")
class MergeMyAccountsInput:
    offer: str = strawberry.field(description="The offer's token.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key merges once."
    )


@strawberry.type(description="The two accounts are one.")
class MergeMyAccountsSuccess:
    member: Member = strawberry.field(description="The signed-in member, who goes on.")
    moves: list[MergeFigure] = strawberry.field(description="What moved.")


async def _row(info: Info, key: UUID) -> Member:
    async with info.context.read() as read:
        found = (await members.by_id(read, [key])).get(key)
    if found is None:
        raise members.MemberNotFound()
    return member_of(found)


async def _connect(info: Info, tx: Tx, proof: Proof) -> Json:
    """Connect what was proved to the signed-in member, or offer the account that has it."""
    me, vault = acting_member(info), info.context.vault
    await proof.used(tx)
    await members.require_active(tx, me)
    member = await tx.session.get_one(members.Member, me)
    held = await proof.held(tx, vault)
    if held is None:
        await members.link(
            tx, vault=vault, member=member, kind=proof.kind, app=proof.app, value=proof.value
        )
        held = await proof.held(tx, vault)
    if held is None or held.member_id == me:
        if proof.kind is members.IdentityKind.PHONE:
            member.phone_verified_at = member.phone_verified_at or tx.now
        return {"offer": None}
    return {"offer": _offer(info, tx, held.member_id, me)}


def _offer(info: Info, tx: Tx, other_id: UUID, me: UUID) -> Json:
    ends_at = (tx.now + members.OFFER_LIFETIME).isoformat()
    said = {"from": str(other_id), "into": str(me), "ends": ends_at}
    return {
        # Sealed, and of use to this member alone until it ends.
        "token": info.context.vault.seal(_OFFER, orjson.dumps(said).decode()),
        "ends_at": ends_at,
        "of": str(other_id),
    }


async def _told(info: Info, answer: Json) -> MergeOffer | None:
    """The offer of an answer, if it has one."""
    said: Json | None = answer["offer"]
    if said is None:
        return None
    other = await info.context.one(members.by_id, UUID(said["of"]))
    if other is None:
        raise members.MemberNotFound()
    return MergeOffer(
        token=said["token"],
        ends_at=datetime.fromisoformat(said["ends_at"]),
        nickname=other.nickname,
        registered_at=other.registered_at,
    )


def _offered(info: Info, token: str) -> UUID:
    """Which account an offer to the signed-in member names. Raises OfferEnded."""
    try:
        said = orjson.loads(info.context.vault.open(_OFFER, token))
    except (Unreadable, ValueError):
        raise members.OfferEnded() from None
    now = info.context.database.clock()
    if UUID(said["into"]) != acting_member(info) or datetime.fromisoformat(said["ends"]) <= now:
        raise members.OfferEnded()
    return UUID(said["from"])


@strawberry.type(description="Mutations of merging.")
class MergingMutation:
    @mutation(
        staff(Role.SUPPORT),
        MergeMembersSuccess,
        refusals=[*_PAIR_REFUSALS, members.ReasonNeeded],
        description="Makes one member of two who are one person: points, coupons and orders add "
        "up, the higher tier stays, of two votes or claims the later. It cannot be undone.",
    )
    async def merge_members(self, info: Info, input: MergeMembersInput) -> MergeMembersSuccess:
        staff_id = acting_staff(info)
        into_id = key_of(input.survivor_id, "Member", "survivorId")
        from_id = key_of(input.merged_id, "Member", "mergedId")
        check_key(input.idempotency_key)

        async def work(tx: Tx) -> Json:
            # Of doubles that waited for this one the log has nothing but that they came.
            note_made(subject(members.Member, from_id))
            made = await merging.merge(
                tx,
                from_id=from_id,
                into_id=into_id,
                actor_kind="staff",
                actor_id=staff_id,
                reason=input.reason,
            )
            return made.figures

        figures = await merging.patiently(lambda: answered(info, input, work))
        return MergeMembersSuccess(member=await _row(info, into_id), moves=moves_of(figures))

    @mutation(
        MEMBER,
        ConnectPhoneSuccess,
        refusals=[
            members.BadPhoneNumber,
            members.CodeRefused,
            members.MemberNotActive,
            members.MemberNotFound,
            members.IdentityTaken,
            TooManyAttempts,
        ],
        description="Lets the signed-in member sign in by a phone too; where another account has "
        "it, offers to make the two one.",
        sensitive=True,
    )
    async def connect_phone(self, info: Info, input: ConnectPhoneInput) -> ConnectPhoneSuccess:
        done = await proved(
            info,
            input,
            lambda: prove_phone(info, input.phone, input.code),
            lambda tx, proof: _connect(info, tx, proof),
            given={"phone": input.phone, "code": input.code},
        )
        member = await _row(info, acting_member(info))
        return ConnectPhoneSuccess(member=member, offer=await _told(info, done))

    @mutation(
        MEMBER,
        ConnectWechatSuccess,
        refusals=[
            WeChatRefused,
            WeChatUnavailable,
            members.MemberNotActive,
            members.MemberNotFound,
            members.IdentityTaken,
            TooManyAttempts,
        ],
        description="Lets the signed-in member sign in by a WeChat account too; where another "
        "account has it, offers to make the two one.",
        sensitive=True,
    )
    async def connect_wechat(self, info: Info, input: ConnectWechatInput) -> ConnectWechatSuccess:
        done = await proved(
            info,
            input,
            lambda: prove_wechat(info, input.code),
            lambda tx, proof: _connect(info, tx, proof),
            given={"code": input.code},
        )
        member = await _row(info, acting_member(info))
        return ConnectWechatSuccess(member=member, offer=await _told(info, done))

    @mutation(
        MEMBER,
        MergeMyAccountsSuccess,
        refusals=[*_PAIR_REFUSALS, members.MemberNotActive, members.OfferEnded],
        description="Makes one account of the signed-in member's and of the one offered by "
        "connectPhone or connectWechat; this session goes on, the other account's end.",
    )
    async def merge_my_accounts(
        self, info: Info, input: MergeMyAccountsInput
    ) -> MergeMyAccountsSuccess:
        me = acting_member(info)
        check_key(input.idempotency_key)
        from_id = _offered(info, input.offer)

        async def work(tx: Tx) -> Json:
            await members.require_active(tx, me)
            made = await merging.merge(
                tx,
                from_id=from_id,
                into_id=me,
                actor_kind="member",
                actor_id=me,
                reason="by the member, who proved both",
            )
            return made.figures

        given = {"offer": digest_of({"offer": input.offer})}
        figures = await merging.patiently(lambda: answered(info, input, work, given=given))
        return MergeMyAccountsSuccess(member=await _row(info, me), moves=moves_of(figures))
