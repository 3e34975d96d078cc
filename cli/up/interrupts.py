"""Ctrl-C, SIGTERM and a closed terminal, once and again."""

import signal
import time
from collections.abc import Callable
from types import FrameType

# `make` and `uv` hand a Ctrl-C on that the terminal has sent us already.
ECHO_SECONDS = 0.5


class StopRequested(BaseException):
    """Raised in the main thread while things are still being started."""


class Interrupts:
    """Counts requests to stop; the first ends what runs, a later one forces the end.

    Until `calm` is called the first request raises StopRequested wherever the main thread is, so
    that a long first step can be left; afterwards it only sets `requested`.
    """

    def __init__(self, force: Callable[[], None]) -> None:
        """`force` is called in the signal handler on each request after the first."""
        self.requested = False
        self._raises = True
        self._first = 0.0
        self._force = force
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Interrupts":
        """Take the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType] # as we got it

    def calm(self) -> None:
        """From now on a request is only noted."""
        self._raises = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested:
            if now - self._first > ECHO_SECONDS:
                self._force()
            return
        self.requested = True
        self._first = now
        if self._raises:
            self._raises = False
            raise StopRequested
