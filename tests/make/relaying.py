"""The relay's last leg in-process: outbox to live topics, for tests of subscriptions."""

import asyncio

from redis.asyncio import Redis
from sqlalchemy import delete, insert, select

from app.kernel.db import Database
from app.kernel.live import Live
from app.kernel.outbox import LiveEvent, OutboxRow


async def relay_once(database: Database, redis: Redis) -> int:
    """Move every fact that waits; followers hear of it within the hub's poll or at once."""
    async with database.begin() as tx:
        rows = list(await tx.session.scalars(select(OutboxRow).order_by(OutboxRow.id)))
        facts = [
            {"topic": topic, "kind": row.kind, "payload": row.payload, "at": row.at}
            for row in rows
            for topic in row.topics
        ]
        if facts:
            await tx.session.execute(insert(LiveEvent), facts)
        await tx.session.execute(delete(OutboxRow).where(OutboxRow.id.in_([r.id for r in rows])))
    await redis.publish("linli:live", b'{"before":-1,"facts":[]}')
    return len(rows)


async def until_followed(live: Live, count: int = 1) -> None:
    """Wait until so many follow: a subscription begins at the head it finds on its first step."""
    while live.followers < count:
        await asyncio.sleep(0.01)
