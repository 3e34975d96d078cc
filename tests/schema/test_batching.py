"""Batched reads when those who ask go away, and when the query fails."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from app.kernel.db import Database
from schema.batching import Batches


class Source:
    """A query that waits to be let go, and keeps what it was asked."""

    def __init__(self, *, fails: bool = False) -> None:
        self.asked: list[list[Any]] = []
        self.go = asyncio.Event()
        self._fails = fails

    async def __call__(self, _: Any, keys: Iterable[Any]) -> dict[Any, Any]:
        self.asked.append(list(keys))
        await self.go.wait()
        if self._fails:
            raise LookupError("no rows")
        return {key: -key for key in keys if key > 0}


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_keys_of_one_turn_are_one_call(database: Database) -> None:
    batches, source = Batches(database), Source()
    source.go.set()
    found = await asyncio.gather(*(batches.load(source, key) for key in (3, 1, 3, 0, 2)))
    assert found == [-3, -1, -3, None, -2]
    assert source.asked == [[3, 1, 0, 2]]


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_followers_are_served_when_the_first_is_cancelled(
    database: Database, after: int
) -> None:
    batches, source = Batches(database), Source()
    waiting = [asyncio.create_task(batches.load(source, key)) for key in (1, 2, 3)]
    await turns(after)
    waiting[0].cancel()
    await turns()
    source.go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [-2, -3]
    # Whoever takes its place asks for those who are left, together.
    assert sorted(source.asked[-1])[-2:] == [2, 3]


async def test_a_follower_that_is_cancelled_disturbs_nobody(database: Database) -> None:
    batches, source = Batches(database), Source()
    waiting = [asyncio.create_task(batches.load(source, key)) for key in (1, 2, 3)]
    await turns()
    waiting[1].cancel()
    await turns()
    source.go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [found[0], found[2]] == [-1, -3]
    assert isinstance(found[1], asyncio.CancelledError)
    assert source.asked == [[1, 2, 3]]


async def test_all_who_asked_are_told_of_a_failure_and_the_next_asks_anew(
    database: Database,
) -> None:
    batches, source = Batches(database), Source(fails=True)
    source.go.set()
    found = await asyncio.gather(
        *(batches.load(source, key) for key in (1, 2)), return_exceptions=True
    )
    assert [type(error) for error in found] == [LookupError, LookupError]
    with pytest.raises(LookupError):
        await batches.load(source, 3)
    assert source.asked == [[1, 2], [3]]


async def test_all_may_be_cancelled_at_once(database: Database) -> None:
    batches, source = Batches(database), Source()
    waiting = [asyncio.create_task(batches.load(source, key)) for key in (1, 2, 3)]
    await turns()
    for task in waiting:
        task.cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 3
    source.go.set()
    assert await batches.load(source, 4) == -4


async def test_queries_asked_together_end_with_the_first_that_fails(database: Database) -> None:
    batches, waits, fails = Batches(database), Source(), Source(fails=True)
    fails.go.set()
    before = asyncio.all_tasks()
    with pytest.raises(LookupError):
        await batches.found_all({waits: [1, 1, 2], fails: [3]})
    assert waits.asked == [[1, 2]]
    assert asyncio.all_tasks() == before
    waits.go.set()
    assert await batches.found_all({waits: [1, 0]}) == {waits: {1: -1}}
