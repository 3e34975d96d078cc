"""Groups that follow how one thing looks: the newest look at once, later ones at a pace."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.kernel.live import Fact, Live
from schema.context import Ctx
from schema.engine.groups import Group, Made, Subscriber
from schema.streams import PACE_SECONDS, StateStream

# The place of a last look: whoever resumes after the end is shown it again, so that they know.
END = 2**63


class StateGroup(Group[Made]):
    """Subscribers of one thing's looks; its latest answer serves whoever joins."""

    replaces = True

    def __init__(
        self,
        stream: StateStream[Any],
        live: Live,
        ctx: Ctx,
        make: Callable[[Any], Awaitable[Made]],
    ) -> None:
        """Follow the thing of a stream; it is looked at when somebody joins."""
        super().__init__(ctx, make)
        self._state = stream.state
        # The cursor first, then the look: whatever changes in between is seen twice, not never.
        self._seq = live.last
        self._detach = live.attach(stream.topic, self)
        self._latest: tuple[int, Made] | None = None
        self._changed = True
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, subscriber: Subscriber[Made]) -> None:
        """Send a subscriber the latest answer unless it has seen it, and every later one."""
        self.subscribers[subscriber] = None
        if self._latest is None:
            self._wake()
            return
        place, made = self._latest
        if subscriber.seen < place:
            subscriber.seen = place
            subscriber.sink.offer(made, replaces=True)

    def hear(self, fact: Fact) -> None:
        """Take in a fact; an answer is made of it when the pace allows."""
        self._state.hear(fact)
        self._seq = max(self._seq, fact.seq)
        self._changed = True
        if self._work is None:
            self._rest()

    async def _round(self) -> None:
        self._changed = False
        try:
            look = await self._state.look(self.ctx, self._seq)
            made = await self._make(look.event)
        except BaseException:
            self._changed = True
            raise
        place = END if look.last else look.place
        if self._latest is None or place > self._latest[0]:
            self._latest = (place, made)
            self._not_before = asyncio.get_running_loop().time() + PACE_SECONDS
            await self._deliver(made, place)
        if look.last:
            self._end(lambda sink: sink.finish())

    def _rest(self) -> None:
        if not self._changed or self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._not_before:
            self._wake()
        else:
            self._timer = loop.call_at(self._not_before, self._timed)

    def _timed(self) -> None:
        self._timer = None
        if self.subscribers:
            self._wake()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super()._stop()
