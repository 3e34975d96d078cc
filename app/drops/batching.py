"""Group commit of claims: whatever waits for a drop leaves together, in one transaction.

There is no timer. A claim that finds its drop idle leaves at once, alone; those that come while it
is on its way leave together once it has committed. So the batches grow with the load, and an idle
house answers as fast as it can.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

import orjson

from app.drops.connecting import Wire, outage
from app.drops.errors import NotYetYours, TooManyClaims
from app.drops.serving import (
    REFUSALS,
    TOO_LATE,
    UNDECIDED,
    WAITS,
    Asked,
    Outcome,
    Terms,
    Told,
    serve,
    terms_of,
)
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.kernel.idempotency import check_key, digest_of
from app.kernel.log import logger
from app.kernel.tasks import end_tasks

log = logger(__name__)

# Of one transaction; a batch of this size takes some tens of milliseconds.
MOST_TOGETHER = 1_000
# Of all drops; who comes beyond is told to come again.
MOST_WAITING = 20_000
# Drops that are served at the same time, each on a connection of its own.
LANES = 4
# After so many batches a busy drop lets another one have its connection.
STRETCH = 100
# So many batches after a collision with another process the row is locked in advance.
CAUTIOUS = 32
# Seconds before each new attempt while PostgreSQL is away.
PATIENCE = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
DRAIN_SECONDS = 10
ROUNDS = 20
ALONE = 3
MOST_TERMS = 1_000


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim: the first one to its key, however often it is asked."""

    coupon_id: UUID
    claimed_at: datetime


Answer = Claimed | type[Refusal] | Exception


@dataclass(eq=False, slots=True)
class _Waiting:
    """A claim, and everyone who waits for its answer: doubles of one tap wait together."""

    asked: Asked
    callers: "list[asyncio.Future[Answer]]" = field(default_factory=list["asyncio.Future[Answer]"])
    answered: bool = False


@dataclass(slots=True)
class _Lane:
    """What waits for one drop, first come first served; of each member one claim at a time."""

    drop_id: UUID
    members: dict[UUID, deque[_Waiting]] = field(default_factory=dict[UUID, deque[_Waiting]])
    caution: int = 0

    def add(self, waiting: _Waiting) -> None:
        """At the end."""
        self.members.setdefault(waiting.asked.member_id, deque()).append(waiting)

    def take(self, most: int) -> list[_Waiting]:
        """The first claim of each of the first members."""
        batch: list[_Waiting] = []
        for member_id in list(islice(self.members, most)):
            own = self.members[member_id]
            batch.append(own.popleft())
            if not own:
                del self.members[member_id]
        return batch


