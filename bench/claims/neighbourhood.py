"""Members with open sessions, drops for them, and what is stored once they have claimed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import asyncpg

from app import coupons, drops, members
from app.kernel.db import Database
from app.kernel.ids import uuid7


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL holds of a drop; `doubles` are members with more than one coupon of it."""

    stock: int
    claimed: int
    claims: int
    coupons: int
    keys: int
    doubles: int


async def settle(url: str, count: int) -> list[tuple[str, str]]:
    """Store members, each with two identities and a session, by COPY; answers their ids."""
    database = Database(url)
    async with database.begin() as tx:
        home = await members.create_community(tx, name="bench", time_zone="Asia/Shanghai")
    await database.close()
    now = datetime.now(UTC)
    pairs = [(uuid7(now), uuid7(now)) for _ in range(count)]
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table(
            "member",
            columns=["id", "community_id", "nickname", "status", "locale", "registered_at"],
            records=[(one, home.id, "m", "ACTIVE", "zh-CN", now) for one, _ in pairs],
        )
        await connection.copy_records_to_table(
            "identity",
            columns=["kind", "app", "blind", "sealed", "member_id", "linked_at"],
            records=[
                (kind, app, sha256(one.bytes + kind.encode()).hexdigest(), "sealed", one, now)
                for one, _ in pairs
                for kind, app in (("PHONE", ""), ("WECHAT_OPENID", "wx"))
            ],
        )
        ends = now + timedelta(days=1)
        await connection.copy_records_to_table(
            "login_session",
            columns=["id", "subject_kind", "subject_id", "opened_at", "expires_at"],
            records=[(session, "member", one, now, ends) for one, session in pairs],
        )
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    return [(str(one), str(session)) for one, session in pairs]


async def new_drop(url: str, stock: int) -> UUID:
    """An open drop of a template of its own, so that everyone may have one of each drop."""
    database = Database(url)
    draft = coupons.TemplateDraft(
        name="bench",
        kind=coupons.Kind.FIXED,
        value=500,
        validity=coupons.Validity.RELATIVE,
        valid_days=7,
    )
    async with database.begin() as tx:
        template = await coupons.create_template(tx, draft=draft, by=None)
        batch = await coupons.create_batch(tx, template_id=template.id, quantity=stock)
        await coupons.approve_batch(tx, batch_id=batch.id, by=None)
        await coupons.move_batch(tx, batch_id=batch.id, to=coupons.BatchState.ACTIVE)
        drop = await drops.create_drop(
            tx,
            batch_id=batch.id,
            title="bench",
            opens_at=tx.now + timedelta(seconds=1),
            closes_at=tx.now + timedelta(days=1),
            stock=stock,
        )
        await drops.open_drop(tx, drop_id=drop.id)
    await database.close()
    return drop.id


async def stored(url: str, drop_id: UUID) -> Stored:
    """Count the drop's rows."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            """
            SELECT d.stock, d.claimed,
                   (SELECT count(*) FROM drop_claim WHERE drop_id = d.id),
                   (SELECT count(*) FROM coupon WHERE source_id = d.id),
                   (SELECT count(*) FROM idempotency_key AS k JOIN drop_claim AS c
                        ON c.member_id = k.owner_id AND c.drop_id = d.id
                        AND k.answer ->> 'coupon' = c.coupon_id::text),
                   (SELECT count(*) FROM (SELECT FROM coupon WHERE source_id = d.id
                        GROUP BY member_id HAVING count(*) > 1) AS twice)
            FROM coupon_drop AS d WHERE d.id = $1
            """,
            drop_id,
        )
    finally:
        await connection.close()
    return Stored(*row)
