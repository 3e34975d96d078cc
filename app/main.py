"""The web process: GraphQL at /graphql over HTTP and sockets, health, readiness, metrics."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import text
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from app.kernel.auth import TokenKeys
from app.kernel.clock import Clock, system_clock
from app.kernel.config import Settings, load_settings
from app.kernel.crypto import Vault
from app.kernel.db import Database
from app.kernel.forwarding import Forwarding
from app.kernel.live import WAKE_CHANNEL, Live
from app.kernel.log import configure_logs, logger
from app.kernel.news import News
from app.kernel.redis import Redis, close
from app.kernel.redis import connect as connect_redis
from app.wechat import WeChat, fake_routes
from schema import GRAPHIQL, ChurnFigures, GraphQLEdge, Resources, Sockets, download

READY_SECONDS = 2.0
GRAPHQL_PATH = "/graphql"
# Revisions are numbered, so the newest file's number is the schema that this version needs.
VERSIONS = Path(__file__).parent.parent / "migrations" / "versions"
NEWEST_REVISION = max(
    (file.name.partition("_")[0] for file in VERSIONS.glob("[0-9]*.py")), default=""
)
log = logger(__name__)


class NotMigrated(Exception):
    """The database is at another schema than this version's."""


@dataclass(slots=True)
class Parts:
    """What the process holds from start to stop."""

    resources: Resources
    redis: Redis


def connect(settings: Settings, clock: Clock = system_clock) -> Parts:
    """Make the process's parts; nothing is connected yet.

    Raises ValueError when the addresses of the stores are not set.
    """
    if not settings.database_url or not settings.redis_url:
        raise ValueError("LINLI_DATABASE_URL and LINLI_REDIS_URL must be set, or run `linli up`")
    database = Database(
        settings.database_url,
        read_url=settings.read_database_url,
        pool_size=settings.pool_size,
        pgbouncer=settings.pgbouncer,
        clock=clock,
    )
    redis = connect_redis(settings.redis_url)
    resources = Resources(
        settings=settings,
        database=database,
        live=Live(database, redis),
        vault=Vault.from_settings(settings),
        tokens=TokenKeys.from_settings(settings),
        wechat=WeChat(settings),
    )
    database.after_emit = News(redis, WAKE_CHANNEL)
    return Parts(resources, redis)


class Web(FastAPI):
    """FastAPI for the small things; requests of GraphQL go past its middleware and routing.

    Those cost as much as a small answer does.
    """

    def __init__(
        self,
        graphql: ASGIApp,
        sockets: ASGIApp,
        forwarding: Forwarding,
        lifespan: Callable[["Web"], AbstractAsyncContextManager[None]],
    ) -> None:
        """Serve GraphQL at /graphql by applications of its own for requests and for sockets."""
        super().__init__(
            title="Linli", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
        )
        self._graphql = {"http": graphql, "websocket": sockets}
        self._forwarding = forwarding
        # Behind a proxy that sets a root path the address is longer, and the router knows how.
        self.router.routes.append(Route(GRAPHQL_PATH, graphql))
        self.router.routes.append(WebSocketRoute(GRAPHQL_PATH, sockets))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one socket."""
        graphql = self._graphql.get(scope["type"])
        if graphql is not None:
            self._forwarding.apply(scope)
        if graphql is not None and scope["path"] == GRAPHQL_PATH:
            await graphql(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    """The ASGI application."""
    settings = settings or load_settings()
    configure_logs(settings)
    held = parts or connect(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        starting = asyncio.create_task(_start_live(held.resources.live))
        held.resources.callers.start()
        yield
        starting.cancel()
        await held.resources.claims.drain()
        await edge.close()
        await held.resources.callers.stop()
        await held.resources.live.stop()
        await held.resources.wechat.close()
        await held.resources.database.close()
        await close(held.redis)

    registry = CollectorRegistry()
    edge = GraphQLEdge(held.resources, registry, held.redis)
    forwarding = Forwarding(settings.trusted_proxies, held.redis)
    app = Web(_cross_origin(edge, settings), Sockets(edge), forwarding, lifespan)
    if settings.env != "production":
        app.router.routes.extend(fake_routes())
        app.mount("/graphiql", StaticFiles(directory=GRAPHIQL), name="graphiql")
        app.add_api_route("/", lambda: RedirectResponse("/graphql"), include_in_schema=False)
    active = Gauge("graphql_subscriptions_active", "Open subscriptions", registry=registry)
    active.set_function(lambda: edge.fanout.active)
    app.router.routes.append(Route("/exports/{id}", download(held.resources)))
    _add_health(app, held, registry, ChurnFigures(held.resources.database, registry))
    return app


def _cross_origin(edge: GraphQLEdge, settings: Settings) -> ASGIApp:
    origins = settings.origins
    if not origins:
        return edge
    return CORSMiddleware(
        edge,
        allow_origins=sorted(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "retry-after"],
        max_age=600,
    )


async def _start_live(live: Live) -> None:
    while True:
        try:
            await live.start()
            return
        except Exception as error:  # the database may come later than we do; /readyz tells
            log.info("live topics wait for the database", error=type(error).__name__)
            await asyncio.sleep(1)


def _add_health(
    app: FastAPI, parts: Parts, registry: CollectorRegistry, churn: ChurnFigures
) -> None:
    async def healthz() -> Response:
        return PlainTextResponse("ok")

    async def readyz() -> Response:
        checks = {
            "database": await _answers(_ping_database(parts.resources.database)),
            "migrations": await _answers(_check_revision(parts.resources.database)),
            "redis": await _answers(_ping_redis(parts.redis)),
        }
        # Queries and claims go on without Redis, so only the database decides.
        status = 200 if checks["database"] == checks["migrations"] == "ok" else 503
        return JSONResponse({"ready": status == 200, **checks}, status_code=status)

    async def metrics(_: Request) -> Response:
        await churn.refresh()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/healthz", healthz, include_in_schema=False)
    app.add_api_route("/readyz", readyz, include_in_schema=False)
    app.router.routes.append(Route("/metrics", metrics))


async def _answers(ping: Coroutine[Any, Any, None]) -> str:
    try:
        await asyncio.wait_for(ping, READY_SECONDS)
    except NotMigrated as error:
        return str(error)
    except Exception as error:  # whatever is wrong, the answer is that it is not ready
        return f"unavailable: {type(error).__name__}"
    return "ok"


async def _ping_database(database: Database) -> None:
    async with database.read() as read:
        await read.session.execute(text("SELECT 1"))


async def _check_revision(database: Database) -> None:
    async with database.read() as read:
        known = await read.session.scalar(text("SELECT to_regclass('alembic_version')::text"))
        found = known and await read.session.scalar(text("SELECT version_num FROM alembic_version"))
    if found != NEWEST_REVISION:
        raise NotMigrated(f"at {found or 'nothing'}, needs {NEWEST_REVISION}: run `linli migrate`")


async def _ping_redis(redis: Redis) -> None:
    await redis.ping()
