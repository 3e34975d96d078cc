"""Real worker and scheduler processes for tests, ended with the test whatever happens."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.kernel.config import Settings

ROOT = Path(__file__).parents[2]
PATIENCE = 180.0


class Child:
    """A running process whose log can be read."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    def said(self) -> str:
        """Everything it has printed so far."""
        return self.log.read_text()

    def kill(self) -> None:
        """At once, without asking."""
        self.process.send_signal(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to end; answers its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def child(settings: Settings, log: Path, *arguments: str) -> AsyncIterator[Child]:
    """`python …` with the addresses of the test's stores."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LINLI_")},
        "LINLI_ENV": "test",
        "LINLI_DATABASE_URL": settings.database_url or "",
        "LINLI_REDIS_URL": settings.redis_url or "",
        "LINLI_LOG_FORMAT": "json",
        "LINLI_WORKER_THREADS": "2",
    }
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        yield Child(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition that must come true."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await check():
                return
            await asyncio.sleep(0.05)
