"""Clients that do not give up: they ask again by their key, and follow on from their cursor."""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from schema.live import natural
from schema.paging import decode_cursor
from tests.chaos.rig import PATIENCE

# What says "not now": whoever asks again by the same key gets their answer.
NOT_NOW = {
    "INTERNAL",
    "UNAVAILABLE",
    "OVERLOADED",
    "DEADLINE_EXCEEDED",
    "MUTATION_TIMED_OUT",
    "THROTTLED",
    "TOO_MANY_CLAIMS",
}
STREAM_OVER = {
    "INTERNAL",
    "UNAVAILABLE",
    "STREAM_ENDED",
    "SLOW_CONSUMER",
    "DEADLINE_EXCEEDED",
    "OVERLOADED",
    "TOKEN_EXPIRED",
}
ATTEMPT_SECONDS = 20
KEPT_SECONDS = 30.0
LONGEST_PAUSE = 1.0
HELLO_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: the data, or why there is none; `code` is OK, an error's code, or NO_ANSWER."""

    code: str
    status: int
    seconds: float
    data: dict[str, Any] = field(default_factory=dict[str, Any])


class Crowd:
    """Everybody's HTTP: one pool of connections to any of the API processes."""

    def __init__(self, urls: list[str], *, connections: int = 200) -> None:
        self._urls = urls
        self._turn = itertools.count()
        limits = httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            # Sooner than the server lets go of it, or a request may meet a line just hung up.
            keepalive_expiry=KEPT_SECONDS,
        )
        self._client = httpx2.AsyncClient(timeout=ATTEMPT_SECONDS, limits=limits)
        self.codes: Counter[str] = Counter()

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._client.aclose()

    @property
    def requests(self) -> int:
        """How often anything was asked."""
        return self.codes.total()

    @property
    def again(self) -> int:
        """How often the answer was no answer."""
        return self.requests - self.codes["OK"]

    async def once(
        self, document: str, variables: dict[str, Any], token: str | None, url: str | None = None
    ) -> Reply:
        """Ask once, whatever comes of it."""
        chosen = url or self._urls[next(self._turn) % len(self._urls)]
        headers = {"authorization": f"Bearer {token}"} if token else {}
        begun = time.monotonic()
        try:
            answer = await self._client.post(
                f"{chosen}/graphql",
                json={"query": document, "variables": variables},
                headers=headers,
            )
            body = answer.json()
        except (httpx2.HTTPError, json.JSONDecodeError):
            # Cut off in the middle of a body it is no JSON either.
            self.codes["NO_ANSWER"] += 1
            return Reply("NO_ANSWER", 0, time.monotonic() - begun)
        code = _code_of(body)
        self.codes[code] += 1
        seconds = time.monotonic() - begun
        return Reply(code, answer.status_code, seconds, body.get("data") or {})

    async def ask(
        self, document: str, variables: dict[str, Any], token: str | None, url: str | None = None
    ) -> dict[str, Any]:
        """Ask until there is an answer, the same question under the same key."""
        deadline = time.monotonic() + PATIENCE
        for attempt in itertools.count():
            reply = await self.once(document, variables, token, url)
            if reply.code == "OK":
                return reply.data
            assert reply.code in NOT_NOW | {"NO_ANSWER"}, reply
            assert time.monotonic() < deadline, f"no answer in {PATIENCE} s: {self.codes}"
            pause = min(LONGEST_PAUSE, 0.05 * 2**attempt)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        raise AssertionError


def _code_of(body: dict[str, Any]) -> str:
    """The first error's code; that of a refusal that says to come again; else OK."""
    errors = body.get("errors")
    if errors:
        return str(errors[0].get("extensions", {}).get("code", "UNKNOWN"))
    for answer in (body.get("data") or {}).values():
        if isinstance(answer, dict) and answer.get("code") in NOT_NOW:
            return str(answer["code"])
    return "OK"


class Follower:
    """One subscription, taken up again after its last cursor whenever its socket breaks."""

    def __init__(
        self, urls: list[str], document: str, variables: dict[str, Any], token: str
    ) -> None:
        self.updates: list[dict[str, Any]] = []
        self.breaks = 0
        self._urls = itertools.cycle(random.sample(urls, len(urls)))
        self._document = document
        self._variables = variables
        self.token = token
        self._task = asyncio.create_task(self._follow())

    @property
    def places(self) -> list[int]:
        """The number behind each cursor, in the order of arrival."""
        return [decode_cursor(update["cursor"], natural)[0] for update in self.updates]

    async def end(self) -> None:
        """Follow no longer; raises what went wrong."""
        if self._task.done():
            self._task.result()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def heard(self, more_than: int) -> None:
        """Wait until more updates have come than so many."""
        async with asyncio.timeout(PATIENCE):
            while len(self.updates) <= more_than:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(HELLO_SECONDS) as hello:
                    await self._listen(hello)
            except (OSError, WebSocketException, TimeoutError):
                pass
            self.breaks += 1
            await asyncio.sleep(random.uniform(0.1, 0.4))

    async def _listen(self, hello: asyncio.Timeout) -> None:
        """Until the socket breaks or the stream ends."""
        address = next(self._urls).replace("http", "ws") + "/graphql"
        async with connect(
            address, subprotocols=[Subprotocol("graphql-transport-ws")], open_timeout=10
        ) as wire:
            given = {"authorization": f"Bearer {self.token}"}
            await wire.send(json.dumps({"type": "connection_init", "payload": given}))
            assert json.loads(await wire.recv())["type"] == "connection_ack"
            after = {"after": self.updates[-1]["cursor"]} if self.updates else {}
            payload = {"query": self._document, "variables": {**self._variables, **after}}
            await wire.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            hello.reschedule(None)
            async for text in wire:
                if not self._take(json.loads(text)):
                    return

    def _take(self, message: dict[str, Any]) -> bool:
        """Note an update; False when there will be no more."""
        if message["type"] == "next":
            (update,) = message["payload"]["data"].values()
            self.updates.append(update)
            return True
        if message["type"] == "error":
            code = message["payload"][0]["extensions"]["code"]
            assert code in STREAM_OVER, message
        return False
