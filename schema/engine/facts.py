"""Groups that follow facts: each once, in order, to each subscriber from where they left off."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from app.kernel.live import CursorExpired, Fact, Live
from schema.context import Ctx
from schema.engine.groups import AGAIN_SECONDS, TRIES, Group, Made, Sink, Subscriber, log
from schema.live import ConsumerTooSlow, CursorTooOld
from schema.streams import FactStream

# Facts that wait to be made into answers; a group that falls behind by more is given up.
MOST_WAITING = 1_000
# A replica that lags is asked again after so long, so many times.
LAG_SECONDS = 0.05
MOST_LAGS = 200


class FactGroup(Group[Made]):
    """Subscribers of one topic's facts."""

    def __init__(
        self,
        stream: FactStream[Any],
        live: Live,
        ctx: Ctx,
        make: Callable[[Any], Awaitable[Made]],
    ) -> None:
        """Follow the topic of a stream from now on."""
        super().__init__(ctx, make)
        self.replaces = stream.latest_only
        self._topic = stream.topic
        self._event = stream.event
        self._live = live
        self._source = stream.source_in(live)
        # What was handed to the subscribers, or was before the group's time.
        self._taken = self._source.last
        self._waiting: deque[Fact] = deque()
        self._resuming: dict[Subscriber[Made], asyncio.Task[None]] = {}
        self._detach = self._source.attach(stream.topic, self)

    def join(self, subscriber: Subscriber[Made], after: int | None) -> None:
        """Send a subscriber every fact after a cursor, or from now on."""
        subscriber.seen = self._source.last if after is None else after
        if after is None or after == self._source.last:
            self.subscribers[subscriber] = None
            return
        task = asyncio.create_task(self._resume(subscriber, after))
        self._resuming[subscriber] = task
        task.add_done_callback(lambda _: self._resuming.pop(subscriber, None))

    def leave(self, subscriber: Subscriber[Made]) -> None:
        """Send a subscriber nothing more, not even what it missed."""
        task = self._resuming.pop(subscriber, None)
        if task is not None:
            task.cancel()
        super().leave(subscriber)

    @property
    def is_empty(self) -> bool:
        """True when nobody is in it or about to be."""
        return not self.subscribers and not self._resuming

    def hear(self, fact: Fact) -> None:
        """Take in a fact."""
        if self.is_empty:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            self._fail(ConsumerTooSlow())
            return
        self._waiting.append(fact)
        self._wake()

    async def _round(self) -> None:
        while self._waiting:
            fact = self._waiting[0]
            made = await self._made(fact)
            # From here to the first delivery nothing else runs: a subscriber who joins now has
            # either read this fact in the log or is among those that it is handed to.
            self._waiting.popleft()
            self._taken = fact.seq
            if made is not None:
                await self._deliver(made, fact.seq)

    async def _made(self, fact: Fact) -> Made | None:
        event = await self._event(self.ctx, fact)
        return None if event is None else await self._make(event)

    def _rest(self) -> None:
        if self._waiting:
            self._wake()

    async def _resume(self, subscriber: Subscriber[Made], after: int) -> None:
        """Send what was missed, one by one, then let the subscriber in among the others."""
        try:
            await self._live.still_kept(after)
            await self._send_missed(subscriber)
        except CursorExpired:
            self._give_up(subscriber, CursorTooOld())
        except Exception as error:  # whatever it is, this subscriber alone is told
            self._give_up(subscriber, error)
        else:
            self.subscribers[subscriber] = None

    async def _send_missed(self, subscriber: Subscriber[Made]) -> None:
        failures = lags = 0
        while True:
            try:
                facts, reach = await self._live.kept_after(self._topic, subscriber.seen)
                await self._send(subscriber, facts)
            except Exception:
                failures += 1
                if failures >= TRIES:
                    raise
                log.warning("what a subscriber missed waits")
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            subscriber.seen = max(subscriber.seen, reach)
            if subscriber.seen >= self._taken:
                return
            if not facts:
                lags += 1
                if lags >= MOST_LAGS:
                    raise CursorTooOld()
                await asyncio.sleep(LAG_SECONDS)

    async def _send(self, subscriber: Subscriber[Made], facts: list[Fact]) -> None:
        for fact in facts:
            made = await self._made(fact)
            subscriber.seen = fact.seq
            if made is not None:
                subscriber.sink.offer(made, replaces=self.replaces)
                await subscriber.sink.room()

    def _give_up(self, subscriber: Subscriber[Made], error: Exception) -> None:
        if not subscriber.gone:
            subscriber.gone = True
            subscriber.sink.fail(self.shown(error))
        self._resuming.pop(subscriber, None)
        if self.is_empty:
            self.close()

    def _end(self, tell: Callable[[Sink[Made]], None]) -> None:
        self.subscribers.update(dict.fromkeys(self._resuming))
        super()._end(tell)

    def _stop(self) -> None:
        for task in tuple(self._resuming.values()):
            if task is not asyncio.current_task():
                task.cancel()
        super()._stop()
