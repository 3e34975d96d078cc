"""How bytes leave a socket: straight into uvicorn's transport, or by ASGI on any other server.

`SocketProtocol` is uvicorn's own protocol with what ASGI has no words for: whether the peer reads,
whether it is still there, and writing a frame that was built once for thousands of sockets. Start
uvicorn with `ws=SocketProtocol`; with another protocol or server everything works, only slower.
"""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from schema.edge.mailboxes import Gate, Mailbox
from schema.edge.messages import PING
from schema.engine.fanout import Payload

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_MESSAGE = 256 * 1024
# The name under which the protocol stands among a scope's ASGI extensions.
EXTENSION = "linli.wire"
# What a transport holds back for a peer that does not read, before we hold back ourselves.
HIGH_WATER = 32 * 1024
# What the kernel holds back: left to itself it takes megabytes of old news for each slow peer.
SEND_BUFFER = 128 * 1024
# An ASGI server does not say what it holds back: so many messages wait for it here at most.
ASGI_WAITING = 16
# A close frame reaches a peer that does not read in this time, or never.
CLOSE_SECONDS = 2.0

_QUIET = logging.getLogger("uvicorn.sockets")
_QUIET.setLevel(logging.WARNING)
_TEXT, _PING = 0x81, b"\x89\x00"
INVALID_UTF8 = 1007


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's sockets without compression and time-outs of their own, with a way to write."""

    drained: Callable[[], None] | None = None
    paused_since: float | None = None
    heard = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take messages of bounded size, uncompressed: contexts of compression cost 10 KB each."""
        super().__init__(*args, **kwargs)
        self.queue: Any = Mailbox()
        self.writable: Any = Gate()
        self.conn.available_extensions = None
        self.conn.max_message_size = LARGEST_MESSAGE
        # Both have two sentences to say of every socket.
        self.logger = self.conn.logger = _QUIET

    def handle_connect(self, event: Request) -> None:
        """Show ourselves to the application."""
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][EXTENSION] = self
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        plain = self.transport.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def let_go_of_request(self) -> None:
        """Forget the headers, now that the socket is open: they are most of its memory."""
        self.request: Any = None
        self.response: Any = None
        scope: Any = self.scope
        scope.clear()

    def start_keepalive(self) -> None:
        """One timer for all sockets is ours."""

    def data_received(self, data: bytes) -> None:
        """Note that the peer is there."""
        self.heard = True
        super().data_received(data)

    def pause_writing(self) -> None:
        """The peer does not read as fast as we write."""
        self.paused_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The peer has read most of it."""
        self.paused_since = None
        super().resume_writing()
        if self.drained is not None:
            self.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the application, which would keep us in memory and we it."""
        self.drained = None
        super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        """Close on text that is not in UTF-8, without a traceback in the logs."""
        if self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
            self.frames = []
            self.conn.send_close(INVALID_UTF8, "not UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def write(self, frame: bytes) -> None:
        """Write a whole frame, unless the socket is closing."""
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            self.transport.write(frame)


def _is_utf8(parts: list[bytes]) -> bool:
    try:
        (parts[0] if len(parts) == 1 else b"".join(parts)).decode()
    except UnicodeDecodeError:
        return False
    return True


def text_frame(message: bytes) -> bytes:
    """A server's text frame, which is not masked."""
    return _header(len(message)) + message


def _next_frame(prefix: bytes, body: bytes) -> bytes:
    return b"".join((_header(len(prefix) + len(body) + 1), prefix, body, b"}"))


def _next_message(prefix: bytes, body: bytes) -> bytes:
    return b"".join((prefix, body, b"}"))


def _header(size: int) -> bytes:
    if size < 126:
        return bytes((_TEXT, size))
    if size < 65_536:
        return bytes((_TEXT, 126)) + size.to_bytes(2, "big")
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big")


