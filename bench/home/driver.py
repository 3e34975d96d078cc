"""The load: a process of its own that answers commands on standard input with one line each.

Requests are written beforehand but for the token; answers are read just far enough to know where
they end and that they are no errors. Each connection sends its next request when the last is
answered.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
TOKEN_SECONDS = 3600


def token(key: bytes, member: str, session: str) -> str:
    """An access token like those that Linli signs at a log-in, but good for an hour."""
    now = int(time.time())
    claims = {"iss": "linli", "sub": member, "sid": session, "role": "MEMBER"}
    times = {"iat": now, "exp": now + TOKEN_SECONDS}
    head = _encoded(json.dumps({"alg": "HS256", "kid": "bench"}).encode())
    text = head + b"." + _encoded(json.dumps(claims | times).encode())
    return (text + b"." + _encoded(hmac.digest(key, text, hashlib.sha256))).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def request(path: str, body: str | None) -> tuple[bytes, bytes]:
    """What comes before and after the token."""
    method = "GET" if body is None else "POST"
    lines = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n"
    before = f"{lines}Authorization: Bearer ".encode()
    if body is None:
        return before, HEAD_END
    content = body.encode()
    kind = f"\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return before, kind.encode() + HEAD_END + content


@dataclass(slots=True)
class Seen:
    """What one turn has brought so far."""

    until: float
    latencies: list[float] = field(default_factory=list[float])
    answered_bytes: int = 0
    failed: int = 0
    sample: str = ""


class Client(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, make: Callable[[], bytes], seen: Seen, done: asyncio.Future[None]) -> None:
        """Send from the moment of connecting until the turn's time is over."""
        self._make, self._seen, self._done = make, seen, done
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server should not hang up: say so unless we did."""
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        """Read on until the answer is whole, then send the next request."""
        self._buffer = buffer = self._buffer + data if self._buffer else data
        size = answer_size(buffer)
        if size is None or len(buffer) < size:
            return
        now = time.perf_counter()
        self._seen.latencies.append(now - self._sent_at)
        self._note(buffer[:size])
        self._buffer = b""
        if now < self._seen.until:
            self._send()
        else:
            self._done.set_result(None)
            self._transport.close()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._make())

    def _note(self, answer: bytes) -> None:
        seen = self._seen
        head, _, body = answer.partition(HEAD_END)
        seen.answered_bytes += len(body)
        if not head.startswith(b"HTTP/1.1 200") or b'"errors":' in body:
            seen.failed += 1
            seen.sample = seen.sample or answer[:500].decode(errors="replace")


def answer_size(buffer: bytes) -> int | None:
    """How long the answer is in all, once its head is there."""
    end = buffer.find(HEAD_END)
    if end < 0:
        return None
    head = buffer[:end].lower()
    at = head.find(LENGTH)
    if at < 0:
        return _chunked_size(buffer, end + 4)
    line_end = head.find(b"\r", at)
    return end + 4 + int(head[at + len(LENGTH) : line_end if line_end > 0 else None])


def _chunked_size(buffer: bytes, at: int) -> int | None:
    last = buffer.find(b"\r\n0" + HEAD_END, at)
    return None if last < 0 else last + 7


class Load:
    """Tokens of all members, and turns against a server."""

    def __init__(self, key: bytes, sessions: list[tuple[str, str]]) -> None:
        """Sign every token once."""
        self._tokens = [token(key, *pair).encode() for pair in sessions]
        self._random = random.Random(7)

    async def turn(self, given: dict[str, Any]) -> dict[str, Any]:
        """Ask for so many seconds; `hot` draws from so many members instead of all."""
        before, after = request(given["path"], given["body"])
        tokens = self._tokens[: given["hot"]] if given["hot"] else self._tokens
        choice = self._random.choice
        loop = asyncio.get_running_loop()
        started, spent = time.perf_counter(), time.process_time()
        seen = Seen(started + given["seconds"])
        ends = [loop.create_future() for _ in range(given["connections"])]
        for end in ends:
            await loop.create_connection(
                lambda end=end: Client(lambda: before + choice(tokens) + after, seen, end),
                "127.0.0.1",
                given["port"],
            )
        await asyncio.wait_for(asyncio.gather(*ends), given["seconds"] + 30)
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
        waits = sorted(seen.latencies)
        return {
            "requests": len(waits),
            "seconds": seconds,
            "driver_seconds": spent,
            "p50": waits[len(waits) // 2],
            "p99": waits[len(waits) * 99 // 100],
            "bytes": seen.answered_bytes / len(waits),
            "failed": seen.failed,
            "sample": seen.sample,
        }


def main() -> None:
    """Read the first line's sessions, then answer commands until the input ends."""
    first = json.loads(sys.stdin.readline())
    load = Load(base64.b64decode(first["key"]), first["sessions"])
    print(json.dumps({"ready": True}), flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(load.turn(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
