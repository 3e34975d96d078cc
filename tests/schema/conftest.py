"""A real server on a loopback port, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import uvicorn
from redis.asyncio import Redis

from app.kernel.auth import MemberCaller, StaffCaller, open_session
from app.kernel.config import Settings
from app.kernel.db import Database
from app.main import Parts, connect, create_app
from schema.edge.wire import SocketProtocol
from tests.conftest import TestClock


@dataclass(slots=True)
class Server:
    """The running server's address and its parts."""

    url: str
    parts: Parts

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws") + "/graphql"

    async def token(self, member_id: object) -> str:
        """An access token of a member, of a session that exists."""
        database = self.parts.resources.database
        async with database.begin() as tx:
            pair = await open_session(tx, kind="member", subject_id=member_id)  # type: ignore[arg-type]
        caller: MemberCaller | StaffCaller = MemberCaller(pair.subject_id, pair.session_id)
        return self.parts.resources.tokens.sign(caller, database.clock())


@pytest.fixture
def sockets_by() -> Any:
    """uvicorn's protocol of sockets; a module may choose another one."""
    return SocketProtocol


@pytest.fixture
async def server(
    database: Database, redis: Redis, settings: Settings, clock: TestClock, sockets_by: Any
) -> AsyncIterator[Server]:
    """The whole web process behind uvicorn."""
    listening = asyncio.get_running_loop()
    chosen = settings.model_copy(update={"env": "development"})
    parts = connect(chosen, clock)
    config = uvicorn.Config(
        create_app(chosen, parts), port=0, log_config=None, ws=sockets_by, lifespan="on"
    )
    running = uvicorn.Server(config)
    task = listening.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.02)
    port = running.servers[0].sockets[0].getsockname()[1]
    # The fake WeChat lives in the server itself, whose port is known only now.
    parts.resources.wechat._client.base_url = httpx2.URL(f"http://127.0.0.1:{port}/dev/wechat")
    yield Server(f"http://127.0.0.1:{port}", parts)
    running.should_exit = True
    await task
