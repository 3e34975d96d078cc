"""Connections for statements that are transactions by themselves, past SQLAlchemy and its pool."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.kernel.db import Database

CONNECT_SECONDS = 10
# The first plan is made anew after so many claims, and again each time their number has doubled.
PLANNED_FOR = 64

_GONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    # Ended by an administrator, shutting down, starting up.
    asyncpg.OperatorInterventionError,
    # asyncpg's own words for a connection that is closed.
    asyncpg.InterfaceError,
    # SQLAlchemy is only asked for rows by their keys: no input can be at fault.
    DBAPIError,
    PoolTimeout,
)


def outage(error: Exception) -> bool:
    """True if PostgreSQL could not be reached or went away, so that the same may succeed later."""
    return isinstance(error, _GONE)


class Wire:
    """One connection to PostgreSQL, made when it is first needed and again after it broke.

    Every lookup of a batch goes by a key, so plans are made once, without the values and without
    scans of whole tables. What a planner thinks of nearly empty tables is wrong once they have
    grown, so the plan is thrown away as claims double.
    """

    def __init__(self, database: Database) -> None:
        """Connect to nothing yet."""
        self._database = database
        self._held: asyncpg.Connection | None = None
        self._served = 0
        self._plan_ends = PLANNED_FOR

    async def connection(self) -> asyncpg.Connection:
        """The connection, in no transaction."""
        if self._held is None or self._held.is_closed():
            self._held = await self._connect()
            self._served, self._plan_ends = 0, PLANNED_FOR
        return self._held

    async def count(self, served: int) -> None:
        """So many claims were served with the present plan."""
        self._served += served
        if self._held is not None and self._served >= self._plan_ends:
            self._plan_ends = 2 * self._served
            try:
                await self._held.execute("DISCARD PLANS")
            except Exception:  # whoever needs the connection next will make another
                self.drop()

    def drop(self) -> None:
        """Throw the connection away; the next use makes another."""
        held, self._held = self._held, None
        if held is not None:
            held.terminate()

    async def close(self) -> None:
        """End the connection in good order, or without it where the server does not answer."""
        held, self._held = self._held, None
        if held is not None and not held.is_closed():
            try:
                await held.close(timeout=CONNECT_SECONDS)
            except _GONE:
                held.terminate()

    async def _connect(self) -> asyncpg.Connection:
        if self._database.pgbouncer:
            # In transaction mode neither settings nor prepared statements stay with a connection.
            return await asyncpg.connect(
                self._database.url, timeout=CONNECT_SECONDS, statement_cache_size=0
            )
        return await asyncpg.connect(
            self._database.url,
            timeout=CONNECT_SECONDS,
            server_settings={
                "application_name": "linli",
                "plan_cache_mode": "force_generic_plan",
                "enable_seqscan": "off",
            },
        )
