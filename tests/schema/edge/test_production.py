"""What a production serves: what is written down, and nothing else."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route, WebSocketRoute

from app.kernel.config import Settings
from app.kernel.redis import close
from app.main import connect, create_app

CLOSED = [
    "/",
    "/graphiql",
    "/graphiql/",
    "/graphiql/index.html",
    "/dev/wechat/sns/jscode2session?js_code=dev-me",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/exports/",
    "/../pyproject.toml",
]
BROWSER = {"accept": "text/html"}


@pytest.fixture
async def apps() -> AsyncIterator[dict[str, FastAPI]]:
    """One of each kind, whose stores nobody answers for."""
    made: dict[str, FastAPI] = {}
    parts = []
    for env in ("development", "production"):
        settings = Settings(
            _env_file=None,
            database_url="postgresql://nobody@127.0.0.1:1/none",
            redis_url="redis://127.0.0.1:1/0",
        ).model_copy(update={"env": env})
        parts.append(connect(settings))
        made[env] = create_app(settings, parts[-1])
    yield made
    for part in parts:
        await part.resources.wechat.close()
        await part.resources.database.close()
        await close(part.redis)


async def statuses(app: FastAPI) -> dict[str, int]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://linli.example") as client:
        return {
            path: (await client.get(path, headers=BROWSER)).status_code
            for path in (*CLOSED, "/graphql", "/healthz")
        }


async def test_nothing_of_development_is_served(apps: dict[str, FastAPI]) -> None:
    closed = await statuses(apps["production"])
    assert {closed[path] for path in CLOSED} == {404}
    assert closed["/healthz"] == 200
    assert closed["/graphql"] >= 400
    # So that the list means something.
    open_ = await statuses(apps["development"])
    assert open_["/graphiql/index.html"] == open_["/graphql"] == open_[CLOSED[4]] == 200


async def test_every_path_is_written_down(apps: dict[str, FastAPI]) -> None:
    """A new one is added here, and to docs/operations.md."""
    routes = apps["production"].router.routes
    assert {
        route.path for route in routes if isinstance(route, Route | WebSocketRoute | Mount)
    } == {
        "/graphql",
        "/exports/{id}",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert all(hasattr(route, "path") for route in routes)
