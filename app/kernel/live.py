"""Live topics: what subscriptions follow, across processes, through a Redis restart.

PostgreSQL holds the truth: the relay numbers facts into `live_event` in commit order, and that
number is a subscriber's cursor. Redis carries the news at once: each message holds its events and
the number before them, so a process that has seen that number delivers without asking the database,
and any other reads the gap first. While Redis is away the hub asks the database every second.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import orjson
from sqlalchemy import func, select, text

from app.kernel.db import Database, Read
from app.kernel.log import logger
from app.kernel.outbox import LiveEvent
from app.kernel.redis import AWAY, Redis, hear
from app.kernel.table import Json
from app.kernel.tasks import end_tasks

CHANNEL = "linli:live"
WAKE_CHANNEL = "linli:outbox"
KEPT = timedelta(hours=24)
QUEUE = 1000
BATCH = 1000
POLL_SECONDS = 1.0

log = logger(__name__)

_KEPT = """
    SELECT coalesce((SELECT min(seq) FROM live_event), last_value + 1) AS oldest,
           last_value AS newest
    FROM live_event_seq_seq
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact as a follower gets it; `seq` resumes after it."""

    seq: int
    topic: str
    kind: str
    payload: Json


class SlowFollower(Exception):
    """The follower did not keep up and its queue overflowed; it may resume from its cursor."""


class CursorExpired(Exception):
    """The cursor is older than what is kept, or none of ours; start again without one."""


class Listener(Protocol):
    """What is told of a topic's facts; it may not block, and hands on whatever takes time."""

    def hear(self, fact: Fact) -> None:
        """A fact of the topic, each once, in order."""

    def lost(self) -> None:
        """The hub has stopped: no more facts come."""


