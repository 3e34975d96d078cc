"""The one handle: `Database.read()` and `Database.begin()` and what they hand out.

A query takes `Read`, a command takes `Tx`. Clock, ids and outbox travel with the transaction, so
that no module reads the wall clock and no fact is announced that was not committed.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from math import ceil
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.kernel.clock import Clock, system_clock
from app.kernel.connections import CONNECT_SECONDS, Readers
from app.kernel.ids import IdSource, uuid7
from app.kernel.joining import Alone, Joined
from app.kernel.outbox import Event, OutboxRow, encode, encode_all
from app.kernel.statements import Statement

R = TypeVar("R")
# Facts of one transaction that are worth a statement by arrays.
MANY_FACTS = 50


class Read:
    """Reads at an instant; `session` is a read-only transaction, begun when it is first used."""

    __slots__ = ("_begin", "_fetcher", "_session", "now")

    def __init__(
        self,
        begin: Callable[[], AsyncSession],
        now: datetime,
        fetcher: Alone | None = None,
    ) -> None:
        """Take a session from `begin` when one is needed; `fetcher` runs statements without one."""
        self.now = now
        self._begin = begin
        self._fetcher = fetcher
        self._session: AsyncSession | None = None

    @property
    def session(self) -> AsyncSession:
        """SQLAlchemy's session of this transaction."""
        if self._session is None:
            self._session = self._begin()
        return self._session

    async def fetch(self, statement: Statement[R], **given: object) -> list[R]:
        """The rows of a statement with these parameters.

        Inside a transaction that has begun it is asked there, after what was written in it.
        """
        arguments = statement.arguments(given)
        if self._fetcher is not None and self._session is None:
            return await self._fetcher.fetch(statement, arguments)
        session = self.session
        await session.flush()
        held = await (await session.connection()).get_raw_connection()
        connection: Any = held.driver_connection
        return statement.rows(
            await connection.fetch(statement.sql, *arguments, record_class=statement.record)
        )

    async def close(self) -> None:
        """End the session, if one was begun."""
        if self._session is not None:
            await self._session.close()


class Tx(Read):
    """A read-write transaction with its instant, its ids and its outbox."""

    __slots__ = ("events", "ids")

    def __init__(self, session: AsyncSession, now: datetime, ids: IdSource) -> None:
        """A transaction of this session."""
        super().__init__(lambda: session, now)
        self.ids = ids
        self.events: list[Event] = []

    def new_id(self) -> UUID:
        """A fresh UUIDv7 at this transaction's instant."""
        return self.ids(self.now)

    def emit(self, event: Event) -> None:
        """Announce a fact: it is stored with this transaction and delivered after its commit."""
        self.events.append(event)


class Database:
    """Transactions against PostgreSQL; one object a process."""

    def __init__(
        self,
        url: str,
        *,
        read_url: str | None = None,
        pool_size: int = 10,
        pool_seconds: float = 10,
        pgbouncer: bool = False,
        clock: Clock = system_clock,
        ids: IdSource = uuid7,
    ) -> None:
        """Open no connection yet; the pool fills on demand.

        A transaction waits for a connection of the pool as long as `pool_seconds`, and as long,
        if that is more than usual, for a new one to be made.
        """
        # For connections past the pool; see `app.drops.connecting`.
        self.url = asyncpg_url(url)
        self.pgbouncer = pgbouncer
        self.engine = _engine(url, pool_size, pool_seconds, pgbouncer)
        reader = self.engine
        if read_url is not None:
            reader = _engine(read_url, pool_size, pool_seconds, pgbouncer)
        self._owned = [self.engine] if read_url is None else [self.engine, reader]
        self._reader = reader.execution_options(postgresql_readonly=True)
        # Behind PgBouncer neither prepared statements nor a connection's settings can be relied on.
        self._readers = None
        if not pgbouncer:
            patience = _connect_seconds(pool_seconds)
            self._readers = Readers(asyncpg_url(read_url or url), pool_size, patience)
        self._alone = None if self._readers is None else Alone(self._readers)
        self.clock = clock
        self._ids = ids
        self.after_emit: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def read(self, *, now: datetime | None = None) -> AsyncGenerator[Read]:
        """A physically read-only transaction; writing in it is an error of PostgreSQL's."""
        read = self.reading(now=now)
        try:
            yield read
        finally:
            await read.close()

    @asynccontextmanager
    async def begin(self, *, now: datetime | None = None) -> AsyncGenerator[Tx]:
        """A transaction that commits on leaving the block and rolls back on any exception."""
        async with AsyncSession(self.engine, expire_on_commit=False, autoflush=True) as session:
            tx = Tx(session, now or self.clock(), self._ids)
            yield tx
            if tx.events:
                await _store(tx)
            await session.commit()
        if tx.events and self.after_emit is not None:
            await self.after_emit()

    def reading(self, *, now: datetime | None = None, joined: Joined | None = None) -> Read:
        """The same without the block: the caller closes it. Reads with the same `joined` share
        their round trips.
        """
        return Read(self._begin_reading, now or self.clock(), joined or self._alone)

    def joined(self) -> Joined | None:
        """What joins the reads of one request; None where statements need a session."""
        return None if self._readers is None else Joined(self._readers)

    def _begin_reading(self) -> AsyncSession:
        return AsyncSession(self._reader, expire_on_commit=False)

    async def close(self) -> None:
        """Return every connection."""
        if self._readers is not None:
            self._readers.drop_idle()
        for engine in self._owned:
            await engine.dispose()


