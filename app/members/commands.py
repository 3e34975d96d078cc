"""Joining, signing in and being recognised."""

import hmac
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.kernel.clock import DEFAULT_ZONE
from app.kernel.crypto import Vault
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.members.errors import (
    BadPhoneNumber,
    CodeSentRecently,
    CommunityNotFound,
    IdentityTaken,
    MemberNotActive,
    MemberNotFound,
)
from app.members.events import MemberRegistered
from app.members.rules import (
    CODE_LIFETIME,
    CODE_PAUSE,
    CODE_TRIES,
    code_digest,
    new_code,
    normal_phone,
)
from app.members.tables import (
    Community,
    Identity,
    IdentityKind,
    Leader,
    Member,
    MemberStatus,
    PhoneCode,
)


async def create_community(
    tx: Tx, *, name: str, time_zone: str = DEFAULT_ZONE, community_id: UUID | None = None
) -> Community:
    """Open a community, or answer the one that has this name."""
    await tx.session.execute(
        insert(Community)
        .values(id=community_id or tx.new_id(), name=name, time_zone=time_zone, created_at=tx.now)
        .on_conflict_do_nothing(index_elements=[Community.name])
    )
    return (await tx.session.scalars(select(Community).where(Community.name == name))).one()


async def register(
    tx: Tx, *, community_id: UUID | None, nickname: str, locale: str = "zh-CN"
) -> Member:
    """Make a member, in the oldest community when none is named.

    Raises CommunityNotFound.
    """
    query = select(Community.id).order_by(Community.created_at, Community.id).limit(1)
    if community_id is not None:
        query = query.where(Community.id == community_id)
    community = await tx.session.scalar(query)
    if community is None:
        raise CommunityNotFound()
    member = Member(
        id=tx.new_id(),
        community_id=community,
        nickname=nickname,
        status=MemberStatus.ACTIVE,
        locale=locale,
        registered_at=tx.now,
        consents={},
        is_test=False,
    )
    tx.session.add(member)
    await tx.session.flush()
    tx.emit(MemberRegistered(member_id=member.id, community_id=community))
    return member


async def appoint_leader(tx: Tx, *, member_id: UUID, community_id: UUID) -> None:
    """Give a member the leader's role in a community."""
    await tx.session.execute(
        insert(Leader)
        .values(member_id=member_id, community_id=community_id, since=tx.now)
        .on_conflict_do_nothing()
    )


async def recognise(
    tx: Tx,
    *,
    vault: Vault,
    kind: IdentityKind,
    app: str,
    value: str,
    nickname: str,
    community_id: UUID | None = None,
) -> Member:
    """The member whom an identity belongs to; registers a new one the first time.

    Two calls at once with one new identity end with one member: the second waits on the identity's
    key and takes the first one's member. Raises CommunityNotFound, MemberNotActive.
    """
    row = await identity_of(tx, vault=vault, kind=kind, app=app, value=value)
    if row is None and vault.older_index:
        # Another server may write it by another key of the index, where no unique key is in the
        # way: both know all keys, so both wait for the same name.
        await lock_name(tx, f"identity {min(vault.blinds(kind, value))}")
        row = await identity_of(tx, vault=vault, kind=kind, app=app, value=value)
    if row is None:
        key = {"kind": kind, "app": app, "blind": vault.blind(kind, value)}
        async with tx.session.begin_nested() as savepoint:
            member = await register(tx, community_id=community_id, nickname=nickname)
            won = await tx.session.scalar(
                insert(Identity)
                .values(
                    **key,
                    sealed=vault.seal(kind, value),
                    index_kid=vault.index_kid,
                    member_id=member.id,
                    linked_at=tx.now,
                )
                .on_conflict_do_nothing()
                .returning(Identity.member_id)
            )
            if won is not None:
                return member
            tx.session.expunge(member)
            tx.events.pop()
            await savepoint.rollback()
        row = await tx.session.get_one(Identity, key)
    return await _who_signs_in(tx, row.member_id)


async def _who_signs_in(tx: Tx, member_id: UUID) -> Member:
    """The member of an identity, who cannot be merged or closed until this has ended.

    The frozen sign in too: they may look. Raises MemberNotActive.
    """
    waited = {"read": True, "key_share": True}
    member = await tx.session.get_one(
        Member, member_id, with_for_update=waited, populate_existing=True
    )
    if member.merged_into is not None:
        # The identity was read just before it was given to the survivor.
        member = await tx.session.get_one(
            Member, member.merged_into, with_for_update=waited, populate_existing=True
        )
    if member.status is MemberStatus.CLOSED:
        raise MemberNotActive()
    return member


