"""Sockets with nothing behind them: thousands fit into one process, and each reads when told to."""

import asyncio
import base64
import json
import os
import socket
from typing import Any
from urllib.parse import urlsplit

PONG = b"\x8a\x80\x00\x00\x00\x00"
MASK = b"\x00\x00\x00\x00"
TEXT, CLOSE, PING = 1, 8, 9


def frame(opcode: int, body: bytes) -> bytes:
    """A client's frame, masked with zeros: the mask is for proxies, of which there are none."""
    size = len(body)
    head = bytes([0x80 | opcode])
    if size < 126:
        return head + bytes([0x80 | size]) + MASK + body
    return head + bytes([0x80 | 126]) + size.to_bytes(2) + MASK + body


def message(**words: Any) -> bytes:
    """A message of graphql-transport-ws."""
    return frame(TEXT, json.dumps(words).encode())


class RawSocket(asyncio.Protocol):
    """One socket: says hello, answers pings, keeps the texts that it got."""

    def __init__(self, host: str, hello: dict[str, Any]) -> None:
        self.texts: list[str] = []
        self.code: int | None = None
        self.is_over = False
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self._host = host
        self._hello = hello
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /graphql HTTP/1.1\r\nHost: {self._host}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Take the frames apart."""
        self._buffer += data
        if not self._upgraded and not self._upgrade():
            return
        while self._take():
            pass

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self.is_over = True
        for end in (self.closed, self.acknowledged):
            if not end.done():
                end.set_result(None)

    def send(self, data: bytes) -> None:
        """Send a frame."""
        self.transport.write(data)

    def _upgrade(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self.transport.abort()
            return False
        self._upgraded, self._buffer = True, rest
        self.send(message(type="connection_init", payload=self._hello))
        return True

    def _take(self) -> bool:
        """One frame, if it is there whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        size, start = buffer[1] & 127, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(buffer[2:start])
        if len(buffer) < start + size:
            return False
        body, self._buffer = buffer[start : start + size], buffer[start + size :]
        self._heed(buffer[0] & 15, body)
        return True

    def _heed(self, opcode: int, body: bytes) -> None:
        if opcode == PING:
            self.send(PONG)
        elif opcode == CLOSE:
            self.code = int.from_bytes(body[:2])
            self.send(frame(CLOSE, body[:2]))
            self.transport.close()
        elif not self.acknowledged.done():
            self.acknowledged.set_result(None)
        else:
            self.texts.append(body.decode())


async def opened(
    url: str,
    token: str | None = None,
    source: str | None = None,
    receive_buffer: int | None = None,
) -> RawSocket:
    """A socket that was acknowledged, from a source address of this machine."""
    parts = urlsplit(url)
    hello = {"authorization": f"Bearer {token}"} if token else {}
    line = socket.socket()
    if receive_buffer is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    line.setblocking(False)
    if source is not None:
        line.bind((source, 0))
    loop = asyncio.get_running_loop()
    await loop.sock_connect(line, (parts.hostname, parts.port))
    _, made = await loop.create_connection(lambda: RawSocket(parts.netloc, hello), sock=line)
    async with asyncio.timeout(60):
        await made.acknowledged
    assert not made.is_over, f"refused with {made.code}"
    return made
