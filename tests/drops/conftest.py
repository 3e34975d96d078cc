"""Fixtures of the tests of drops."""

from collections.abc import AsyncIterator

import pytest

from app.drops import Claims
from app.kernel.db import Database


@pytest.fixture
async def claims(database: Database) -> AsyncIterator[Claims]:
    """The claims of one process, drained in the end."""
    gathering = Claims(database)
    yield gathering
    await gathering.drain()
