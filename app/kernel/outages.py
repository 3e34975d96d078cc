"""What says that PostgreSQL is away or has no room, so that the same may succeed in a moment."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.kernel.errors import Refusal

_AWAY = (
    # Nobody listens, the connection was cut, or connecting took too long.
    OSError,
    asyncpg.PostgresConnectionError,
    # Too many connections, no memory, a full disk.
    asyncpg.InsufficientResourcesError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    PoolTimeout,
)


class Unavailable(Refusal):
    """PostgreSQL is away for a moment; a mutation asked again by its key is done once."""

    code = "UNAVAILABLE"
    zh = "服务暂时不可用，请稍后再试"
    en = "The service is unavailable for a moment; try again."


def is_outage(error: BaseException) -> bool:
    """True if PostgreSQL could not be reached, went away or has no room.

    >>> is_outage(ConnectionRefusedError()), is_outage(KeyError("a fault of ours"))
    (True, False)
    """
    if isinstance(error, DBAPIError):
        # SQLAlchemy wraps the adapter's error, and that has the driver's own for its cause.
        inner = error.orig and error.orig.__cause__
        return error.connection_invalidated or (inner is not None and is_outage(inner))
    if isinstance(error, asyncpg.InterfaceError):
        # The driver has no class of its own for this.
        return "closed" in str(error)
    return isinstance(error, _AWAY)
