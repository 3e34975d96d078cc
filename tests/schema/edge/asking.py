"""Requests to the edge without a server in between: ASGI messages in, an answer out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from schema.context import Resources
from schema.edge.http import GraphQLEdge

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
TYPENAME = b'{"query":"{ __typename }"}'


@dataclass(slots=True)
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def data(self) -> Any:
        """The data of an answer without errors."""
        assert "errors" not in self.json, self.json
        return self.json["data"]

    @property
    def code(self) -> str:
        """The code of the first error."""
        return self.json["errors"][0]["extensions"]["code"]

    @property
    def media(self) -> str:
        return self.headers["content-type"].partition(";")[0]


@dataclass(slots=True)
class Client:
    """The far end of one request; it leaves when told to."""

    parts: Sequence[bytes]
    left: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[dict[str, Any]] = field(default_factory=list)
    _next: int = 0

    async def receive(self) -> dict[str, Any]:
        if self._next < len(self.parts):
            part = self.parts[self._next]
            self._next += 1
            more = self._next < len(self.parts)
            return {"type": "http.request", "body": part, "more_body": more}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def answer(self) -> Answered:
        start = self.sent[0]
        assert start["type"] == "http.response.start"
        assert not self.sent[-1].get("more_body", False), "the answer has no end"
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        body = b"".join(message["body"] for message in self.sent[1:])
        return Answered(start["status"], headers, body)


@dataclass(slots=True)
class Asker:
    """Asks one edge."""

    edge: GraphQLEdge

    def scope(
        self, method: str, headers: Sequence[tuple[str, str]], query_string: str
    ) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": "/graphql",
            "raw_path": b"/graphql",
            "query_string": query_string.encode(),
            "root_path": "",
            "scheme": "http",
            "client": ("127.0.0.1", 50000),
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in headers
            ],
        }

    async def __call__(
        self,
        body: bytes | Sequence[bytes] = b"",
        *,
        method: str = "POST",
        query_string: str = "",
        doubled: Sequence[tuple[str, str]] = (),
        **headers: str,
    ) -> Answered:
        """One request; header names with underscores, JSON unless it is said what it is."""
        client = Client([body] if isinstance(body, bytes) else body)
        await self.serve(
            client, method=method, query_string=query_string, doubled=doubled, **headers
        )
        return client.answer

    async def serve(
        self,
        client: Client,
        *,
        method: str = "POST",
        query_string: str = "",
        doubled: Sequence[tuple[str, str]] = (),
        **headers: str,
    ) -> None:
        """Serve this client to the end."""
        given = {"accept-language": "en"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if method == "POST":
            given.setdefault("content-type", JSON)
        scope = self.scope(method, [*given.items(), *doubled], query_string)
        async with asyncio.timeout(30):
            await self.edge(scope, client.receive, client.send)

    async def ask(
        self, query: str, variables: dict[str, Any] | None = None, **headers: str
    ) -> Answered:
        """A document by POST."""
        return await self(orjson.dumps({"query": query, "variables": variables}), **headers)


def asker_with(resources: Resources, **settings: Any) -> Asker:
    """An asker of an edge with these settings."""
    chosen = resources.settings.model_copy(update=settings)
    return Asker(GraphQLEdge(replace(resources, settings=chosen)))
