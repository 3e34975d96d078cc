"""Freezing members, and members who take their data along or close their account."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import leaving, members
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput, TooManyAttempts
from app.kernel.table import Json
from app.staff import subject
from app.wechat import WeChatRefused, WeChatUnavailable
from schema.acting import acting_member, answered
from schema.context import Info
from schema.enums import describe
from schema.fields import mutation, query
from schema.guard import MEMBER, staff
from schema.members import Member, member_of
from schema.nodes import global_id, key_of
from schema.proofs import Proof, prove_phone, prove_wechat, proved

describe(
    leaving.ExportState,
    "How far a copy of a member's data has come.",
    WAITING="It is being made.",
    READY="It can be downloaded until its time is over.",
    FAILED="It could not be made; another may be asked for at once.",
    ENDED="Its time is over, and it is deleted.",
)


@strawberry.type(description="A copy of everything of the signed-in member: one JSON in a ZIP.")
class DataExport:
    key: strawberry.Private[UUID]
    id: strawberry.ID = strawberry.field(description="The copy's id.")
    state: leaving.ExportState = strawberry.field(description="How far it has come.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    ready_at: datetime | None = strawberry.field(description="When it was made.")
    ends_at: datetime | None = strawberry.field(description="When it will be deleted.")
    bytes: int = strawberry.field(description="The size of the file; 0 until it is made.")

    @strawberry.field(
        description="The path of the file on this server, to be fetched with the member's own "
        "access token; null unless it is ready."
    )
    def download_path(self) -> str | None:
        ready = self.state is leaving.ExportState.READY
        return f"/exports/{self.key}" if ready else None


def export_of(row: leaving.DataExport) -> DataExport:
    """The GraphQL value of a copy."""
    return DataExport(
        key=row.id,
        id=global_id("DataExport", row.id),
        state=row.state,
        requested_at=row.requested_at,
        ready_at=row.ready_at,
        ends_at=row.ends_at,
        bytes=row.bytes,
    )


@strawberry.input(description="A request for a copy of one's data.")
class ExportMyDataInput:
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key asks once."
    )


@strawberry.type(description="The copy is being made; myUpdates tells when it is ready.")
class ExportMyDataSuccess:
    export: DataExport = strawberry.field(description="The copy.")


@strawberry.input(
    description="The wish to close one's account, confirmed as one signs in: by a code of the "
    "phone, or by one of WeChat."
)
class CloseMyAccountInput:
    phone: str | None = strawberry.field(
        default=None, description="The phone of the account, with `code`."
    )
    code: str | None = strawberry.field(
        default=None, description="The six digits of requestPhoneCode."
    )
    wechat_code: str | None = strawberry.field(
        default=None, description="The code of wx.login(), instead of phone and code."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The account will be closed.")
class CloseMyAccountSuccess:
    erase_at: datetime = strawberry.field(
        description="When the personal data will be erased; until then keepMyAccount undoes it."
    )


@strawberry.input(description="A change of mind about closing one's account.")
class KeepMyAccountInput:
    reason: str | None = strawberry.field(
        default=None, description="What changed the member's mind, if they say; it is not kept."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The account stays open.")
class KeepMyAccountSuccess:
    member: Member = strawberry.field(description="The member.")


@strawberry.input(description="A member whom staff keep from acting.")
class FreezeMemberInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    reason: str = strawberry.field(description="Why, up to 200 characters; the audit log keeps it.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The member may look, and not act; their sessions have ended.")
class FreezeMemberSuccess:
    member: Member = strawberry.field(description="The member.")


@strawberry.input(description="A frozen member who may act again.")
class UnfreezeMemberInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    reason: str = strawberry.field(description="Why, up to 200 characters; the audit log keeps it.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of the client's; sent again with it, it gets the first answer.",
    )


@strawberry.type(description="The member may act again.")
class UnfreezeMemberSuccess:
    member: Member = strawberry.field(description="The member.")


async def _row(info: Info, key: UUID) -> Member:
    async with info.context.read() as read:
        found = (await members.by_id(read, [key])).get(key)
    if found is None:
        raise members.MemberNotFound()
    return member_of(found)


@strawberry.type(description="Queries of leaving.")
class LeavingQuery:
    @query(MEMBER, description="The newest copy of one's data that was asked for, if any.")
    async def my_data_export(self, info: Info) -> DataExport | None:
        row = await info.context.one(leaving.newest_by_member, acting_member(info))
        return None if row is None else export_of(row)


_CLOSING_REFUSALS = (
    members.BadPhoneNumber,
    members.CodeRefused,
    members.NotYourIdentity,
    members.MemberNotFound,
    members.MemberClosed,
    WeChatRefused,
    WeChatUnavailable,
    TooManyAttempts,
)


@strawberry.type(description="Mutations of leaving.")
class LeavingMutation:
    @mutation(
        MEMBER,
        ExportMyDataSuccess,
        refusals=[
            leaving.ExportUnderWay,
            leaving.ExportedRecently,
            members.MemberNotFound,
            members.MemberClosed,
        ],
        description="Has a copy made of everything of the signed-in member, once a day.",
    )
    async def export_my_data(self, info: Info, input: ExportMyDataInput) -> ExportMyDataSuccess:
        me = acting_member(info)

        async def work(tx: Tx) -> Json:
            made = await leaving.request_export(tx, member_id=me)
            return {"id": str(made.id)}

        done = await answered(info, input, work)
        async with info.context.database.read() as read:
            row = await read.session.get(leaving.DataExport, (me, UUID(done["id"])))
        if row is None:
            raise members.MemberClosed()
        return ExportMyDataSuccess(export=export_of(row))

    @mutation(
        MEMBER,
        CloseMyAccountSuccess,
        refusals=_CLOSING_REFUSALS,
        description="Closes the signed-in member's account after some days for thinking it over: "
        "then personal data is erased and the ledgers are kept without a name.",
        sensitive=True,
    )
    async def close_my_account(
        self, info: Info, input: CloseMyAccountInput
    ) -> CloseMyAccountSuccess:
        me = acting_member(info)
        phone, code, wechat_code = input.phone, input.code, input.wechat_code
        if wechat_code is None and (phone is None or code is None):
            raise InvalidInput(
                field="code",
                reason="phone and code, or wechatCode",
                reason_zh="须提供手机号和验证码，或wechatCode",
            )

        async def prove() -> Proof:
            if wechat_code is not None:
                return await prove_wechat(info, wechat_code)
            return await prove_phone(info, phone or "", code or "")

        async def work(tx: Tx, proof: Proof) -> Json:
            held = await proof.held(tx, info.context.vault)
            if held is None or held.member_id != me:
                raise members.NotYourIdentity()
            await proof.used(tx)
            erase_at = await members.request_closure(tx, member_id=me)
            return {"erase_at": erase_at.isoformat()}

        given = {"phone": phone, "code": code, "wechat_code": wechat_code}
        done = await proved(info, input, prove, work, given=given)
        return CloseMyAccountSuccess(erase_at=datetime.fromisoformat(done["erase_at"]))

    @mutation(
        MEMBER,
        KeepMyAccountSuccess,
        refusals=[members.NotClosing, members.MemberNotFound, members.MemberClosed],
        description="Takes the wish to close one's account back, while there is time.",
    )
    async def keep_my_account(self, info: Info, input: KeepMyAccountInput) -> KeepMyAccountSuccess:
        me = acting_member(info)

        async def work(tx: Tx) -> Json:
            await members.keep(tx, member_id=me)
            return {}

        await answered(info, input, work)
        return KeepMyAccountSuccess(member=await _row(info, me))

    @mutation(
        staff(Role.SUPPORT),
        FreezeMemberSuccess,
        refusals=[members.MemberNotFound, members.MemberClosed, members.ReasonNeeded],
        description="Keeps a member from acting and ends their sessions; they may still look.",
    )
    async def freeze_member(self, info: Info, input: FreezeMemberInput) -> FreezeMemberSuccess:
        key = key_of(input.member_id, "Member", "memberId")

        async def work(tx: Tx) -> Json:
            _, ended = await members.freeze(tx, member_id=key, reason=input.reason)
            return {"ended": [str(session) for session in ended]}

        done = await answered(info, input, work, about=subject(members.Member, key))
        info.context.resources.callers.end(*(UUID(session) for session in done["ended"]))
        return FreezeMemberSuccess(member=await _row(info, key))

    @mutation(
        staff(Role.SUPPORT),
        UnfreezeMemberSuccess,
        refusals=[members.MemberNotFound, members.MemberClosed, members.ReasonNeeded],
        description="Lets a frozen member act again.",
    )
    async def unfreeze_member(
        self, info: Info, input: UnfreezeMemberInput
    ) -> UnfreezeMemberSuccess:
        key = key_of(input.member_id, "Member", "memberId")

        async def work(tx: Tx) -> Json:
            await members.unfreeze(tx, member_id=key, reason=input.reason)
            return {}

        await answered(info, input, work, about=subject(members.Member, key))
        return UnfreezeMemberSuccess(member=await _row(info, key))
