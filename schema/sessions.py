"""Signing in and out: WeChat, phone codes, staff passwords, rotating refresh tokens."""

from datetime import datetime, timedelta
from uuid import UUID

import strawberry

from app import members, staff
from app.kernel.auth import (
    MemberCaller,
    ReplayedToken,
    Role,
    SessionPair,
    StaffCaller,
    open_session,
    password_matches,
    revoke_session,
    revoke_sessions_of,
    rotate_session,
)
from app.kernel.db import Tx
from app.kernel.errors import NotSignedIn, Refusal, TooManyAttempts
from app.wechat import WeChatRefused, WeChatUnavailable
from schema.brakes import (
    ask_for_message,
    attempt,
    owner_came,
    phone_of,
    send_message,
)
from schema.context import Info
from schema.enums import describe
from schema.fields import mutation
from schema.guard import PUBLIC, SIGNED_IN
from schema.members import Member, load_member
from schema.nodes import global_id, key_of

ACCESS_LIFETIME = timedelta(minutes=15)

describe(
    Role,
    "What a staff account is for.",
    OWNER="May do everything.",
    CAMPAIGN_MANAGER="Coupons, drops, campaigns and ballots.",
    SUPPORT="Members, their points and their identities.",
    ANALYST="Reads figures, changes nothing.",
    LEADER="A community's leader, for that community.",
)


class SessionEnded(Refusal):
    """The refresh token is unknown, expired, revoked, or was used before."""

    code = "SESSION_ENDED"
    zh = "登录已失效，请重新登录"
    en = "The session has ended; sign in again."


@strawberry.type(description="The tokens of a session.")
class Session:
    access_token: str = strawberry.field(
        description="Send it as `Authorization: Bearer …`, and in connection_init over sockets."
    )
    refresh_token: str = strawberry.field(
        description="Exchange it once, by refreshSession, for the next pair."
    )
    expires_at: datetime = strawberry.field(description="When the access token expires.")


@strawberry.type(description="A member has signed in.")
class MemberSession:
    member_key: strawberry.Private[UUID]
    session: Session = strawberry.field(description="The session's tokens.")

    @strawberry.field(description="The member.")
    async def member(self, info: Info) -> Member:
        member = await load_member(info, self.member_key)
        if member is None:
            raise LookupError(f"member {self.member_key} who just signed in")
        return member


@strawberry.type(description="A staff account.")
class StaffAccount:
    id: strawberry.ID = strawberry.field(description="The account's id.")
    login: str = strawberry.field(description="The name it signs in by.")
    name: str = strawberry.field(description="The person's name.")
    role: Role = strawberry.field(description="What the account is for.")


@strawberry.type(description="A staff account has signed in.")
class StaffSession:
    session: Session = strawberry.field(description="The session's tokens.")
    staff: StaffAccount = strawberry.field(description="The account.")


@strawberry.input(description="A WeChat login.")
class LoginWithWechatInput:
    code: str = strawberry.field(
        description="The code of wx.login(); in development dev-<name> signs in as that openid."
    )
    nickname: str | None = strawberry.field(
        default=None, description="The name for a new member, if the person gave one."
    )
    community_id: strawberry.ID | None = strawberry.field(
        default=None, description="The neighbourhood a new member joins."
    )


@strawberry.input(description="A request for a one-time code.")
class RequestPhoneCodeInput:
    phone: str = strawberry.field(description="A mainland mobile number, or any in E.164 form.")


@strawberry.type(description="A one-time code is on its way.")
class RequestPhoneCodeSuccess:
    expires_in_seconds: int = strawberry.field(description="How long the code is good.")
    development_code: str | None = strawberry.field(
        description="The code itself, in development only, where no message is sent."
    )


@strawberry.input(description="A login by phone and one-time code.")
class LoginWithPhoneInput:
    phone: str = strawberry.field(description="The phone that the code was sent to.")
    code: str = strawberry.field(description="The six digits.")
    community_id: strawberry.ID | None = strawberry.field(
        default=None, description="The neighbourhood a new member joins."
    )


