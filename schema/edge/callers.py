"""Who is calling: tokens turned into callers, cheaply, for as long as their session lives.

A token is verified once and remembered until it expires; that its session is live is remembered
for seconds. Every process asks PostgreSQL every two seconds which sessions and keys were revoked,
so that a log-out anywhere ends requests and open sockets everywhere, with Redis or without.
"""

import asyncio
import heapq
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Generic, TypeVar
from uuid import UUID

from app import staff
from app.kernel.auth import (
    ANONYMOUS,
    BadToken,
    Caller,
    MemberCaller,
    PartnerCaller,
    StaffCaller,
    TokenKeys,
    live_sessions,
    revoked_since,
)
from app.kernel.db import Database, Read
from app.kernel.log import logger
from app.kernel.tasks import end_tasks
from schema.batching import Batches

# How long a session that was live is taken to be so without asking again.
LIVE_SECONDS = 20.0
# How often a process asks what was revoked, and looks for tokens that have expired.
POLL_SECONDS = 2.0
TICK_SECONDS = 1.0
# A revocation carries the instant its transaction began at, by the clock of its own machine, and
# is seen after its commit: so far back each question reaches again.
OVERLAP = timedelta(minutes=2)
REMEMBERED = 20_000

log = logger(__name__)
K = TypeVar("K")
V = TypeVar("V")


class Ended(StrEnum):
    """Why a caller is no longer who they were."""

    REVOKED = "SESSION_ENDED"
    EXPIRED = "TOKEN_EXPIRED"


@dataclass(frozen=True, slots=True)
class Admission:
    """A caller, and until when (exclusive) their token speaks for them; None is for ever."""

    caller: Caller
    expires_at: datetime | None = None


NOBODY = Admission(ANONYMOUS)


@dataclass(eq=False, slots=True)
class Doubt:
    """A member whose token is good and whose session has yet to be looked up."""

    token: str
    admission: Admission
    session_id: UUID
    is_live: bool = False

    def told(self, found: bool | None, _: bool = True) -> None:
        """Hear what was found on the way; that it is not live is asked again."""
        self.is_live = bool(found)


