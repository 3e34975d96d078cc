"""What commands stand on: the stores of this installation, or of a running one."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from socket import gaierror
from typing import Final

import asyncpg
import typer
from redis.exceptions import RedisClusterException, RedisError
from rich.markup import escape
from sqlalchemy.exc import DBAPIError

from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.embedded import EmbeddedError, stores
from app.kernel.live import WAKE_CHANNEL
from app.kernel.news import News
from app.kernel.outages import is_outage
from app.kernel.redis import close, connect
from cli.starting import SAYS, settings_or_exit

_REFUSES: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


@contextmanager
def open_stores(what: str = "linli") -> Generator[Settings]:
    """Settings whose store addresses are set: given ones, a running Linli's, or own ones meanwhile.

    Call it in the main thread. What keeps the stores from starting ends the command with a
    sentence that says how to mend it.
    """
    settings = settings_or_exit()
    try:
        with stores(
            settings.data_dir,
            what=what,
            database_url=settings.database_url,
            redis_url=settings.redis_url,
        ) as found:
            yield settings.model_copy(
                update={"database_url": found.database_url, "redis_url": found.redis_url}
            )
    except EmbeddedError as error:
        SAYS.print(str(error), markup=False, style="red")
        raise typer.Exit(1) from None
    except Exception as error:
        said = _said_of_stores(error)
        if said is None:
            raise
        SAYS.print(f"[red]Error:[/] {escape(said)}", highlight=False)
        raise typer.Exit(1) from None


def _said_of_stores(error: BaseException) -> str | None:
    """What keeps a command from its stores, in words; None of any other error."""
    if isinstance(error, (RedisError, RedisClusterException)):
        return f"Redis at LINLI_REDIS_URL does not do its part: {error}"
    # SQLAlchemy wraps the adapter's error, and that has the driver's own for its cause.
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(cause, (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)):
        return f"The database has not this version's tables ({cause}). Run `linli migrate`."
    if isinstance(cause, _REFUSES):
        return f"PostgreSQL refuses LINLI_DATABASE_URL: {cause}"
    unreached = isinstance(cause, OSError) and (
        isinstance(cause, (ConnectionError, TimeoutError, gaierror))
        or "connect call failed" in str(cause).casefold()
        # A socket in the file system that is gone; of a file its name would be told.
        or (isinstance(cause, FileNotFoundError) and cause.filename is None)
    )
    gone = not isinstance(cause, OSError) and is_outage(error)
    if isinstance(cause, BrokenPipeError) or not (unreached or gone):
        return None
    why = str(cause) or type(cause).__name__
    return f"The database at LINLI_DATABASE_URL is away: {why}. Repeat the command once it is back."


@asynccontextmanager
async def open_database(settings: Settings | None = None) -> AsyncGenerator[Database]:
    """The database for one command; its commits wake the relays of a running Linli."""
    if settings is None:
        with open_stores() as found:
            async with open_database(found) as database:
                yield database
        return
    database = Database(
        settings.database_url or "", pool_size=settings.pool_size, pgbouncer=settings.pgbouncer
    )
    redis = connect(settings.redis_url or "")
    # Without the news the relay finds the outbox by itself a moment later.
    database.after_emit = News(redis, WAKE_CHANNEL)
    try:
        yield database
    finally:
        await database.close()
        await close(redis)
