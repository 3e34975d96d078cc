"""The outbox relay: facts go from the transactions that made them to live topics and to jobs.

Two loops, so that neither waits for the other. *Telling* is one transaction in PostgreSQL: facts
with topics are numbered into `live_event` and leave the outbox, or stay there without topics when
a job still waits for them; then the news go out through Redis, and if that fails the hubs find
them in the table. *Handing over* sends the messages and deletes the facts after that, so that a
relay killed in between sends again. While Redis is away, telling goes on and jobs wait.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from dramatiq import Message
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.types import Text

from app.kernel.db import Database, Read, Tx
from app.kernel.live import CHANNEL, WAKE_CHANNEL, Fact, encode_news
from app.kernel.log import logger
from app.kernel.news import News
from app.kernel.redis import AWAY, Redis, hear
from app.kernel.tasks import end_tasks
from workers.reactions import Reactions

POLL_SECONDS = 0.15
RETRY_SECONDS = 1.0
TELL_BATCH = 1_000
SEND_BATCH = 200
TELL_LOCK = 0x11_0001
"""Advisory lock under which facts are numbered: numbers become visible in their order."""

_WAITING_TO_TELL = text("SELECT EXISTS (SELECT FROM outbox WHERE topics <> '{}')")

_TELL = text(
    """
    WITH batch AS (
        SELECT id, kind, topics, payload, at FROM outbox
        WHERE topics <> '{}' ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    ), told AS (
        INSERT INTO live_event (topic, kind, payload, at)
        SELECT topic, kind, payload, at FROM batch CROSS JOIN unnest(topics) topic ORDER BY id
        RETURNING seq, topic, kind, payload
    ), done AS (
        DELETE FROM outbox USING batch
        WHERE outbox.id = batch.id AND batch.kind <> ALL (:reacting)
    ), waiting AS (
        UPDATE outbox SET topics = '{}' FROM batch
        WHERE outbox.id = batch.id AND batch.kind = ANY (:reacting)
    )
    SELECT seq, topic, kind, payload,
        (SELECT coalesce(max(seq), 0) FROM live_event) AS before
    FROM told ORDER BY seq
    """
).bindparams(bindparam("reacting", type_=ARRAY(Text())))

_NEXT_TO_SEND = text(
    """
    SELECT id, kind, payload FROM outbox
    WHERE topics = '{}' ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    """
)
_SENT = text("DELETE FROM outbox WHERE id = ANY (:ids)").bindparams(
    bindparam("ids", type_=ARRAY(UUID()))
)

log = logger(__name__)

Send = Callable[[list[Message[Any]]], None]


class Relay:
    """The relay of one process; any number of processes may run one."""

    def __init__(self, database: Database, redis: Redis, send: Send, reactions: Reactions) -> None:
        """Nothing runs before `run`."""
        self._database = database
        self._redis = redis
        self._news = News(redis, CHANNEL)
        self._send = send
        self._reactions = reactions
        self._to_tell = asyncio.Event()
        self._to_send = asyncio.Event()

    async def run(self) -> None:
        """Relay until cancelled; losing the database or Redis only makes it wait."""
        parts = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._keep_on("telling", self.tell, self._to_tell)),
            asyncio.create_task(self._keep_on("sending", self.hand_over, self._to_send)),
        ]
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in ended:
                part.result()
        finally:
            await end_tasks(parts)

    async def _keep_on(
        self, what: str, step: Callable[[], Awaitable[int]], wake: asyncio.Event
    ) -> None:
        failing = False
        while True:
            wake.clear()
            try:
                moved = await step()
            except Exception as error:  # whatever it is, the facts are safe in the outbox
                if not failing:
                    log.warning("relay waits", step=what, error=f"{type(error).__name__}: {error}")
                failing = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if failing:
                log.info("relay goes on", step=what)
            failing = False
            if not moved:
                # Not wait_for: before Python 3.12 it swallows a cancellation that meets its result.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await wake.wait()

    async def tell(self) -> int:
        """Move one batch of facts to their live topics and say so; answers how many events."""
        async with self._database.begin() as tx:
            if not await tx.session.scalar(_WAITING_TO_TELL):
                return 0
            before, facts = await self._number(tx)
        self._to_send.set()
        if facts:
            # Every hub asks the table once a second as long as Redis says nothing.
            await self._news(encode_news(before, facts))
        return len(facts)

    async def _number(self, tx: Tx) -> tuple[int, list[Fact]]:
        await tx.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TELL_LOCK})
        given = {"batch": TELL_BATCH, "reacting": sorted(self._reactions.kinds)}
        rows = (await tx.session.execute(_TELL, given)).all()
        facts = [Fact(row.seq, row.topic, row.kind, row.payload) for row in rows]
        return (rows[0].before if rows else 0), facts

    async def hand_over(self) -> int:
        """Send one batch of facts to their jobs, then delete them; answers how many facts."""
        async with self._database.begin() as tx:
            rows = (await tx.session.execute(_NEXT_TO_SEND, {"batch": SEND_BATCH})).all()
            messages = [
                message for row in rows for message in self._reactions(row.kind, row.payload)
            ]
            if messages:
                await asyncio.to_thread(self._send, messages)
            if rows:
                await tx.session.execute(_SENT, {"ids": [row.id for row in rows]})
        return len(rows)

    async def _listen(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(hear(self._redis, WAKE_CHANNEL)) as said:
                    async for _ in said:
                        self._to_tell.set()
                        self._to_send.set()
            except AWAY:
                await asyncio.sleep(RETRY_SECONDS)


async def waiting(read: Read) -> dict[str, int]:
    """How many facts of each kind wait in the outbox, for `doctor` and the metrics."""
    rows = await read.session.execute(
        text("SELECT kind, count(*) AS number FROM outbox GROUP BY 1")
    )
    return {row.kind: row.number for row in rows}
