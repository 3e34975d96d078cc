"""Alembic's environment: our metadata, asyncpg, lock time-outs."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.kernel.db import sqlalchemy_url
from app.metadata import all_tables

# A migration that cannot get its lock soon gives way, instead of queueing all traffic behind it.
LOCK_TIMEOUT = "5s"


def run(connection: Connection) -> None:
    """Run the migrations on an open connection."""
    context.configure(
        connection=connection,
        target_metadata=all_tables(),
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        # Two that migrate at once: the second waits, then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(7220301)"))
        context.run_migrations()


async def connect_and_run(url: str) -> None:
    """Run the migrations on a connection of their own."""
    engine = create_async_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


def main() -> None:
    """Take the address that the caller set and run."""
    url = context.config.attributes.get("url") or context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise SystemExit("Run migrations with `linli migrate`, which knows the database.")
    asyncio.run(connect_and_run(str(url)))


main()