async def identity_of(
    tx: Tx, *, vault: Vault, kind: IdentityKind, app: str, value: str
) -> Identity | None:
    """An identity, by whichever key of the index it was stored."""
    return await tx.session.scalar(
        select(Identity).where(
            Identity.kind == kind,
            Identity.app == app,
            Identity.blind.in_(vault.blinds(kind, value)),
        ),
        execution_options={"populate_existing": True},
    )


async def request_phone_code(tx: Tx, *, vault: Vault, phone: str) -> str:
    """Make a one-time code for a phone and answer it for sending.

    Raises BadPhoneNumber, CodeSentRecently.
    """
    number = normal_phone(phone)
    if number is None:
        raise BadPhoneNumber()
    blind = vault.blind(IdentityKind.PHONE, number)
    earlier = await _code_of(tx, vault, number)
    if earlier is not None and tx.now - earlier.sent_at < CODE_PAUSE:
        left = earlier.sent_at + CODE_PAUSE - tx.now
        raise CodeSentRecently(seconds=int(left.total_seconds()) + 1)
    code = new_code()
    fresh = {
        "digest": code_digest(blind, code),
        "tries": 0,
        "sent_at": tx.now,
        "expires_at": tx.now + CODE_LIFETIME,
    }
    await tx.session.execute(
        insert(PhoneCode)
        .values(blind=blind, **fresh)
        .on_conflict_do_update(index_elements=[PhoneCode.blind], set_=fresh)
    )
    return code


async def try_phone_code(tx: Tx, *, vault: Vault, phone: str, code: str) -> bool:
    """Spend one try on a phone's code; True uses the code up.

    The caller commits this before acting on it, so that a wrong guess is always counted.
    """
    number = normal_phone(phone)
    if number is None:
        return False
    row = await _code_of(tx, vault, number)
    if row is None or row.tries >= CODE_TRIES or row.expires_at <= tx.now:
        return False
    row.tries += 1
    if not hmac.compare_digest(row.digest, code_digest(row.blind, code)):
        return False
    row.expires_at = tx.now
    return True


async def _code_of(tx: Tx, vault: Vault, number: str) -> PhoneCode | None:
    """The code last sent to a phone, by whichever key of the index it was stored."""
    return await tx.session.scalar(
        select(PhoneCode)
        .where(PhoneCode.blind.in_(vault.blinds(IdentityKind.PHONE, number)))
        .order_by(PhoneCode.sent_at.desc())
        .limit(1)
        .with_for_update(),
        execution_options={"populate_existing": True},
    )


async def sign_in_by_phone(
    tx: Tx, *, vault: Vault, phone: str, community_id: UUID | None = None
) -> Member:
    """The member of a phone whose code was just verified; registers a new one the first time.

    Raises BadPhoneNumber, CommunityNotFound, MemberNotActive.
    """
    number = normal_phone(phone)
    if number is None:
        raise BadPhoneNumber()
    member = await recognise(
        tx,
        vault=vault,
        kind=IdentityKind.PHONE,
        app="",
        value=number,
        nickname=f"邻居{number[-4:]}",
        community_id=community_id,
    )
    member.phone_verified_at = member.phone_verified_at or tx.now
    return member


async def link_phone(tx: Tx, *, vault: Vault, member_id: UUID, phone: str) -> Member:
    """Let a member who came by a store card or an import sign in by their phone.

    Raises BadPhoneNumber, MemberNotFound, IdentityTaken.
    """
    number = normal_phone(phone)
    if number is None:
        raise BadPhoneNumber()
    member = await tx.session.get(Member, member_id)
    if member is None:
        raise MemberNotFound()
    return await link(tx, vault=vault, member=member, kind=IdentityKind.PHONE, app="", value=number)


async def link(
    tx: Tx, *, vault: Vault, member: Member, kind: IdentityKind, app: str, value: str
) -> Member:
    """Let a member be recognised by one more identity.

    Raises IdentityTaken.
    """
    held = await identity_of(tx, vault=vault, kind=kind, app=app, value=value)
    if held is None:
        await tx.session.execute(
            insert(Identity)
            .values(
                kind=kind,
                app=app,
                blind=vault.blind(kind, value),
                sealed=vault.seal(kind, value),
                index_kid=vault.index_kid,
                member_id=member.id,
                linked_at=tx.now,
            )
            .on_conflict_do_nothing()
        )
        held = await identity_of(tx, vault=vault, kind=kind, app=app, value=value)
    if held is None or held.member_id != member.id:
        raise IdentityTaken()
    return member
