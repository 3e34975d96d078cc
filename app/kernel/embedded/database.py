"""Questions to a PostgreSQL server from code that runs before any event loop does."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

T = TypeVar("T")

# A server that takes longer is asked again.
CONNECT_SECONDS = 5
# One that has answered already is only busy.
PATIENCE_SECONDS = 60


def is_answering(url: str) -> bool:
    """True when a connection can be opened and used."""

    async def ask() -> bool:
        try:
            connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            return bool(await connection.fetchval("SELECT true"))
        finally:
            await connection.close()

    return _run(ask)


def create_database(server_url: str, name: str, *, template: str | None = None) -> str:
    """Create the database unless it exists; returns its URL.

    With a template (a migrated database nobody is connected to) the copy takes a few dozen ms,
    which is how test workers get one each.
    """

    async def create() -> None:
        connection = await asyncpg.connect(server_url, timeout=PATIENCE_SECONDS)
        try:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                return
            source = f" TEMPLATE {_quoted(template)}" if template else ""
            try:
                await connection.execute(f"CREATE DATABASE {_quoted(name)}{source}")
            except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                return  # another process was quicker
        finally:
            await connection.close()

    _run(create)
    return with_database(server_url, name)


def drop_database(server_url: str, name: str) -> None:
    """Drop the database if it exists, ending its connections."""

    async def drop() -> None:
        connection = await asyncpg.connect(server_url, timeout=PATIENCE_SECONDS)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
        finally:
            await connection.close()

    _run(drop)


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(name)}"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run(work: Callable[[], Awaitable[T]]) -> T:
    """Run it in a thread of its own, so that a running event loop of the caller does not matter."""
    answers: list[T] = []
    faults: list[BaseException] = []

    async def await_work() -> T:
        return await work()

    def target() -> None:
        try:
            answers.append(asyncio.run(await_work()))
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=target, name="embedded-postgres")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return answers[0]
