"""One HTTP request and its answer, as ASGI has them."""

import os
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any

from app.kernel.errors import Locale
from schema.edge.bodies import Receive
from schema.edge.negotiation import Accepted, Media, accepted
from schema.edge.refusals import Header, NotServed, errors_of, malformed

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Two of these in one request contradict each other, and servers on the way may choose another one.
_ONCE = (b"authorization", b"content-encoding", b"content-length", b"content-type")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}\Z")
_ALWAYS: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Exchange:
    """A request being answered; made for speed, so it reads no more of the request than asked."""

    __slots__ = (
        "begun",
        "given",
        "kind",
        "method",
        "outcome",
        "receive",
        "repeats",
        "request_id",
        "scope",
        "send",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the request's headers; the body is read by whoever needs it."""
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        headers: list[Header] = scope["headers"]
        self.given = dict(headers)
        self.repeats = len(self.given) != len(headers)
        if self.repeats:
            self.given[b"accept"] = _joined(headers, b"accept")
        asked = self.given.get(b"x-request-id")
        good = asked is not None and _REQUEST_ID.match(asked)
        self.request_id = asked.decode() if good and asked is not None else os.urandom(16).hex()
        self.begun = False
        self.kind = "none"
        self.outcome = "ok"

    def check(self) -> None:
        """Raise NotServed for a header that stands there twice and must not."""
        if self.repeats:
            names = [name for name, _ in self.scope["headers"]]
            for name in _ONCE:
                if names.count(name) > 1:
                    raise malformed(f"The header {name.decode()} is given twice.")

    @property
    def accepted(self) -> Accepted:
        """What the client takes."""
        return accepted(self.given.get(b"accept"))

    @property
    def authorization(self) -> str | None:
        """The Authorization header."""
        found = self.given.get(b"authorization")
        return None if found is None else found.decode("latin-1")

    @property
    def locale(self) -> Locale:
        """The language that errors are told in."""
        return locale_of(self.given.get(b"accept-language", b"").decode("latin-1"))

    @property
    def address(self) -> str | None:
        """Where the request comes from, as the server knows it."""
        client = self.scope.get("client")
        return client[0] if client else None

    async def begin(self, status: int, media: Media, headers: Iterable[Header] = ()) -> None:
        """Send the status and the headers."""
        self.begun = True
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", media.value),
                    (b"x-request-id", self.request_id.encode()),
                    *_ALWAYS,
                    *headers,
                ],
            }
        )

    async def answer(
        self, status: int, media: Media, body: bytes, headers: Iterable[Header] = ()
    ) -> None:
        """Send a whole answer."""
        length = (b"content-length", str(len(body)).encode())
        await self.begin(status, media, (length, *headers))
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: NotServed) -> None:
        """Say why this is no GraphQL request that could be answered."""
        media = Media.RESPONSE if self.accepted.media is Media.RESPONSE else Media.JSON
        body = errors_of(refusal.message, refusal.code)
        await self.answer(refusal.status, media, body, refusal.headers)


@lru_cache(maxsize=256)
def locale_of(accepted_languages: str) -> Locale:
    """Chinese, unless English comes first in an Accept-Language."""
    return "en" if accepted_languages.strip().lower().startswith("en") else "zh-CN"


def _joined(headers: Iterable[Header], wanted: bytes) -> bytes:
    return b", ".join(value for name, value in headers if name == wanted)
