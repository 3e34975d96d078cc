"""Stores of this session, a house for each test, and the figures at the end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from alembic import command
from redis.asyncio import Redis

from cli.migrating import alembic_config
from tests.chaos.reckoning import LINES
from tests.chaos.rig import House, Stores, stores

TEMPLATE = "bare"
# Lines of the table before any figures.
HEADING = len(LINES)
_numbers = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies here kills processes, and is marked so."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, for docs/reliability.md."""
    if len(LINES) == HEADING:
        return
    terminalreporter.section("faults")
    for line in LINES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
async def stores_of_all(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stores]:
    """One PostgreSQL and one Valkey, with a migrated database to copy."""
    async with stores(tmp_path_factory.mktemp("chaos")) as made:
        url = await made.database(TEMPLATE)
        await asyncio.to_thread(command.upgrade, alembic_config(url), "head")
        yield made


@asynccontextmanager
async def fresh(made: Stores, folder: Path) -> AsyncGenerator[House]:
    """No processes yet, on a fresh database and an empty Valkey; ended with the block."""
    client = Redis.from_url(made.redis_url)
    await client.flushall()
    await client.aclose()
    url = await made.database(f"house{next(_numbers)}", TEMPLATE)
    house = House(made, url, folder)
    try:
        yield house
    finally:
        await house.end()


@pytest.fixture
async def house(stores_of_all: Stores, tmp_path: Path) -> AsyncIterator[House]:
    """A test's own."""
    async with fresh(stores_of_all, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
async def standing(
    stores_of_all: Stores, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """Two API processes and a worker that a module's tests kill by turns."""
    async with fresh(stores_of_all, tmp_path_factory.mktemp("standing")) as made:
        await asyncio.gather(made.add_api(), made.add_api(), made.add_worker())
        yield made
