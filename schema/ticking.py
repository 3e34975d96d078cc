"""The tick of the second, for all who follow it here; no timer runs while nobody does."""

import asyncio
import time
from collections.abc import Callable

from app.kernel.live import Fact, Listener


class Ticker:
    """Tells its listeners at every whole second of the wall clock."""

    def __init__(self) -> None:
        """Stand still until somebody listens."""
        self._listeners: dict[Listener, None] = {}
        # Counted, not read off the clock: that may be set back.
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def last(self) -> int:
        """The number of the last tick."""
        return self._count

    def attach(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Tell a listener of every later tick; answers what detaches it."""
        del topic
        self._listeners[listener] = None
        if self._timer is None:
            self._wait(int(time.time()) + 1)

        def detach() -> None:
            self._listeners.pop(listener, None)
            if not self._listeners and self._timer is not None:
                self._timer.cancel()
                self._timer = None

        return detach

    def _wait(self, second: int) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, second - time.time()), self._tick, second)

    def _tick(self, second: int) -> None:
        now = time.time()
        if second - 1 < now < second:
            # Timers of the loop may come a moment early.
            self._wait(second)
            return
        self._wait(int(now) + 1)
        self._count += 1
        fact = Fact(self._count, "time", "tick", {})
        for listener in tuple(self._listeners):
            listener.hear(fact)


TICKER = Ticker()
