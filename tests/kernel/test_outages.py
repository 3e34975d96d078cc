"""What is an outage of PostgreSQL, and what is a fault of ours."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.kernel.db import Database
from app.kernel.embedded import PostgresServer, create_database
from app.kernel.outages import is_outage


@pytest.fixture
async def own(postgres: PostgresServer) -> AsyncIterator[Database]:
    """A database whose connections may be cut."""
    made = Database(create_database(postgres.url, "outages"), pool_size=2)
    yield made
    await made.close()


async def raised_by(database: Database, statement: str) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 # which kind is what is asked
        async with database.read() as read:
            await read.session.execute(text(statement))
    return caught.value


async def test_a_server_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    nowhere = Database(f"postgresql://linli@/linli?host={tmp_path}&port=5432")
    assert is_outage(await raised_by(nowhere, "SELECT 1"))
    await nowhere.close()


async def test_a_connection_that_is_cut_is_an_outage(own: Database) -> None:
    assert is_outage(await raised_by(own, "SELECT pg_terminate_backend(pg_backend_pid())"))


@pytest.mark.parametrize(
    "statement", ["SELECT missing", "SELECT 1 / 0", "CREATE TABLE t (id int)", "nonsense"]
)
async def test_what_postgresql_answers_is_none(own: Database, statement: str) -> None:
    assert not is_outage(await raised_by(own, statement))