@dataclass(eq=False, slots=True)
class _Follower:
    """A listener that keeps a bounded number of facts for one that reads them in its own time."""

    queue: asyncio.Queue[Fact | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    overflowed: bool = False

    def hear(self, fact: Fact) -> None:
        try:
            self.queue.put_nowait(fact)
        except asyncio.QueueFull:
            self.overflowed = True

    def lost(self) -> None:
        self.overflowed = True
        with contextlib.suppress(asyncio.QueueFull):
            self.queue.put_nowait(None)


async def facts_after(read: Read, seq: int, topic: str | None = None) -> list[Fact]:
    """The next facts after a cursor, of one topic or of all, at most 1,000."""
    query = select(LiveEvent.seq, LiveEvent.topic, LiveEvent.kind, LiveEvent.payload)
    query = query.where(LiveEvent.seq > seq).order_by(LiveEvent.seq).limit(BATCH)
    if topic is not None:
        query = query.where(LiveEvent.topic == topic)
    return [Fact(*row) for row in await read.session.execute(query)]


class Live:
    """The hub of one process: tails the live events and hands them to the followers of topics."""

    def __init__(self, database: Database, redis: "Redis | None") -> None:
        """Nothing runs before `start`."""
        self._database = database
        self._redis = redis
        self._listeners: dict[str, dict[Listener, None]] = defaultdict(dict)
        self._last = 0
        self._started = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    @property
    def followers(self) -> int:
        """How many listeners are attached."""
        return sum(len(group) for group in self._listeners.values())

    @property
    def last(self) -> int:
        """The cursor up to which everything has been handed out; every later fact will be."""
        return self._last

    async def started(self) -> None:
        """Wait until the hub tails: the database may come later than we do."""
        await self._started.wait()

    async def start(self) -> None:
        """Begin to tail from the present end."""
        self._last = await self.head()
        self._started.set()
        self._tasks = [asyncio.create_task(self._poll())]
        if self._redis is not None:
            self._tasks.append(asyncio.create_task(self._listen(self._redis)))

    async def stop(self) -> None:
        """End the tailing and release every follower."""
        await end_tasks(self._tasks)
        for group in tuple(self._listeners.values()):
            for listener in tuple(group):
                listener.lost()

    def attach(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Tell a listener of every fact of a topic after `last`; answers what detaches it."""
        self._listeners[topic][listener] = None

        def detach() -> None:
            group = self._listeners.get(topic)
            if group is not None:
                group.pop(listener, None)
                if not group:
                    del self._listeners[topic]

        return detach

    async def head(self) -> int:
        """The newest cursor."""
        async with self._database.read() as read:
            return await read.session.scalar(select(func.max(LiveEvent.seq))) or 0

    async def follow(self, topic: str, *, after: int | None) -> AsyncGenerator[Fact]:
        """Facts on a topic after a cursor (or from now on), in order, none missing, none twice.

        Raises CursorExpired for a cursor outside of what is kept, SlowFollower when the caller
        does not keep up.
        """
        follower = _Follower()
        detach = self.attach(topic, follower)
        try:
            last = await self.head() if after is None else after
            if after is not None:
                await self.still_kept(after)
                async for fact in self._backlog(topic, after):
                    last = fact.seq
                    yield fact
            while True:
                fact = await follower.queue.get()
                if follower.overflowed:
                    raise SlowFollower(topic)
                if fact is not None and fact.seq > last:
                    last = fact.seq
                    yield fact
        finally:
            detach()

    async def _backlog(self, topic: str, after: int) -> AsyncGenerator[Fact]:
        while True:
            facts, after = await self.kept_after(topic, after)
            for fact in facts:
                yield fact
            if len(facts) < BATCH:
                return

    async def kept_after(self, topic: str, after: int) -> tuple[list[Fact], int]:
        """The next facts of a topic after a cursor, at most 1,000, and how far they reach.

        No fact of the topic up to there is missing, even where a replica that lags was asked.
        """
        async with self._database.read() as read:
            end = await read.session.scalar(select(func.max(LiveEvent.seq))) or 0
            facts = await facts_after(read, after, topic)
        if len(facts) == BATCH:
            end = facts[-1].seq
        elif facts:
            end = max(end, facts[-1].seq)
        return facts, max(end, after)

    async def still_kept(self, after: int) -> None:
        """Raise CursorExpired for a cursor outside of what is kept; 0 asks for all there is."""
        # The sequence knows the end even when all was swept.
        async with self._database.read() as read:
            kept = (await read.session.execute(text(_KEPT))).one()
        if after and not kept.oldest - 1 <= after <= kept.newest:
            raise CursorExpired(str(after))

    async def _poll(self) -> None:
        while True:
            # Not wait_for: before Python 3.12 it swallows a cancellation that meets its result.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._catch_up()
            except Exception as error:  # the database may be away: keep trying, readers see /readyz
                log.warning("live tail waits for the database", error=str(error))
                await asyncio.sleep(POLL_SECONDS)

    async def _catch_up(self) -> None:
        while True:
            async with self._database.read() as read:
                facts = await facts_after(read, self._last)
            self._dispatch(facts)
            if len(facts) < BATCH:
                return

    def _dispatch(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            if fact.seq <= self._last:
                continue
            self._last = fact.seq
            for listener in tuple(self._listeners.get(fact.topic, ())):
                listener.hear(fact)

    async def _listen(self, redis: Redis) -> None:
        while True:
            try:
                async with contextlib.aclosing(hear(redis, CHANNEL)) as said:
                    async for message in said:
                        if message is None:
                            self._news.set()  # what was said while we were not listening
                        else:
                            self._hear(orjson.loads(message))
            except AWAY as error:
                log.warning("live news wait for redis", error=str(error))
                await asyncio.sleep(POLL_SECONDS)

    def _hear(self, message: dict[str, Any]) -> None:
        if message["before"] == self._last:
            self._dispatch(Fact(*item) for item in message["facts"])
        else:
            self._news.set()


def encode_news(before: int, facts: list[Fact]) -> bytes:
    """The Redis message that carries facts and the cursor before them."""
    items = [[fact.seq, fact.topic, fact.kind, fact.payload] for fact in facts]
    return orjson.dumps({"before": before, "facts": items})
