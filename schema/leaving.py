"""Freezing members, and members who take their data along or close their account."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import leaving, members
from app.kernel.auth import MemberCaller, Role
from app.kernel.errors import InvalidInput, NotSignedIn, TooManyAttempts
from app.kernel.idempotency import once
from app.kernel.table import Json
from app.staff import subject
from app.wechat import WeChatRefused, WeChatUnavailable
from schema.context import Info
from schema.enums import describe
from schema.fields import mutation, query, shown
from schema.guard import MEMBER, staff
from schema.members import Member, member_of
from schema.nodes import global_id, key_of
from schema.proofs import prove_phone, prove_wechat

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


@strawberry.type(description="The account stays open.")
class KeepMyAccountSuccess:
    member: Member = strawberry.field(description="The member.")


@strawberry.input(description="A member whom staff keep from acting.")
class FreezeMemberInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    reason: str = strawberry.field(description="Why, up to 200 characters; the audit log keeps it.")


@strawberry.type(description="The member may look, and not act; their sessions have ended.")
class FreezeMemberSuccess:
    member: Member = strawberry.field(description="The member.")


@strawberry.input(description="A frozen member who may act again.")
class UnfreezeMemberInput:
    member_id: strawberry.ID = strawberry.field(description="The member.")
    reason: str = strawberry.field(description="Why, up to 200 characters; the audit log keeps it.")


@strawberry.type(description="The member may act again.")
class UnfreezeMemberSuccess:
    member: Member = strawberry.field(description="The member.")


def _me(info: Info) -> UUID:
    caller = info.context.caller
    if not isinstance(caller, MemberCaller):
        raise NotSignedIn()
    return caller.id


@strawberry.type(description="Queries of leaving.")
class LeavingQuery:
    @query(MEMBER, description="The newest copy of one's data that was asked for, if any.")
    async def my_data_export(self, info: Info) -> DataExport | None:
        row = await info.context.one(leaving.newest_by_member, _me(info))
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
        me = _me(info)
        async with info.context.begin() as tx:

            async def work() -> Json:
                made = await leaving.request_export(tx, member_id=me)
                return {"id": str(made.id)}

            done = await once(
                tx,
                owner_id=me,
                command="exportMyData",
                key=input.idempotency_key,
                given=shown(input),
                work=work,
            )
            row = await tx.session.get(leaving.DataExport, (me, UUID(done["id"])))
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
        me = _me(info)
        if input.wechat_code is not None:
            proof = await prove_wechat(info, input.wechat_code)
        elif input.phone is not None and input.code is not None:
            proof = await prove_phone(info, input.phone, input.code)
        else:
            raise InvalidInput(field="code", reason="phone and code, or wechatCode")
        async with info.context.begin() as tx:
            held = await proof.held(tx, info.context.vault)
            if held is None or held.member_id != me:
                raise members.NotYourIdentity()
            await proof.used(tx)
            erase_at = await members.request_closure(tx, member_id=me)
        return CloseMyAccountSuccess(erase_at=erase_at)

    @mutation(
        MEMBER,
        KeepMyAccountSuccess,
        refusals=[members.NotClosing, members.MemberNotFound, members.MemberClosed],
        description="Takes the wish to close one's account back, while there is time.",
    )
    async def keep_my_account(self, info: Info, input: KeepMyAccountInput) -> KeepMyAccountSuccess:
        async with info.context.begin() as tx:
            row = await members.keep(tx, member_id=_me(info))
        return KeepMyAccountSuccess(member=member_of(row))

    @mutation(
        staff(Role.SUPPORT),
        FreezeMemberSuccess,
        refusals=[members.MemberNotFound, members.MemberClosed, members.ReasonNeeded],
        description="Keeps a member from acting and ends their sessions; they may still look.",
    )
    async def freeze_member(self, info: Info, input: FreezeMemberInput) -> FreezeMemberSuccess:
        key = key_of(input.member_id, "Member", "memberId")
        async with info.context.begin(about=subject(members.Member, key)) as tx:
            row, ended = await members.freeze(tx, member_id=key, reason=input.reason)
        info.context.resources.callers.end(*ended)
        return FreezeMemberSuccess(member=member_of(row))

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
        async with info.context.begin(about=subject(members.Member, key)) as tx:
            row = await members.unfreeze(tx, member_id=key, reason=input.reason)
        return UnfreezeMemberSuccess(member=member_of(row))
