"""Events for the servers under test: facts of a drop as the relay tells them, and the peer's."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import orjson
from redis.asyncio import Redis

from app.drops import DropClaimed, drop_topic
from app.kernel.live import CHANNEL, Fact, encode_news

# Numbers of events count down, as what remains does.
FIRST = 1_000_000_000


class Linli:
    """Tells a drop's looks as the relay does: numbered in PostgreSQL, then said by Redis."""

    def __init__(self, database: asyncpg.Connection, redis: Redis, drop_id: UUID) -> None:
        """Tell of one drop."""
        self._database = database
        self._redis = redis
        self._topic = drop_topic(drop_id)
        self._told = 0

    async def tell(self) -> tuple[int, float]:
        """Tell the next event; answers its number and the instant before it was told."""
        self._told += 1
        nth = self._told
        now = datetime.now(UTC)
        payload = {
            "version": 1_000 + nth,
            "state": "OPEN",
            "remaining": FIRST - nth,
            "opens_at": now.isoformat(),
            "closes_at": (now + timedelta(hours=1)).isoformat(),
        }
        at = time.monotonic()
        row = await self._database.fetchrow(
            """WITH told AS (SELECT coalesce(max(seq), 0) AS seq FROM live_event)
            INSERT INTO live_event (topic, kind, payload, at)
            SELECT $1, $2, $3::jsonb, now() FROM told
            RETURNING (SELECT seq FROM told), seq""",
            self._topic,
            DropClaimed.kind,
            json.dumps(payload),
        )
        if row is None:
            raise RuntimeError("nothing was inserted")
        before, seq = row
        fact = Fact(seq, self._topic, DropClaimed.kind, payload)
        await self._redis.publish(CHANNEL, encode_news(before, [fact]))
        return FIRST - nth, at


class Peer:
    """Tells the peer on Node the same by HTTP; it does the rest."""

    def __init__(self, port: int) -> None:
        """Tell the one at a port."""
        self._url = f"http://127.0.0.1:{port}/"
        self._client = httpx2.AsyncClient()
        self._told = 0

    async def tell(self) -> tuple[int, float]:
        """Tell the next event; answers its number and the instant before it was told."""
        self._told += 1
        nth = self._told
        now = datetime.now(UTC)
        drop: dict[str, Any] = {
            "id": "RHJvcDowMTljZmYxOS1iMjAwLTcwOTQtYjNlNi01NmU4YzA4N2QxYjM",
            "title": "bench",
            "state": "OPEN",
            "opensAt": now.isoformat(),
            "closesAt": (now + timedelta(hours=1)).isoformat(),
            "stock": 10,
            "remaining": FIRST - nth,
        }
        body = orjson.dumps({"cursor": "WzEwMDAwMDAsMTAwMDAwMF0", "drop": drop})
        at = time.monotonic()
        (await self._client.post(self._url, content=body)).raise_for_status()
        return FIRST - nth, at
