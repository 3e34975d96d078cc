"""A subscriber that reads its answers in its own time, in a task of its own."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from app.kernel.errors import Refusal
from app.kernel.live import Live
from schema.context import Ctx
from schema.engine.facts import FactGroup
from schema.engine.groups import Made, Subscriber
from schema.engine.states import StateGroup
from schema.errors import refused_query
from schema.live import ConsumerTooSlow
from schema.streams import FactStream, StateStream, Stream

T = TypeVar("T")

MOST_UNREAD = 1_000
# What has seen nothing is behind every place.
NOTHING = -1


class Inbox(Generic[Made]):
    """A sink that keeps a bounded number of answers until they are read."""

    def __init__(self) -> None:
        """Empty and open."""
        self._unread: deque[Made] = deque()
        self._news = asyncio.Event()
        self._read = asyncio.Event()
        self._over = False
        self._error: Exception | None = None

    def offer(self, made: Made, *, replaces: bool) -> None:
        """Keep an answer; a reader who is too far behind is given up."""
        if self._over:
            return
        if replaces:
            self._unread.clear()
        elif len(self._unread) >= MOST_UNREAD:
            self.fail(ConsumerTooSlow())
            return
        self._unread.append(made)
        self._news.set()

    def fail(self, error: Exception) -> None:
        """Raise an error to the reader, after what is unread."""
        self._error = error
        self.finish()

    def finish(self) -> None:
        """End, after what is unread."""
        self._over = True
        self._news.set()

    async def room(self) -> None:
        """Wait until everything was read."""
        while self._unread and not self._over:
            self._read.clear()
            await self._read.wait()

    async def read(self) -> AsyncGenerator[Made]:
        """The answers as they come; raises what the subscription failed with."""
        while True:
            while self._unread:
                made = self._unread.popleft()
                self._read.set()
                yield made
            if self._over:
                if self._error is not None:
                    raise self._error
                return
            self._news.clear()
            await self._news.wait()


def enter(
    stream: Stream[Any], group: StateGroup[Made] | FactGroup[Made], sink: Any
) -> Subscriber[Made]:
    """Put a subscriber into a group, from where its stream resumes."""
    if isinstance(group, StateGroup):
        seen = stream.seen if isinstance(stream, StateStream) else None
        subscriber: Subscriber[Made] = Subscriber(sink, NOTHING if seen is None else seen)
        group.join(subscriber)
    else:
        subscriber = Subscriber(sink, NOTHING)
        group.join(subscriber, stream.after if isinstance(stream, FactStream) else None)
    return subscriber


def group_of(
    stream: Stream[Any], live: Live, ctx: Ctx, make: Callable[[Any], Awaitable[Made]]
) -> StateGroup[Made] | FactGroup[Made]:
    """A new group that follows a stream."""
    if isinstance(stream, StateStream):
        return StateGroup(stream, live, ctx, make)
    assert isinstance(stream, FactStream), "there are two kinds of streams"
    return FactGroup(stream, live, ctx, make)


async def alone(stream: Stream[T]) -> AsyncGenerator[T]:
    """The events of a stream for one reader, for executors that know no groups."""

    async def same(event: T) -> T:
        return event

    live = stream.ctx.live
    await live.started()
    inbox: Inbox[T] = Inbox()
    group = group_of(stream, live, stream.ctx, same)
    subscriber = enter(stream, group, inbox)
    try:
        async for event in inbox.read():
            yield event
    except Refusal as refusal:
        raise refused_query(refusal, stream.ctx.locale) from None
    finally:
        group.leave(subscriber)
