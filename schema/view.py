"""GraphQL over HTTP and graphql-transport-ws at one address."""

import re
from datetime import timedelta
from json import JSONDecodeError
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import structlog
from cross_web import HTTPException  # what Strawberry answers refused requests by
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UnsetType

from app.kernel.auth import ANONYMOUS
from app.kernel.errors import Locale
from schema.build import build_schema
from schema.context import Ctx, Resources

INIT_SECONDS = 10
# NUL in a JSON text; after an escaped backslash the same letters are only letters.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
GRAPHIQL = Path(__file__).with_name("graphiql")


class GraphQLView(GraphQL[Ctx, None]):
    """Strawberry's ASGI view with Linli's callers, JSON and limits."""

    def __init__(self, resources: Resources) -> None:
        """Serve the schema with these resources; GraphiQL only outside production."""
        super().__init__(
            build_schema(),
            graphql_ide=None if resources.settings.env == "production" else "graphiql",
            allow_queries_via_get=False,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
        )
        self._resources = resources

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> Ctx:
        """The request's caller and language; a socket's caller comes with connection_init."""
        headers = request.headers
        request_id = headers.get("x-request-id", "")[:64] or uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        context = Ctx(
            resources=self._resources,
            locale=_locale(headers.get("accept-language", "")),
            request_id=request_id,
            address=request.client.host if request.client else None,
        )
        if isinstance(request, Request):
            context.caller = await self._resources.callers.of_header(headers.get("authorization"))
        return context

    async def on_ws_connect(self, context: Ctx) -> UnsetType | dict[str, object] | None:
        """Learn who is calling from connection_init; a bad token refuses the connection."""
        given = context.connection_params or {}
        token = given.get("authorization") or given.get("Authorization")
        caller = await self._resources.callers.of_header(token if isinstance(token, str) else None)
        if token and caller == ANONYMOUS:
            raise ConnectionRejectionError()
        context.caller = caller
        if isinstance(given.get("locale"), str):
            context.locale = _locale(given["locale"])
        return {}

    async def render_graphql_ide(self, request: Request) -> Response:
        """GraphiQL from our own files: no page of ours loads code from elsewhere."""
        return FileResponse(GRAPHIQL / "index.html")

    def parse_json(self, data: str | bytes) -> Any:
        """The JSON of a request's body, or an answer 400 that says what is wrong with it."""
        try:
            return self.decode_json(data)
        except JSONDecodeError as error:
            raise HTTPException(400, f"Unable to parse request body as JSON: {error}") from error

    def decode_json(self, data: str | bytes) -> object:
        """A strict JSON object; NUL, which PostgreSQL cannot store, is refused here."""
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        if _NUL.search(raw):
            raise JSONDecodeError("text may not hold NUL characters", "", 0)
        value = orjson.loads(raw)
        if not isinstance(value, dict):
            raise JSONDecodeError("an object is expected", "", 0)
        return value  # pyright: ignore[reportUnknownVariableType]  # JSON of any shape

    def encode_json(self, data: object) -> str:
        """JSON as text, so that sockets send text frames."""
        return orjson.dumps(data, default=_plain).decode()


def _locale(accepted: str) -> Locale:
    return "en" if accepted.strip().lower().startswith("en") else "zh-CN"


def _plain(value: Any) -> Any:
    if isinstance(value, set | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