def sqlalchemy_url(url: str) -> str:
    """The same address under SQLAlchemy's name of the asyncpg driver."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+asyncpg://" + url.removeprefix(scheme)
    return url


def asyncpg_url(url: str) -> str:
    """The same address as asyncpg itself reads it, for what goes past SQLAlchemy."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def _connect_seconds(pool_seconds: float) -> int:
    return max(CONNECT_SECONDS, ceil(pool_seconds))


def _engine(url: str, pool_size: int, pool_seconds: float, pgbouncer: bool) -> AsyncEngine:
    arguments: dict[str, Any] = {
        "timeout": _connect_seconds(pool_seconds),
        "server_settings": {"application_name": "linli"},
    }
    full = sqlalchemy_url(url)
    if pgbouncer:
        # In transaction mode a prepared statement may meet another server connection.
        arguments["statement_cache_size"] = 0
        full += ("&" if "?" in full else "?") + "prepared_statement_cache_size=0"
    return create_async_engine(
        full,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=pool_seconds,
        # An error's text goes to the logs, and bound values may be somebody's phone or password.
        hide_parameters=True,
        connect_args=arguments,
    )


async def _store(tx: Tx) -> None:
    # Ids of one instant differ by chance only; sorted, they keep the order of the facts.
    ids = sorted((tx.new_id() for _ in tx.events), key=attrgetter("int"))
    if len(ids) > MANY_FACTS:
        await _store_many(tx, ids)
        return
    rows = [
        {
            "id": key,
            "kind": event.kind,
            "topics": event.topics(),
            "payload": encode(event),
            "at": tx.now,
        }
        for key, event in zip(ids, tx.events, strict=True)
    ]
    await tx.session.execute(insert(OutboxRow), rows)


# All facts as one value: a statement of its own for each row, or an array of each column, would
# take most of a large batch's time.
_STORE_MANY = text(
    """
    INSERT INTO outbox (id, kind, topics, payload, at)
    SELECT CAST(fact ->> 0 AS uuid), fact ->> 1,
        ARRAY(SELECT jsonb_array_elements_text(fact -> 2)), fact -> 3, :at
    FROM jsonb_array_elements(CAST(:facts AS jsonb)) AS fact
    """
)
# How many facts one value holds: PostgreSQL takes 256 MiB at the most.
_AT_ONCE = 20_000


async def _store_many(tx: Tx, ids: Sequence[UUID]) -> None:
    rows = [
        (key, event.kind, event.topics(), event) for key, event in zip(ids, tx.events, strict=True)
    ]
    for start in range(0, len(rows), _AT_ONCE):
        facts = encode_all(rows[start : start + _AT_ONCE])
        await tx.session.execute(_STORE_MANY, {"facts": facts, "at": tx.now})
