"""What the tests of claims share: members, drops, attempts and the rows that are left."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from app import coupons, drops
from app.drops import Claims
from app.kernel.db import Database, Tx
from app.kernel.errors import Refusal
from app.kernel.idempotency import IdempotencyRow
from app.kernel.outbox import OutboxRow
from app.members import Identity, IdentityKind, Member
from tests.make import drops as make
from tests.make.members import member


async def members(database: Database, count: int) -> list[UUID]:
    """So many active members of the default community."""
    async with database.begin() as tx:
        first = await member(tx)
        ids = [first.id, *(tx.new_id() for _ in range(count - 1))]
        alike: dict[str, object] = {
            "community_id": first.community_id,
            "nickname": first.nickname,
            "locale": first.locale,
            "status": first.status,
            "registered_at": tx.now,
        }
        if ids[1:]:
            await tx.session.execute(insert(Member), [{"id": one, **alike} for one in ids[1:]])
    return ids


def blind_of(member_id: UUID) -> str:
    """Stands for the blind index of what a member is recognised by."""
    return f"blind {member_id}"


def identity(
    tx: Tx, member_id: UUID, kind: IdentityKind = IdentityKind.PHONE, blind: str | None = None
) -> Identity:
    """Something by which the member is recognised."""
    return Identity(
        kind=kind,
        app="",
        blind=blind or blind_of(member_id),
        sealed="sealed",
        member_id=member_id,
        linked_at=tx.now,
    )


async def open_drop(database: Database, stock: int = 10, **more: Any) -> drops.Drop:
    """A drop that is open now."""
    async with database.begin() as tx:
        return await make.open_drop(tx, stock=stock, **more)


async def gathered(
    claims: Claims, drop_id: UUID, member_id: UUID, key: str = "tap"
) -> UUID | type[Exception]:
    """The coupon by group commit, or the kind of what was raised."""
    try:
        made = await claims.claim(
            drop_id=drop_id, member_id=member_id, key=key, given={"drop": str(drop_id)}
        )
    except Exception as error:
        return type(error)
    return made.coupon_id


async def plain(
    database: Database, drop_id: UUID, member_id: UUID, key: str = "tap"
) -> UUID | type[Exception]:
    """The coupon by a transaction of one's own, or the kind of refusal."""
    try:
        async with database.begin() as tx:
            answer = await drops.claim_once(
                tx, drop_id=drop_id, member_id=member_id, key=key, given={"drop": str(drop_id)}
            )
    except Refusal as refusal:
        return type(refusal)
    return UUID(answer["coupon"])


async def all_of(attempts: Iterable[Any]) -> list[Any]:
    """Everything at once."""
    return await asyncio.gather(*attempts)


async def drop_now(database: Database, drop_id: UUID) -> drops.Drop:
    """The drop as it is stored."""
    async with database.read() as read:
        return (await drops.by_id(read, [drop_id]))[drop_id]


async def given_in(database: Database, drop_id: UUID) -> dict[UUID, UUID]:
    """Member -> coupon; coupons, claims, keys and facts must tell the same."""
    async with database.read() as read:
        rows = await read.session.execute(
            select(drops.Claim.member_id, drops.Claim.coupon_id).where(
                drops.Claim.drop_id == drop_id
            )
        )
        claims = {row[0]: row[1] for row in rows}
        rows = await read.session.execute(
            select(coupons.Coupon.member_id, coupons.Coupon.id).where(
                coupons.Coupon.source_id == drop_id
            )
        )
        assert sorted(claims.items()) == sorted((row[0], row[1]) for row in rows)
        named = IdempotencyRow.answer["coupon"].astext
        texts = sorted(map(str, claims.values()))
        keyed = await read.session.scalars(select(named).where(named.in_(texts)))
        assert sorted(keyed) == texts
        named = OutboxRow.payload["coupon_id"].astext
        told = await read.session.scalars(select(named).where(named.in_(texts)))
        assert sorted(told) == texts
    return claims


async def facts(database: Database, topic: str) -> list[OutboxRow]:
    """What was told on a topic, in the order of versions."""
    async with database.read() as read:
        rows = await read.session.scalars(
            select(OutboxRow).where(OutboxRow.topics.contains([topic]))
        )
        return sorted(rows, key=lambda row: row.payload.get("version", 0))