class Wire(ABC):
    """One socket's way out; nothing here waits but `close`."""

    __slots__ = ("_send", "drained")

    def __init__(self, send: Send) -> None:
        """Write to the socket of an ASGI `send` that has accepted."""
        self._send = send
        # Called when a paused wire takes messages again.
        self.drained: Callable[[], None] = _nothing

    @property
    def paused(self) -> bool:
        """True while the peer does not read: hold back what can be held back."""
        return self.paused_since is not None

    @property
    @abstractmethod
    def paused_since(self) -> float | None:
        """Since when, on the loop's clock, the peer has not read."""

    @abstractmethod
    def message(self, message: bytes) -> None:
        """Send a message."""

    @abstractmethod
    def next(self, prefix: bytes, payload: Payload) -> None:
        """Send an answer after its operation's prefix."""

    @abstractmethod
    def is_alive(self) -> bool:
        """True if something was heard since the last ping."""

    @abstractmethod
    def ping(self) -> None:
        """Ask the peer for a sign of life."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection."""

    async def close(self, code: int, reason: str) -> None:
        """Close; a peer that does not even read that is dropped."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except Exception:  # the peer has gone, or closed at the same time
            self.abort()


class DirectWire(Wire):
    """Straight into the transport; from here on the scope and the request are empty."""

    __slots__ = ("_protocol",)

    def __init__(self, send: Send, protocol: SocketProtocol) -> None:
        """Write to the socket of our own protocol."""
        super().__init__(send)
        self._protocol = protocol
        protocol.let_go_of_request()
        protocol.drained = self._drained

    @property
    def paused_since(self) -> float | None:
        """Since when the transport's buffer has been full."""
        return self._protocol.paused_since

    def message(self, message: bytes) -> None:
        """Send a message."""
        self._protocol.write(text_frame(message))

    def next(self, prefix: bytes, payload: Payload) -> None:
        """Send an answer: equal frames are the same bytes in memory."""
        self._protocol.write(payload.framed(prefix, _next_frame))

    def is_alive(self) -> bool:
        """True if something was heard since the last ping."""
        heard, self._protocol.heard = self._protocol.heard, False
        return heard

    def ping(self) -> None:
        """Send a ping frame, which every client answers by itself."""
        self._protocol.write(_PING)

    def abort(self) -> None:
        """Drop the connection."""
        self._protocol.transport.abort()

    def _drained(self) -> None:
        self.drained()


class AsgiWire(Wire):
    """By ASGI, whose `send` may wait: one task at a time sends what has piled up."""

    __slots__ = ("_full_since", "_heard", "_task", "_waiting")

    def __init__(self, send: Send) -> None:
        """Write by an ASGI server's `send`."""
        super().__init__(send)
        self._waiting: deque[str] = deque()
        self._task: asyncio.Task[None] | None = None
        self._heard = True
        self._full_since: float | None = None

    @property
    def paused_since(self) -> float | None:
        """Since when too much has waited for the server to take it."""
        return self._full_since

    def message(self, message: bytes) -> None:
        """Send a message."""
        self._waiting.append(message.decode())
        if self._full_since is None and len(self._waiting) >= ASGI_WAITING:
            self._full_since = asyncio.get_running_loop().time()
        if self._task is None:
            self._task = asyncio.create_task(self._write())

    def next(self, prefix: bytes, payload: Payload) -> None:
        """Send an answer."""
        self.message(_next_message(prefix, payload.body))

    def is_alive(self) -> bool:
        """True if something was heard since the last ping."""
        heard, self._heard = self._heard, False
        return heard

    def hear(self) -> None:
        """Note that a message came."""
        self._heard = True

    def ping(self) -> None:
        """Send the protocol's own ping: ASGI has no word for a socket's."""
        self.message(PING)

    def abort(self) -> None:
        """End writing: the server drops the connection when the application returns."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def close(self, code: int, reason: str) -> None:
        """Close after what is being sent."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
        await super().close(code, reason)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._send({"type": "websocket.send", "text": self._waiting.popleft()})
                if self._full_since is not None and len(self._waiting) < ASGI_WAITING:
                    self._full_since = None
                    self.drained()
        except Exception:  # the peer has gone: `receive` tells the connection
            self._waiting.clear()
        finally:
            self._task = None


def wire_of(scope: MutableMapping[str, Any], send: Send) -> DirectWire | AsgiWire:
    """The best way out of a socket."""
    protocol = (scope.get("extensions") or {}).get(EXTENSION)
    return DirectWire(send, protocol) if isinstance(protocol, SocketProtocol) else AsgiWire(send)


def _nothing() -> None:
    pass
