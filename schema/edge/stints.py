"""A request's time at work: a place among those that run, a deadline, and a client that waits."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from schema.edge.bodies import Receive
from schema.edge.refusals import ClientGone, Overloaded

# Most requests are over before it would pay to watch whether their client is still there.
LOOK_AFTER = 0.05
# A driver may take a cancellation for a time-out of its own and go on: it is told again.
AGAIN_SECONDS = 2.0
WAITING_PER_PLACE = 4


class DeadlinePassed(Exception):
    """The request was cancelled because its time was up."""


class Places:
    """How many requests of a process run at once, and how many more may wait."""

    def __init__(self, places: int) -> None:
        """So many run; four times as many wait, the rest are sent away."""
        self.running = 0
        self.waiting = 0
        self._most_waiting = places * WAITING_PER_PLACE
        self._free = asyncio.Semaphore(places)

    async def enter(self) -> None:
        """Take a place, at once if there is one; raises Overloaded where too many wait."""
        if self._free.locked():
            if self.waiting >= self._most_waiting:
                raise Overloaded
            self.waiting += 1
            try:
                await self._free.acquire()
            finally:
                self.waiting -= 1
        else:
            await self._free.acquire()
        self.running += 1

    def leave(self) -> None:
        """Give the place to the next."""
        self.running -= 1
        self._free.release()


class Stint:
    """`async with` it around a request's work.

    Raises Overloaded when no place came free in time, DeadlinePassed when the work was cut off,
    ClientGone when its client left; a stint that `must_finish` goes on without its client.
    """

    __slots__ = (
        "_cuts",
        "_places",
        "_reason",
        "_receive",
        "_seconds",
        "_task",
        "_timer",
        "_watcher",
        "must_finish",
    )

    def __init__(self, places: Places, seconds: float, receive: Receive) -> None:
        """Nothing runs yet; `receive` is read only for the news that the client left."""
        self._places = places
        self._seconds = seconds
        self._receive = receive
        self._cuts = 0
        self._reason: type[Exception] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.must_finish = False

    async def __aenter__(self) -> Self:
        """Wait for a place."""
        task = asyncio.current_task()
        assert task is not None, "a request is served in a task"
        self._task = task
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(LOOK_AFTER, self._seconds), self._look)
        try:
            await self._places.enter()
        except asyncio.CancelledError:
            self._end()
            if self._reason is None:
                raise
            self._take_back()
            raise (Overloaded() if self._reason is DeadlinePassed else ClientGone()) from None
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the place, and say why the work was cut off if it was."""
        self._end()
        self._places.leave()
        if self._reason is not None and kind is asyncio.CancelledError:
            self._take_back()
            raise self._reason from None

    def _take_back(self) -> None:
        """The cancellations were ours: the task goes on to tell its client."""
        for _ in range(self._cuts):
            self._task.uncancel()

    def _end(self) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _look(self) -> None:
        """It takes longer than most: watch the client from now on, and the clock."""
        loop = asyncio.get_running_loop()
        self._watcher = loop.create_task(self._watch())
        left = max(0.0, self._seconds - LOOK_AFTER)
        self._timer = loop.call_later(left, self._cut, DeadlinePassed)

    async def _watch(self) -> None:
        with contextlib.suppress(Exception):  # a server that cannot say so leaves the deadline
            while (await self._receive())["type"] != "http.disconnect":
                pass
            if not self.must_finish:
                self._cut(ClientGone)

    def _cut(self, reason: type[Exception]) -> None:
        if self._reason is None:
            self._reason = reason
        self._timer.cancel()
        self._cuts += 1
        self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._cut, reason)
