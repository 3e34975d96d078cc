"""Edges without stores, for what never gets as far as those."""

from collections.abc import AsyncIterator

import pytest

from app.kernel.config import Settings
from app.main import connect
from schema import Resources
from tests.schema.edge.asking import Asker, asker_with


@pytest.fixture(scope="module")
async def storeless() -> AsyncIterator[Resources]:
    """Resources whose stores nobody answers for."""
    settings = Settings(
        _env_file=None,
        env="test",
        database_url="postgresql://nobody@127.0.0.1:1/none",
        redis_url="redis://127.0.0.1:1/0",
    )
    parts = connect(settings)
    yield parts.resources
    await parts.resources.wechat.close()
    await parts.redis.aclose()


@pytest.fixture(scope="module")
def asker(storeless: Resources) -> Asker:
    """Asks an edge without stores."""
    return asker_with(storeless)
