"""An embedded, durable PostgreSQL with a made-up neighbourhood, loaded once and kept."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from app.kernel.embedded import Stores, create_database, drop_database, stores, with_database
from bench import processes
from bench.home.made import World, names

# Another number when the rows above change: what was loaded before is then made anew.
RECIPE = 1


@contextmanager
def loaded(folder: Path, members: int) -> Generator[Stores]:
    """Both stores running on that folder, filled and migrated to this version's schema."""
    folder.mkdir(parents=True, exist_ok=True)
    with stores(folder.resolve(), what="bench.home") as found:
        mark = folder / f"loaded-{RECIPE}-{members}"
        env = processes.environment(
            database_url=found.database_url, redis_url=found.redis_url, data_dir=str(folder)
        )
        if not mark.exists():
            server = with_database(found.database_url, "postgres")
            drop_database(server, "linli")
            create_database(server, "linli")
            processes.linli("migrate", env=env)
            asyncio.run(_fill(found.database_url, members))
            mark.touch()
        else:
            processes.linli("migrate", env=env)
        yield found


async def _fill(url: str, members: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        begun = time.perf_counter()
        total = 0
        # The rows refer to each other rightly as they are made: no trigger looks them up again.
        await connection.execute("SET session_replication_role = replica")
        for part in World(members, datetime.now(UTC)).tables():
            done = await connection.copy_records_to_table(
                part.table, records=part.rows, columns=names(part.columns)
            )
            total += int(done.split()[-1])
        await connection.execute("VACUUM (ANALYZE, FREEZE)")
        await connection.execute("CHECKPOINT")
        seconds = time.perf_counter() - begun
        print(f"loaded {total:,} rows of {members:,} members in {seconds:.0f} s", flush=True)
    finally:
        await connection.close()


def sessions(url: str) -> list[tuple[str, str]]:
    """Every member's id with that of their session."""

    async def read() -> list[tuple[str, str]]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch(
                "SELECT subject_id::text, id::text FROM login_session ORDER BY subject_id"
            )
        finally:
            await connection.close()
        return [(row[0], row[1]) for row in rows]

    return asyncio.run(read())
