"""What a socket is to be sent: at once while its peer reads, held back within bounds while not."""

import asyncio
from collections import deque

from schema.edge.wire import Wire
from schema.engine.fanout import Payload

# Facts and answers that wait for a peer that does not read.
MOST_WAITING = 1_000
MOST_BYTES = 4 * 1024 * 1024


class Overflow(Exception):
    """The peer reads so little that nothing more can be kept for it."""


class Letter:
    """A message that waits; an answer of a state is changed for a newer one where it stands."""

    __slots__ = ("message", "payload", "prefix", "size")

    def __init__(self, message: bytes, prefix: bytes = b"", payload: Payload | None = None) -> None:
        """A message, or an answer after its operation's prefix."""
        self.message = message
        self.prefix = prefix
        self.payload = payload
        self.size = len(message) if payload is None else len(payload.body)


class Outbox:
    """One socket's messages on their way out, in order."""

    __slots__ = ("_bytes", "_rooms", "_waiting", "wire")

    def __init__(self, wire: Wire) -> None:
        """Nothing waits."""
        self.wire = wire
        self._waiting: deque[Letter] | None = None
        self._bytes = 0
        self._rooms: list[asyncio.Future[None]] | None = None
        wire.drained = self.flush

    @property
    def is_behind(self) -> bool:
        """True while something waits for the peer to read."""
        return self._waiting is not None or self.wire.paused

    def send(self, message: bytes) -> None:
        """Send a message. Raises Overflow."""
        if self.is_behind:
            self._keep(Letter(message))
        else:
            self.wire.message(message)

    def next(self, prefix: bytes, payload: Payload, behind: Letter | None) -> Letter | None:
        """Send an answer, in the place of the one that waits if it makes that one worthless.

        Answers the letter that waits now. Raises Overflow.
        """
        if not self.is_behind:
            self.wire.next(prefix, payload)
            return None
        if behind is not None and behind.payload is not None:
            behind.payload = payload
            return behind
        letter = Letter(b"", prefix, payload)
        self._keep(letter)
        return letter

    def flush(self) -> None:
        """Send what waits while the peer reads."""
        waiting = self._waiting
        while waiting and not self.wire.paused:
            letter = waiting.popleft()
            self._bytes -= letter.size
            payload, letter.payload = letter.payload, None
            if payload is None:
                self.wire.message(letter.message)
            else:
                self.wire.next(letter.prefix, payload)
        if not waiting:
            self.clear()

    async def room(self) -> None:
        """Wait until nothing waits."""
        while self.is_behind:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._rooms = [*(self._rooms or ()), turn]
            await turn

    def drop(self, prefix: bytes) -> None:
        """Forget the answers of one operation that wait."""
        kept = [letter for letter in self._waiting or () if letter.prefix != prefix]
        self._waiting = deque(kept) if kept else None
        self._bytes = sum(letter.size for letter in kept)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting = None
        self._bytes = 0
        rooms, self._rooms = self._rooms, None
        for turn in rooms or ():
            if not turn.done():
                turn.set_result(None)

    def _keep(self, letter: Letter) -> None:
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        if len(waiting) >= MOST_WAITING or self._bytes + letter.size > MOST_BYTES:
            raise Overflow
        self._bytes += letter.size
        waiting.append(letter)