@strawberry.input(description="An exchange of a refresh token.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="The last refresh token received.")


@strawberry.type(description="The next tokens of the session.")
class RefreshSessionSuccess:
    session: Session = strawberry.field(description="The session's new tokens.")


@strawberry.input(description="A log-out.")
class LogoutInput:
    everywhere: bool = strawberry.field(
        default=False, description="True ends every session of the account, not only this one."
    )


@strawberry.type(description="The session has ended.")
class LogoutSuccess:
    ended: bool = strawberry.field(description="Always true.")


@strawberry.input(description="A staff login.")
class StaffLoginInput:
    login: str = strawberry.field(description="The account's name.")
    password: str = strawberry.field(description="Its password.")


async def _tokens(info: Info, pair: SessionPair) -> Session:
    now = info.context.database.clock()
    if pair.subject_kind == "member":
        caller: MemberCaller | StaffCaller = MemberCaller(pair.subject_id, pair.session_id)
    else:
        async with info.context.read() as read:
            account = (await staff.by_id(read, [pair.subject_id])).get(pair.subject_id)
        if account is None or account.disabled_at is not None:
            raise SessionEnded()
        caller = StaffCaller(account.id, pair.session_id, account.role, account.community_id)
    info.context.caller = caller
    return Session(
        access_token=info.context.resources.tokens.sign(caller, now),
        refresh_token=pair.refresh_token,
        expires_at=now + ACCESS_LIFETIME,
    )


async def _audit_login(info: Info, tx: Tx, account_id: UUID, *, good: bool) -> None:
    """Nobody is signed in yet, so the log is told who it is that came, or was claimed to."""
    await staff.audit(
        tx,
        actor=staff.Actor("staff", account_id, info.context.address, info.context.request_id),
        action="staffLogin",
        given={},
        outcome=staff.Outcome.DONE if good else staff.Outcome.REFUSED,
    )


def _community(community_id: strawberry.ID | None) -> UUID | None:
    return None if community_id is None else key_of(community_id, "Community", "communityId")


_LOGIN_REFUSALS = (
    members.CommunityNotFound,
    members.MemberNotActive,
    TooManyAttempts,
)


@strawberry.type(description="Mutations of sessions.")
class SessionMutation:
    @mutation(
        PUBLIC,
        MemberSession,
        refusals=[WeChatRefused, WeChatUnavailable, *_LOGIN_REFUSALS],
        description="Signs a member in by WeChat; registers them the first time.",
        sensitive=True,
    )
    async def login_with_wechat(self, info: Info, input: LoginWithWechatInput) -> MemberSession:
        wechat = info.context.resources.wechat
        counted = await attempt(info, None)
        try:
            found = await wechat.code_to_session(input.code)
        except WeChatUnavailable:
            async with info.context.begin() as tx:
                await counted.succeeded(tx)
            raise
        async with info.context.begin() as tx:
            await counted.succeeded(tx)
            member = await members.recognise(
                tx,
                vault=info.context.vault,
                kind=members.IdentityKind.WECHAT_OPENID,
                app=wechat.app_id,
                value=found.openid,
                nickname=members.nickname_or(input.nickname, "新邻居"),
                community_id=_community(input.community_id),
            )
            pair = await open_session(tx, kind="member", subject_id=member.id)
        return MemberSession(session=await _tokens(info, pair), member_key=member.id)

    @mutation(
        PUBLIC,
        RequestPhoneCodeSuccess,
        refusals=[members.BadPhoneNumber, members.CodeSentRecently, TooManyAttempts],
        description="Sends a one-time code to a phone.",
        sensitive=True,
    )
    async def request_phone_code(
        self, info: Info, input: RequestPhoneCodeInput
    ) -> RequestPhoneCodeSuccess:
        vault = info.context.vault
        phone = phone_of(vault, input.phone)
        await ask_for_message(info)
        async with info.context.begin() as tx:
            code = await members.request_phone_code(tx, vault=vault, phone=input.phone)
            await send_message(tx, phone)
        production = info.context.settings.env == "production"
        return RequestPhoneCodeSuccess(
            expires_in_seconds=int(members.CODE_LIFETIME.total_seconds()),
            development_code=None if production else code,
        )

    @mutation(
        PUBLIC,
        MemberSession,
        refusals=[members.BadPhoneNumber, members.CodeRefused, *_LOGIN_REFUSALS],
        description="Signs a member in by phone; registers them the first time.",
        sensitive=True,
    )
    async def login_with_phone(self, info: Info, input: LoginWithPhoneInput) -> MemberSession:
        vault = info.context.vault
        phone = phone_of(vault, input.phone)
        counted = await attempt(info, phone)
        async with info.context.begin() as tx:
            good = await members.try_phone_code(tx, vault=vault, phone=input.phone, code=input.code)
        if not good:
            raise members.CodeRefused()
        async with info.context.begin() as tx:
            await counted.succeeded(tx)
            await owner_came(tx, phone)
            member = await members.sign_in_by_phone(
                tx,
                vault=vault,
                phone=input.phone,
                community_id=_community(input.community_id),
            )
            pair = await open_session(tx, kind="member", subject_id=member.id)
        return MemberSession(session=await _tokens(info, pair), member_key=member.id)

    @mutation(
        PUBLIC,
        RefreshSessionSuccess,
        refusals=[SessionEnded],
        description="Exchanges a refresh token; a token used twice ends its whole session.",
    )
    async def refresh_session(
        self, info: Info, input: RefreshSessionInput
    ) -> RefreshSessionSuccess:
        async with info.context.begin() as tx:
            pair = await rotate_session(tx, refresh_token=input.refresh_token)
        if isinstance(pair, ReplayedToken):
            info.context.resources.callers.end(pair.session_id)
        if not isinstance(pair, SessionPair):
            raise SessionEnded()
        return RefreshSessionSuccess(session=await _tokens(info, pair))

    @mutation(SIGNED_IN, LogoutSuccess, description="Ends this session, or all of the account's.")
    async def logout(self, info: Info, input: LogoutInput) -> LogoutSuccess:
        caller = info.context.caller
        if not isinstance(caller, MemberCaller | StaffCaller):
            raise NotSignedIn()
        async with info.context.begin() as tx:
            if input.everywhere:
                ended = await revoke_sessions_of(tx, subject_id=caller.id)
            else:
                ended = await revoke_session(tx, session_id=caller.session_id)
        # Other processes see it within seconds; this one shows its caller that it took effect.
        info.context.resources.callers.end(caller.session_id, *ended)
        return LogoutSuccess(ended=True)

    @mutation(
        PUBLIC,
        StaffSession,
        refusals=[staff.LoginRefused, TooManyAttempts, SessionEnded],
        description="Signs a staff account in.",
        sensitive=True,
    )
    async def staff_login(self, info: Info, input: StaffLoginInput) -> StaffSession:
        login = input.login.casefold()
        counted = await attempt(info, f"staff:{login}")
        async with info.context.read() as read:
            account = await staff.by_login(read, login)
        hashed = None if account is None else account.password_hash
        good = await password_matches(hashed, input.password)
        if account is None:
            raise staff.LoginRefused()
        async with info.context.database.begin() as tx:
            await _audit_login(info, tx, account.id, good=good)
            pair = None
            if good:
                await counted.succeeded(tx)
                pair = await open_session(tx, kind="staff", subject_id=account.id)
        if pair is None:
            raise staff.LoginRefused()
        return StaffSession(
            session=await _tokens(info, pair),
            staff=StaffAccount(
                id=global_id("StaffAccount", account.id),
                login=account.login,
                name=account.name,
                role=account.role,
            ),
        )