class Claims:
    """The claims of one process on their way to PostgreSQL."""

    def __init__(self, database: Database, *, most_waiting: int = MOST_WAITING) -> None:
        """Nothing is connected yet."""
        self._database = database
        self._most_waiting = most_waiting
        self._open = True
        self._lanes: dict[UUID, _Lane] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(LANES)
        self._asked: dict[tuple[UUID, Asked], _Waiting] = {}
        self._terms: dict[UUID, Terms] = {}
        self._wires: list[Wire] = []
        self._waker = _Waker(database)

    async def claim(
        self, *, drop_id: UUID, member_id: UUID, key: str, given: Mapping[str, object]
    ) -> Claimed:
        """Give the member one coupon of the drop, once for this key; committed when it answers.

        The same as `claim_once` in a transaction of its own. Who stops waiting does not stop the
        claim. Raises InvalidInput, IdempotencyKeyReused, TooManyClaims and what `claim` refuses.
        """
        check_key(key)
        asked = Asked(member_id, key, digest_of(given))
        waiting = self._asked.get((drop_id, asked))
        if waiting is None:
            if not self._open or len(self._asked) >= self._most_waiting:
                raise TooManyClaims()
            waiting = _Waiting(asked)
            self._asked[(drop_id, asked)] = waiting
            self._enqueue(drop_id, waiting)
        # Each caller waits by a future of their own, so that who goes away ends no other's wait.
        own: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting.callers.append(own)
        answer = await own
        if isinstance(answer, Claimed):
            return answer
        raise answer

    async def drain(self) -> None:
        """Take no more claims, and answer those that were taken.

        What PostgreSQL has not answered after ten seconds is told to come again; its key will tell.
        """
        self._open = False
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        await end_tasks(tasks)
        for drop_id, asked in list(self._asked):
            self._answer(drop_id, self._asked[(drop_id, asked)], TooManyClaims)
        await self._waker.rest()
        while self._wires:
            await self._wires.pop().close()

    def _enqueue(self, drop_id: UUID, waiting: _Waiting) -> None:
        lane = self._lanes.get(drop_id)
        if lane is None:
            lane = self._lanes[drop_id] = _Lane(drop_id)
            # Of no caller: a context of its own keeps one request's id out of others' logs.
            self._tasks[drop_id] = asyncio.get_running_loop().create_task(
                self._run(lane), context=Context()
            )
        lane.add(waiting)

    async def _run(self, lane: _Lane) -> None:
        """Serve a drop until nobody waits for it."""
        try:
            while lane.members:
                async with self._free:
                    await self._serve(lane)
        except Exception as error:  # a fault of ours; nobody may wait for ever
            log.exception("claims stopped", error=type(error).__name__)
            for waiting in (one for own in lane.members.values() for one in own):
                self._answer(lane.drop_id, waiting, error)
        finally:
            # Nothing may be awaited between the last look at the lane and this.
            del self._lanes[lane.drop_id], self._tasks[lane.drop_id]

    async def _serve(self, lane: _Lane) -> None:
        """Batch after batch on one connection, until nobody waits or others should have it."""
        wire = self._wires.pop() if self._wires else Wire(self._database)
        for _ in range(STRETCH):
            if not lane.members:
                break
            batch = lane.take(MOST_TOGETHER)
            await self._settle(lane, wire, batch)
            await wire.count(len(batch))
        self._wires.append(wire)

    async def _settle(
        self, lane: _Lane, wire: Wire, batch: Sequence[_Waiting], tries: int = ALONE
    ) -> None:
        """Answer every claim of the batch, whatever happens.

        A claim that fails (a deadlock, an input that PostgreSQL does not take) takes nobody along:
        the batch is halved until it stands alone, and then it has a few tries.
        """
        try:
            await self._decide(lane, wire, batch)
        except Exception as error:
            left = [waiting for waiting in batch if not waiting.answered]
            middle = len(left) // 2
            if outage(error) or (not middle and not tries):
                log.warning("claims failed", claims=len(left), error=type(error).__name__)
                for waiting in left:
                    self._answer(lane.drop_id, waiting, error)
            elif middle:
                await self._settle(lane, wire, left[:middle])
                await self._settle(lane, wire, left[middle:])
            else:
                await self._settle(lane, wire, left, tries - 1)

    async def _decide(self, lane: _Lane, wire: Wire, batch: Sequence[_Waiting]) -> None:
        """Serve the batch; those who met a rival are served again, with fresh eyes."""
        for _ in range(ROUNDS):
            told, now = await self._patiently(lane, wire, batch)
            outcomes = {item.outcome for item in told}
            if Outcome.STALE in outcomes:
                lane.caution = CAUTIOUS
            if Outcome.NEW_TERMS in outcomes:
                self._terms.pop(lane.drop_id, None)
            if Outcome.GIVEN in outcomes:
                self._waker.wake()
            # Who came too late behind an undecided claim may yet be in time.
            again = UNDECIDED | TOO_LATE if UNDECIDED & outcomes else UNDECIDED
            left: list[_Waiting] = []
            for waiting, item in zip(batch, told, strict=True):
                if item.outcome in again:
                    left.append(waiting)
                else:
                    self._answer(lane.drop_id, waiting, _answer_of(item, now))
            if not left:
                return
            batch = left
        raise Undecided(f"{len(batch)} claims met rivals {ROUNDS} times")

    async def _patiently(
        self, lane: _Lane, wire: Wire, batch: Sequence[_Waiting]
    ) -> tuple[list[Told], datetime]:
        """Ask PostgreSQL, a few times if it is away; what it committed is found by its keys."""
        asked = [waiting.asked for waiting in batch]
        failed: Exception | None = None
        for pause in PATIENCE:
            if pause:
                await asyncio.sleep(pause)
            now = self._database.clock()
            cautious = lane.caution > 0
            lane.caution -= cautious
            try:
                terms = await self._terms_of(lane.drop_id)
                connection = await wire.connection()
                told = await serve(
                    connection,
                    lane.drop_id,
                    terms,
                    asked,
                    now=now,
                    locked=cautious or self._database.pgbouncer,
                )
            except Exception as error:
                if not outage(error):
                    raise
                failed = error
                wire.drop()
            else:
                return told, now
        assert failed is not None
        raise failed

    async def _terms_of(self, drop_id: UUID) -> Terms | None:
        found = self._terms.get(drop_id)
        if found is None:
            async with self._database.read() as read:
                found = await terms_of(read, drop_id)
            if found is not None:
                if len(self._terms) >= MOST_TERMS:
                    self._terms.clear()
                self._terms[drop_id] = found
        return found

    def _answer(self, drop_id: UUID, waiting: _Waiting, answer: Answer) -> None:
        del self._asked[(drop_id, waiting.asked)]
        waiting.answered = True
        for caller in waiting.callers:
            # Never an exception: a caller who goes away leaves nobody to look at it.
            if not caller.done():
                caller.set_result(answer)


class Undecided(Exception):
    """Claims met a rival each time they were tried."""


def _answer_of(told: Told, now: datetime) -> Answer:
    if told.outcome == Outcome.GIVEN and told.coupon_id is not None:
        return Claimed(told.coupon_id, now)
    if told.outcome == Outcome.REPEATED:
        answer = orjson.loads(told.answer or "{}")
        return Claimed(UUID(answer["coupon"]), datetime.fromisoformat(answer["at"]))
    if told.outcome in WAITS:
        return NotYetYours(at=datetime.fromisoformat(orjson.loads(told.answer or "null")))
    return REFUSALS[told.outcome]


class _Waker:
    """Tells the relay that there are facts; meanwhile the next batch is on its way."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = False
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Soon; many at once become one."""
        self._wanted = True
        if self._task is None and self._database.after_emit is not None:
            self._task = asyncio.get_running_loop().create_task(
                self._run(self._database.after_emit), context=Context()
            )

    async def rest(self) -> None:
        """Wait until nothing is left to tell."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, tell: Callable[[], Awaitable[None]]) -> None:
        try:
            while self._wanted:
                self._wanted = False
                await tell()
        finally:
            self._task = None
