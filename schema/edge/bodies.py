"""Request bodies: read within bounds of size and time."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from schema.edge.refusals import ClientGone, NotServed

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

LARGEST = 1_000_000
SECONDS = 10.0
# A client that is sending too much reads our answer only once it has sent all of it, or loses it
# with the connection: a little too much is read and thrown away, so that the client learns why.
THROWN_AWAY = 4_000_000
# All bodies that are still coming, together: thousands of slow senders must not fill the memory.
MOST_COMING = 64_000_000


class Bodies:
    """Reads the bodies of one process's requests."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        """Give each body so many seconds."""
        self._seconds = seconds
        self._coming = 0

    async def read(self, receive: Receive, declared: bytes | None) -> bytes:
        """The body as it came; `declared` is the request's Content-Length.

        Raises NotServed with 413 above 1 MB, 408 when it does not come in time, 503 while too much
        of others' is coming; ClientGone.
        """
        if declared is not None and len(declared) > 7 and int(declared) > LARGEST + THROWN_AWAY:
            raise _too_large(close=True)
        try:
            async with asyncio.timeout(self._seconds):
                message = await receive()
                if message["type"] == "http.request" and not message.get("more_body", False):
                    body: bytes = message.get("body", b"")
                    return _checked(body)
                return await self._joined(message, receive)
        except TimeoutError:
            raise NotServed(
                408, "REQUEST_TIMEOUT", "The body did not come in time.", close=True
            ) from None

    async def _joined(self, message: Message, receive: Receive) -> bytes:
        """The parts of a body, put together; what is too much is counted, not kept."""
        parts: list[bytes] = []
        size = 0
        try:
            while message["type"] == "http.request":
                part: bytes = message.get("body", b"")
                size += len(part)
                self._coming += len(part)
                self._check(size)
                if size <= LARGEST:
                    parts.append(part)
                if not message.get("more_body", False):
                    return _checked(b"".join(parts), size)
                message = await receive()
        finally:
            self._coming -= size
        raise ClientGone

    def _check(self, size: int) -> None:
        if size > LARGEST + THROWN_AWAY:
            raise _too_large(close=True)
        if self._coming > MOST_COMING and size <= LARGEST:
            raise NotServed(
                503,
                "OVERLOADED",
                "Too many bodies are coming; try again in a moment.",
                headers=[(b"retry-after", b"1")],
                close=True,
            )


def _checked(body: bytes, size: int | None = None) -> bytes:
    if (len(body) if size is None else size) > LARGEST:
        raise _too_large(close=False)
    return body


def _too_large(*, close: bool) -> NotServed:
    return NotServed(413, "BODY_TOO_LARGE", f"A body has at most {LARGEST:,} bytes.", close=close)
