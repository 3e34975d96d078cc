"""What commands stand on: the stores of this installation, or of a running one."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import typer
from redis.asyncio import Redis

from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.embedded import EmbeddedError, stores
from app.kernel.live import WAKE_CHANNEL
from app.kernel.news import News
from cli.starting import SAYS, settings_or_exit


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
    redis = Redis.from_url(settings.redis_url or "")
    # Without the news the relay finds the outbox by itself a moment later.
    database.after_emit = News(redis, WAKE_CHANNEL)
    try:
        yield database
    finally:
        await database.close()
        await redis.aclose()
