"""What comes too fast is merged; nothing of a burst but its last state is owed to anyone."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from schema.pacing import paced


def newest(_: int, later: int) -> int:
    return later


async def burst(count: int) -> AsyncGenerator[int]:
    for number in range(count):
        yield number
        await asyncio.sleep(0)


async def test_a_burst_ends_with_its_last_state_and_far_fewer_updates() -> None:
    seen = [item async for item in paced(burst(500), seconds=0.05, merge=newest)]
    assert seen[-1] == 499
    assert seen == sorted(set(seen))
    assert len(seen) < 50


async def test_merging_sees_every_item() -> None:
    merged = paced(burst(100), seconds=0.01, merge=lambda earlier, later: earlier + later)
    assert sum([item async for item in merged]) == sum(range(100))


async def test_nothing_gives_nothing() -> None:
    assert [item async for item in paced(burst(0), seconds=0.01, merge=newest)] == []


async def test_a_failing_source_fails_the_follower_after_what_it_gave() -> None:
    async def failing() -> AsyncGenerator[int]:
        yield 1
        raise ConnectionResetError

    follower = paced(failing(), seconds=0, merge=newest)
    assert await anext(follower) == 1
    with pytest.raises(ConnectionResetError):
        await anext(follower)


async def test_closing_the_follower_closes_its_source() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(3600)
        finally:
            closed.set()

    follower = paced(endless(), seconds=0, merge=newest)
    assert await anext(follower) == 1
    await follower.aclose()
    assert closed.is_set()
