"""Groups of subscribers to whom the same is sent: what happens is made into an answer once.

A group listens to its topic by a callback and has a task only while there is something to make.
Handing an answer to a subscriber never waits: a sink takes it at once or gives the subscriber up.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from app.kernel.errors import Refusal
from app.kernel.live import Fact
from app.kernel.log import logger
from schema.context import Ctx
from schema.live import StreamEnded

Made = TypeVar("Made")
Made_contra = TypeVar("Made_contra", contravariant=True)

# Between so many subscribers the loop gets a turn: nobody else waits for a large group.
AT_ONCE = 250
# What fails by accident is tried again so often, each time after so long; those who have been
# following are kept through a restart of the database.
TRIES = 3
TRIES_LATER = 60
AGAIN_SECONDS = 1.0

log = logger(__name__)


class Sink(Protocol[Made_contra]):
    """Where a subscriber's answers go."""

    def offer(self, made: Made_contra, *, replaces: bool) -> None:
        """Take an answer without waiting; it `replaces` those that were not sent yet."""

    def fail(self, error: Exception) -> None:
        """The subscription has failed, as the group's `shown` tells it; nothing more comes."""

    def finish(self) -> None:
        """The subscription has ended; nothing more comes."""

    async def room(self) -> None:
        """Wait until what was offered is as good as sent."""


class Subscriber(Generic[Made]):
    """One place in a group; `seen` is the greatest place or number that it need not be sent."""

    __slots__ = ("gone", "seen", "sink")

    def __init__(self, sink: Sink[Made], seen: int) -> None:
        """Nothing is sent before it is in a group."""
        self.sink = sink
        self.seen = seen
        self.gone = False


class Group(ABC, Generic[Made]):
    """Subscribers that share their answers."""

    replaces = False

    def __init__(self, ctx: Ctx, make: Callable[[Any], Awaitable[Made]]) -> None:
        """Follow for a context, whose caller is nobody where the answers are for everyone."""
        self.ctx = ctx
        self.subscribers: dict[Subscriber[Made], None] = {}
        self.on_empty: Callable[[], None] = _nothing
        # How an exception is told to subscribers; asked once for all of them.
        self.shown: Callable[[Exception], Exception] = _same
        self._make = make
        self._work: asyncio.Task[None] | None = None
        self._detach: Callable[[], None] = _nothing
        self._failures = 0
        self._has_begun = False

    def leave(self, subscriber: Subscriber[Made]) -> None:
        """Send a subscriber nothing more; the last one to leave ends the group."""
        subscriber.gone = True
        self.subscribers.pop(subscriber, None)
        if self.is_empty:
            self.close()

    @property
    def is_empty(self) -> bool:
        """True when nobody is in it or about to be."""
        return not self.subscribers

    def close(self) -> None:
        """Follow no longer."""
        self._stop()
        if self._work is not None:
            self._work.cancel()

    def lost(self) -> None:
        """The hub has stopped."""
        self._fail(StreamEnded())

    async def _deliver(self, made: Made, place: int) -> None:
        """Hand an answer to everyone who has not seen as much."""
        self._has_begun = True
        replaces = self.replaces
        everyone = tuple(self.subscribers)
        for start in range(0, len(everyone), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            for subscriber in everyone[start : start + AT_ONCE]:
                if subscriber.seen < place and not subscriber.gone:
                    subscriber.seen = place
                    subscriber.sink.offer(made, replaces=replaces)

    def _wake(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Make and deliver what there is; the group works again when it is woken again."""
        try:
            while True:
                try:
                    await self._round()
                    self._failures = 0
                    break
                except Refusal as refusal:
                    self._fail(refusal)
                    break
                except Exception as error:  # a store may be away for a moment: keep trying
                    self._failures += 1
                    if self._failures == 1:
                        log.warning("a live topic waits", error=type(error).__name__)
                    if self._failures >= (TRIES_LATER if self._has_begun else TRIES):
                        self._fail(error)
                        break
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._work = None
        if self.subscribers:
            self._rest()

    def _fail(self, error: Exception) -> None:
        """Tell everyone why it is over, and close."""
        if not self.is_empty:
            shown = self.shown(error)
            self._end(lambda sink: sink.fail(shown))

    def _end(self, tell: Callable[[Sink[Made]], None]) -> None:
        """Tell everyone that it is over, and close."""
        everyone, self.subscribers = tuple(self.subscribers), {}
        for subscriber in everyone:
            if not subscriber.gone:
                subscriber.gone = True
                tell(subscriber.sink)
        self._stop()

    def _stop(self) -> None:
        self._detach()
        self.on_empty()

    @abstractmethod
    def hear(self, fact: Fact) -> None:
        """A fact of the topic, each once, in order."""

    @abstractmethod
    async def _round(self) -> None:
        """Make and deliver what there is to deliver."""

    @abstractmethod
    def _rest(self) -> None:
        """See to it that the group is woken for what came meanwhile."""


def _nothing() -> None:
    pass


def _same(error: Exception) -> Exception:
    return error
