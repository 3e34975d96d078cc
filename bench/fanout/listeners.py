"""Many subscribers in one light process: plain sockets, one epoll, as little work as will do.

`python -m bench.fanout.listeners`, driven over its pipes by one JSON object a line: `open` opens
sockets and subscribes them, `count` says how many messages have come, `close` ends it. For each
event (told apart by the number after `"remaining":`) the instants at which it came are kept, on
the machine's monotonic clock.
"""

import base64
import json
import os
import selectors
import socket
import sys
import time
from array import array
from typing import Any

from bench.fanout.limits import raise_file_limit

MARK = b'"remaining":'
PATIENCE = 60.0
# So many are on their way at once while they open.
AT_ONCE = 100


class Refused(Exception):
    """The server said something else than it should have."""


class Listeners:
    """The sockets, and when each event came to them."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._waiting = selectors.DefaultSelector()
        self.came: dict[int, array[float]] = {}
        self.messages = 0

    def open(self, port: int, path: str, count: int, tokens: list[str | None], ask: str) -> None:
        """Open so many sockets, subscribe each, and wait for its first answer."""
        for start in range(0, count, AT_ONCE):
            batch = [self._connect(port) for _ in range(min(AT_ONCE, count - start))]
            for one in batch:
                one.sendall(_upgrade(port, path))
            for one in batch:
                _until(one, b"\r\n\r\n", b"101")
            for nth, one in enumerate(batch):
                token = tokens[(start + nth) % len(tokens)]
                payload = {} if token is None else {"authorization": f"Bearer {token}"}
                one.sendall(_text({"type": "connection_init", "payload": payload}))
            for one in batch:
                _until(one, b"connection_ack", b"connection_ack")
            for one in batch:
                one.sendall(_text({"id": "1", "type": "subscribe", "payload": json.loads(ask)}))
            for one in batch:
                _until(one, b'"next"', b'"next"')
                one.setblocking(False)
                self._waiting.register(one, selectors.EVENT_READ)
            self._sockets += batch

    def read(self, seconds: float) -> None:
        """Take what comes for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in self._waiting.select(left):
                self._take(key.fileobj)

    def _take(self, one: Any) -> None:
        data = one.recv(65_536)
        if not data:
            raise Refused("a socket was closed")
        if data[0] == 0x89:
            one.sendall(b"\x8a\x80\0\0\0\0")
        at = time.monotonic()
        place = data.find(MARK)
        while place >= 0:
            place += len(MARK)
            number = int(data[place : place + 12].split(b"}")[0].split(b",")[0])
            self.came.setdefault(number, array("d")).append(at)
            self.messages += 1
            place = data.find(MARK, place)

    def _connect(self, port: int) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return one


def _until(one: socket.socket, end: bytes, wanted: bytes) -> None:
    heard = b""
    while end not in heard:
        part = one.recv(65_536)
        if not part:
            raise Refused(heard.decode(errors="replace")[-500:])
        heard += part
    if wanted not in heard:
        raise Refused(heard.decode(errors="replace")[-500:])


def _upgrade(port: int, path: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    ).encode()


def _text(message: Any) -> bytes:
    """A client's text frame, masked by zeros, which change nothing."""
    body = json.dumps(message).encode()
    size = len(body)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + body


def main() -> int:
    """Do as told until there is nothing more to be told."""
    raise_file_limit()
    listeners = Listeners()
    for line in sys.stdin:
        given = json.loads(line)
        if given["do"] == "open":
            listeners.open(
                given["port"], given["path"], given["count"], given["tokens"], given["ask"]
            )
            answer: Any = {"open": given["count"]}
        else:
            listeners.messages = 0
            listeners.came.clear()
            busy = time.process_time()
            print("ready", flush=True)
            listeners.read(given["seconds"])
            answer = {
                "messages": listeners.messages,
                "driver_seconds": time.process_time() - busy,
                "came": {number: list(times) for number, times in listeners.came.items()},
            }
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