class Remembered(OrderedDict[K, V], Generic[K, V]):
    """What was used last, up to a number of entries."""

    def put(self, key: K, value: V) -> None:
        """Remember, and forget what was used longest ago."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


@dataclass(eq=False, slots=True)
class _Watch:
    told: Callable[[Ended], None]
    over: bool = False


class Callers:
    """The callers of one process."""

    def __init__(
        self,
        database: Database,
        tokens: TokenKeys,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Answers at once; revocations elsewhere are seen early only after `start`."""
        self._database = database
        self._tokens = tokens
        self._monotonic = monotonic
        self._admitted = Remembered[str, Admission]()
        # By session or partner key: until when it counts as live, and what is known to have ended.
        self._live = Remembered[UUID, float]()
        self._ended = Remembered[UUID, None]()
        # Sessions that are presumed live while they are looked up, and until when no second time.
        self._doubted = Remembered[UUID, float]()
        self._watches: defaultdict[UUID, set[_Watch]] = defaultdict(set)
        self._expiries: list[tuple[float, int, _Watch]] = []
        self._order = count()
        self._lookups = Batches(database)
        self._asked_at = database.clock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look for revocations and expiries; the database may come later."""
        self._tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._tick())]

    async def stop(self) -> None:
        """End looking."""
        await end_tasks(self._tasks)
        self._tasks = []

    async def of_header(self, authorization: str | None) -> Caller:
        """Who an `Authorization: Bearer …` speaks for; anonymous if it speaks for nobody (now)."""
        return (await self.admit(authorization)).caller

    async def of_token(self, token: str) -> Caller:
        """Who a token or partner key speaks for; anonymous if it speaks for nobody (now)."""
        return (await self.admit_token(token)).caller

    async def admit(self, authorization: str | None) -> Admission:
        """The same as `of_header`, with the token's end, for what lives longer than a request."""
        if authorization is None:
            return NOBODY
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer":
            return NOBODY
        return await self.admit_token(token.strip())

    async def admit_token(self, token: str) -> Admission:
        """The same as `of_token`, with the token's end."""
        known = self._admitted.get(token)
        if known is not None and self._still_good(known):
            return known
        if token.startswith(staff.KEY_PREFIX):
            found = await self._partner(token)
        else:
            found = await self._bearer(token, known)
        key = None if found is None else _key_of(found.caller)
        if found is None or key is None or key in self._ended:
            self._admitted.pop(token, None)
            return NOBODY
        self._admitted.put(token, found)
        self._live.put(key, self._monotonic() + LIVE_SECONDS)
        return found

    async def presume(self, authorization: str) -> tuple[Admission, Doubt | None]:
        """The same as `admit`, but it does not wait for a look-up of a member's session.

        With a doubt the caller may only read, and nothing is answered before `settle` has ended it.
        The look-up can go out with what is read (`live_by_id`, which tells `Doubt.told`).
        """
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer":
            return NOBODY, None
        token = token.strip()
        known = self._admitted.get(token)
        if known is not None and self._still_good(known):
            return known, None
        if not token.startswith(staff.KEY_PREFIX):
            found = self._read(token, known)
            if found is None:
                return NOBODY, None
            caller = found.caller
            if isinstance(caller, MemberCaller) and self._may_presume(caller.session_id):
                self._doubted.put(caller.session_id, self._monotonic() + LIVE_SECONDS)
                return found, Doubt(token, found, caller.session_id)
        return await self.admit_token(token), None

    def _may_presume(self, session_id: UUID) -> bool:
        # One doubt at a time: whoever never lets it be settled (by leaving, or by documents that
        # are refused) charges the member's bucket once, and waits for the look-up from then on.
        doubted = self._doubted.get(session_id, 0.0) > self._monotonic()
        return not doubted and session_id not in self._ended

    async def settle(self, doubt: Doubt) -> Admission:
        """Who it is that was presumed: the member, or nobody."""
        key = doubt.session_id
        self._doubted.pop(key, None)
        if not doubt.is_live and not await self._lookups.load(self._live_of, key):
            # Neither on a replica nor on the primary: a session does not come to life again.
            self._ended.put(key, None)
        if key in self._ended:
            self._admitted.pop(doubt.token, None)
            return NOBODY
        self._admitted.put(doubt.token, doubt.admission)
        self._live.put(key, self._monotonic() + LIVE_SECONDS)
        return doubt.admission

    def end(self, *keys: UUID) -> None:
        """Take sessions or partner keys as ended from this instant on, in this process."""
        for key in keys:
            self._ended.put(key, None)
            self._live.pop(key, None)
            for watch in self._watches.pop(key, ()):
                _tell(watch, Ended.REVOKED)

    def watch(
        self, caller: Caller, expires_at: datetime | None, told: Callable[[Ended], None]
    ) -> Callable[[], None]:
        """Call `told` once, when the caller's session ends or their token expires.

        Answers what ends the watch. A dictionary entry a watch: ten thousand cost no task.
        """
        watch, key = _Watch(told), _key_of(caller)
        if key is None:
            return lambda: None
        if key in self._ended:
            asyncio.get_running_loop().call_soon(_tell, watch, Ended.REVOKED)
        self._watches[key].add(watch)
        if expires_at is not None:
            heapq.heappush(self._expiries, (expires_at.timestamp(), next(self._order), watch))

        def unwatch() -> None:
            watch.over = True
            group = self._watches.get(key)
            if group is not None:
                group.discard(watch)
                if not group:
                    del self._watches[key]

        return unwatch

    async def ended(self, caller: Caller, expires_at: datetime | None) -> Ended:
        """Wait until the caller's session ends or their token expires, and say which."""
        end: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

        def told(reason: Ended) -> None:
            if not end.done():
                end.set_result(reason)

        unwatch = self.watch(caller, expires_at, told)
        try:
            return await end
        finally:
            unwatch()

    @property
    def watched(self) -> int:
        """How many watches there are, for the metrics."""
        return sum(len(group) for group in self._watches.values())

    def _still_good(self, known: Admission) -> bool:
        if known.expires_at is not None and known.expires_at <= self._database.clock():
            return False
        key = _key_of(known.caller)
        return key is not None and self._live.get(key, 0.0) > self._monotonic()

    async def _partner(self, token: str) -> Admission | None:
        async with self._database.read() as read:
            caller = await staff.partner_by_key(read, token)
        return None if caller is None else Admission(caller)

    async def _bearer(self, token: str, known: Admission | None) -> Admission | None:
        found = self._read(token, known)
        key = None if found is None else _key_of(found.caller)
        return found if key is not None and await self._lookups.load(self._live_of, key) else None

    def _read(self, token: str, known: Admission | None) -> Admission | None:
        """What a token says, if it is one of ours and has not expired."""
        now = self._database.clock()
        if known is not None and known.expires_at is not None and known.expires_at > now:
            return known
        try:
            bearer = self._tokens.read(token, now)
        except BadToken:
            return None
        return Admission(bearer.caller, bearer.expires_at)

    async def _live_of(self, read: Read, keys: Iterable[UUID]) -> dict[UUID, bool]:
        """Those of the sessions that are live."""
        live = await live_sessions(read, keys)
        missing = set(keys) - live
        if missing:
            # A session that was opened just now may not have come to a replica yet.
            async with self._database.begin() as primary:
                live |= await live_sessions(primary, missing)
        return dict.fromkeys(live, True)

    async def _poll(self) -> None:
        while True:
            try:
                async with asyncio.timeout(10):
                    await self.look_for_revocations()
            except Exception as error:  # the database may be away: what it knows waits there
                log.warning("revocations wait for the database", error=type(error).__name__)
            await asyncio.sleep(POLL_SECONDS)

    async def look_for_revocations(self) -> None:
        """Ask once what was revoked since the last time, and end it here."""
        async with self._database.read() as read:
            since = min(self._asked_at, read.now) - OVERLAP
            sessions = await revoked_since(read, since)
            keys = await staff.keys_revoked_since(read, since)
        self._asked_at = read.now
        self.end(*(key for key in (*sessions, *keys) if key not in self._ended))

    async def _tick(self) -> None:
        while True:
            self.look_for_expiries()
            await asyncio.sleep(TICK_SECONDS)

    def look_for_expiries(self) -> None:
        """Tell those whose token has expired by now."""
        now = self._database.clock().timestamp()
        while self._expiries and self._expiries[0][0] <= now:
            _tell(heapq.heappop(self._expiries)[2], Ended.EXPIRED)


def _tell(watch: _Watch, reason: Ended) -> None:
    if watch.over:
        return
    watch.over = True
    try:
        watch.told(reason)
    except Exception as error:  # one socket's fault must not keep the others from being told
        log.error("a watch of a session failed", exc_info=error)


def _key_of(caller: Caller) -> UUID | None:
    if isinstance(caller, MemberCaller | StaffCaller):
        return caller.session_id
    return caller.id if isinstance(caller, PartnerCaller) else None
