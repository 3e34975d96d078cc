"""The load: a process of its own that answers commands on standard input with one line each.

A turn sends one request for each of some members, all written beforehand, over connections that
are kept alive; each connection sends its next request when the last is answered.
"""

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import uvloop

from bench.home.driver import HEAD_END, answer_size, request, token

PATIENCE_SECONDS = 120
OTHER = "other"


class Turn:
    """What is sent and what has come back."""

    def __init__(self, requests: Iterator[bytes], marks: dict[str, bytes]) -> None:
        """`marks` are names of answers by the bytes that they hold."""
        self.requests = requests
        self.latencies: list[float] = []
        self.answers: Counter[str] = Counter()
        self.sample = ""
        self._marks = marks

    def note(self, answer: bytes) -> None:
        """Count the answer; keep the first that is like none of the marks."""
        body = answer.partition(HEAD_END)[2]
        for name, mark in self._marks.items():
            if mark in body:
                self.answers[name] += 1
                return
        self.answers[OTHER] += 1
        self.sample = self.sample or answer[:600].decode(errors="replace")


class Client(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, turn: Turn, done: "asyncio.Future[None]") -> None:
        """Send until no requests are left."""
        self._turn, self._done = turn, done
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
        self._turn.latencies.append(time.perf_counter() - self._sent_at)
        self._buffer = b""
        self._turn.note(buffer[:size])
        self._send()

    def _send(self) -> None:
        following = next(self._turn.requests, None)
        if following is None:
            self._done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(following)


async def run(tokens: list[bytes], given: dict[str, Any]) -> dict[str, Any]:
    """One turn: a request for each of the tokens `first` to `last`."""
    before, after = request("/graphql", given["body"])
    requests = [before + each + after for each in tokens[given["first"] : given["last"]]]
    marks = {name: mark.encode() for name, mark in given["marks"].items()}
    turn = Turn(iter(requests), marks)
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(given["connections"])]
    started, spent = time.perf_counter(), time.process_time()
    for end in ends:
        await loop.create_connection(lambda end=end: Client(turn, end), "127.0.0.1", given["port"])
    await asyncio.wait_for(asyncio.gather(*ends), PATIENCE_SECONDS)
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    waits = sorted(turn.latencies)
    return {
        "requests": len(waits),
        "seconds": seconds,
        "driver_seconds": spent,
        "p50": waits[len(waits) // 2],
        "p99": waits[len(waits) * 99 // 100],
        "answers": turn.answers,
        "sample": turn.sample,
    }


def main() -> None:
    """Read the first line's sessions and sign their tokens, then answer commands."""
    first = json.loads(sys.stdin.readline())
    key = base64.b64decode(first["key"])
    tokens = [token(key, *pair).encode() for pair in first["sessions"]]
    print(json.dumps({"ready": len(tokens)}), flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(run(tokens, json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
