"""Where the CPU of one uncached home goes, by leaving parts out in one process.

The engine over the database; the engine over rows that are already there; the one statement alone.
What the server takes besides (HTTP, tokens, limits) is what the table of `bench.home` has more.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import uvloop

from app.kernel.auth import MemberCaller
from app.kernel.config import Settings
from app.kernel.embedded import Stores
from app.main import connect
from bench.home.data import sessions
from bench.home.kinds import HERE
from bench.home.serving import processor_seconds
from schema import Ctx, build_schema
from schema.engine import Engine

TOGETHER = 16
REQUESTS = 3_200
ROUNDS = 4
Work = Callable[[], Awaitable[object]]


def parts(found: Stores) -> None:
    """Print milliseconds a request of this process and of PostgreSQL."""
    uvloop.run(_parts(found, sessions(found.database_url)))


async def _parts(found: Stores, pairs: list[tuple[str, str]]) -> None:
    settings = Settings(
        _env_file=None, env="test", database_url=found.database_url, redis_url=found.redis_url
    )
    resources = connect(settings).resources
    engine = Engine(build_schema().core)
    operation = engine.documents.prepare((HERE / "home.graphql").read_text())
    chosen, among = random.Random(5), pairs
    readers: Any = getattr(resources.database, "_readers")  # noqa: B009  # to take its place
    fetch, last = readers.fetch, list[Any]()

    async def home() -> None:
        member, session = chosen.choice(among)
        ctx = Ctx(resources=resources, caller=MemberCaller(UUID(member), UUID(session)))
        answer = await engine.execute(operation, None, ctx)
        assert not answer.errors
        answer.encode()

    async def remembering(sql: str, arguments: list[object], *kind: Any) -> Any:
        last[:] = [sql, arguments, kind, await fetch(sql, arguments, *kind)]
        return last[3]

    async def remembered(*_: Any) -> Any:
        await asyncio.sleep(0)
        return last[3]

    async def statement() -> None:
        await fetch(last[0], last[1], *last[2])

    print(f"{'ms a request, of one home':<44}{'app':>9}{'PostgreSQL':>12}")
    await _show("the engine, over random members", home, found)
    among = pairs[:1]
    readers.fetch = remembering
    await home()
    await _show("its statement alone, one member", statement, found)
    readers.fetch = remembered
    await _show("the engine, over rows already there", home, found)
    readers.fetch = fetch
    values = sum(len(row) for rows in last[3][0] for row in rows)
    print(f"one round trip; {values} values in {sum(map(len, last[3][0]))} rows")
    await resources.database.close()


async def _show(name: str, work: Work, found: Stores) -> None:
    pid = found.postgres.pid if found.postgres else None
    best = (float("inf"), 0.0)

    async def some() -> None:
        for _ in range(REQUESTS // TOGETHER):
            await work()

    for _ in range(ROUNDS):
        app, store = time.process_time(), processor_seconds(pid) if pid else 0.0
        await asyncio.gather(*(some() for _ in range(TOGETHER)))
        spent = time.process_time() - app
        stored = (processor_seconds(pid) if pid else 0.0) - store
        best = min(best, (1000 * spent / REQUESTS, 1000 * stored / REQUESTS))
    print(f"{name:<44}{best[0]:>9.3f}{best[1]:>12.3f}")
