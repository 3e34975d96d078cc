"""Live updates at a pace that people can watch: what comes too fast is merged, never queued."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

T = TypeVar("T")


async def paced(
    source: AsyncGenerator[T], *, seconds: float, merge: Callable[[T, T], T]
) -> AsyncGenerator[T]:
    """The items of a source, at least so many seconds apart, ending and failing as it does.

    The first comes at once. Items that arrive meanwhile are merged (earlier, later) into one, so
    that a burst costs one item of memory and its last state is always delivered.
    """
    waiting: list[T] = []
    news = asyncio.Event()

    async def collect() -> None:
        try:
            async for item in source:
                waiting[:] = [merge(waiting[0], item) if waiting else item]
                news.set()
        finally:
            news.set()

    task = asyncio.create_task(collect())
    try:
        while True:
            await news.wait()
            news.clear()
            if waiting:
                yield waiting.pop()
                await asyncio.sleep(seconds)
            if task.done() and not waiting:
                await task
                return
            if task.done() or waiting:
                news.set()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
        await source.aclose()
