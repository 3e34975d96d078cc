"""Batched reads of members."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, any_, func, literal, select, tuple_

from app.kernel.batched import Ask, Batched
from app.kernel.crypto import Vault
from app.kernel.db import Read, Tx
from app.kernel.statements import Entities, ids
from app.members.errors import CommunityNotFound, MemberNotActive, MemberNotFound
from app.members.tables import (
    Closure,
    Community,
    Identity,
    IdentityKind,
    Leader,
    Member,
    MemberStatus,
)

_MEMBERS = Entities(select(Member).where(Member.id == any_(ids("ids"))))
_CLOSURES = Entities(
    select(Closure).where(Closure.member_id == any_(ids("ids")), Closure.erased_at.is_(None))
)
_COMMUNITIES = Entities(select(Community).where(Community.id == any_(ids("ids"))))


# Members by id; unknown ids are absent.
by_id: Batched[UUID, Member] = Batched(
    lambda keys, _: Ask(_MEMBERS, {"ids": keys}), lambda rows, _: {row.id: row for row in rows}
)
# Communities by id; unknown ids are absent.
communities_by_id: Batched[UUID, Community] = Batched(
    lambda keys, _: Ask(_COMMUNITIES, {"ids": keys}),
    lambda rows, _: {row.id: row for row in rows},
)


async def require_active(read: Read, member_id: UUID) -> None:
    """Raise MemberNotFound or MemberNotActive unless the member takes part.

    Within a transaction that writes the member stays who they are until it has ended: merging and
    closing wait for it.
    """
    query = select(Member.status).where(Member.id == member_id)
    if isinstance(read, Tx):
        query = query.with_for_update(read=True, key_share=True)
    status = await read.session.scalar(query)
    if status is None:
        raise MemberNotFound()
    if status is not MemberStatus.ACTIVE:
        raise MemberNotActive()


async def community_by_name(read: Read, name: str) -> UUID:
    """The key of a community.

    Raises CommunityNotFound.
    """
    found = await read.session.scalar(select(Community.id).where(Community.name == name))
    if found is None:
        raise CommunityNotFound()
    return found


async def leaders_by_community(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[UUID]]:
    """The member ids of each community's leaders, those of longest standing first."""
    rows = await read.session.execute(
        select(Leader.community_id, Leader.member_id)
        .where(Leader.community_id.in_(list(keys)))
        .order_by(Leader.since, Leader.member_id)
    )
    found: dict[UUID, list[UUID]] = {}
    for community_id, member_id in rows:
        found.setdefault(community_id, []).append(member_id)
    return found


async def zone_of(read: Read, member_id: UUID) -> str:
    """The time zone of the member's community, in which their business days run."""
    zone = await read.session.scalar(
        select(Community.time_zone)
        .join(Member, Member.community_id == Community.id)
        .where(Member.id == member_id)
    )
    return zone or "Asia/Shanghai"


async def by_identity(
    read: Read, *, kind: IdentityKind, app: str, blinds: Sequence[str]
) -> dict[str, UUID]:
    """Member ids by the blind index of an identity."""
    rows = await read.session.execute(
        select(Identity.blind, Identity.member_id).where(
            Identity.kind == kind,
            Identity.app == app,
            Identity.blind == any_(literal(list(blinds), ARRAY(Text()))),
        )
    )
    return {row.blind: row.member_id for row in rows}


async def by_identities(
    read: Read, *, vault: Vault, kind: IdentityKind, app: str, values: Iterable[str]
) -> dict[str, UUID]:
    """Member ids by the values of identities, by whichever key of the index they are stored."""
    sought = {value: vault.blinds(kind, value) for value in values}
    every = [blind for blinds in sought.values() for blind in blinds]
    found = await by_identity(read, kind=kind, app=app, blinds=every)
    return {
        value: found[blind]
        for value, blinds in sought.items()
        for blind in reversed(blinds)
        if blind in found
    }


async def survivors(read: Read, keys: Iterable[UUID]) -> dict[UUID, UUID]:
    """Who each of these members is by now: themselves, or whom they were merged into.

    Unknown ids are absent.
    """
    rows = await read.session.execute(
        select(Member.id, func.coalesce(Member.merged_into, Member.id).label("now")).where(
            Member.id.in_(list(keys))
        )
    )
    return {row.id: row.now for row in rows}


# When the account of each of these members will be erased, while it can still be kept.
closing_by_member: Batched[UUID, Closure] = Batched(
    lambda keys, _: Ask(_CLOSURES, {"ids": keys}),
    lambda rows, _: {row.member_id: row for row in rows},
)


async def page(
    read: Read,
    *,
    after: tuple[datetime, UUID] | None,
    first: int,
    search: str | None = None,
    community_id: UUID | None = None,
) -> list[Member]:
    """Members, newest first, after a keyset position; one more than `first` if there are more."""
    query = select(Member).order_by(Member.registered_at.desc(), Member.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(tuple_(Member.registered_at, Member.id) < tuple_(*after))
    if search:
        query = query.where(func.starts_with(Member.nickname, search))
    if community_id is not None:
        query = query.where(Member.community_id == community_id)
    return list(await read.session.scalars(query))
