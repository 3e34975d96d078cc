"""What a job is: an idempotent function of ids that runs outside any request."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from app.kernel.config import Settings
from app.kernel.db import Database, Tx

EVENTS = "events"
NIGHTLY = "nightly"

Body = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Work:
    """What a job gets as its handle: the database and the settings of this process."""

    database: Database
    settings: Settings


@dataclass(frozen=True, slots=True)
class Job:
    """A named function `(work, *, …) -> None` whose keywords are JSON values.

    Delivery is at least once, so doing it again must change nothing.
    """

    name: str
    body: Body
    queue: str = EVENTS
    time_limit: timedelta = timedelta(minutes=10)
    retries: int = 20


def job(
    *, queue: str = EVENTS, time_limit: timedelta = timedelta(minutes=10), retries: int = 20
) -> Callable[[Body], Job]:
    """Make a job of a function; long work goes to a queue of its own and keeps no fact waiting."""

    def wrap(body: Body) -> Job:
        name = getattr(body, "__name__", "job")
        return Job(name, body, queue, time_limit, retries)

    return wrap


async def drain(database: Database, step: Callable[[Tx], Awaitable[int]]) -> int:
    """Run a command that does one batch, a transaction each, until it finds nothing to do."""
    total = 0
    while True:
        async with database.begin() as tx:
            moved = await step(tx)
        if not moved:
            return total
        total += moved


async def drain_beside(database: Database, lanes: int, step: Callable[..., Awaitable[int]]) -> int:
    """The same in several lanes at once, for commands that take one; answers what all did."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(drain(database, partial(step, lane=lane))) for lane in range(lanes)
        ]
    return sum(task.result() for task in tasks)


def by_name(jobs: Iterable[Job]) -> dict[str, Job]:
    """Jobs under their names; two of one name are a mistake of ours and refused."""
    table: dict[str, Job] = {}
    for item in jobs:
        if item.name in table:
            raise ValueError(f"two jobs are called {item.name}")
        table[item.name] = item
    return table
