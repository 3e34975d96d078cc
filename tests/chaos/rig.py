"""Linli as the processes of an installation, under a supervisor that starts again what ends.

`linli up` ends everything when one part dies, so that a person at a terminal sees it. Installations
run the parts under systemd, compose or Kubernetes, which bring each back; so does this.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import psutil

from app.kernel.embedded import EmbeddedError, create_database, processes, start_postgres
from app.kernel.embedded import start_valkey as begin_valkey
from tests.flows.conftest import ROOT, free_port

PATIENCE = 120.0
# As long as systemd's RestartSec is by default.
RESTART_SECONDS = 0.1
WATCH_SECONDS = 0.02
SHOP = "shop"


async def until(
    check: Callable[[], Awaitable[bool]], what: str, patience: float = PATIENCE
) -> float:
    """Wait for something that must come true; answers how many seconds that took."""
    begun = time.monotonic()
    while not await check():
        assert time.monotonic() - begun < patience, f"{what}: not within {patience:.0f} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


class Part:
    """One process, started again whenever it ends; `start` returns when it is of use."""

    def __init__(
        self, name: str, start: Callable[[], "subprocess.Popen[bytes]"], stop: int = signal.SIGTERM
    ) -> None:
        self.name = name
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._start = start
        self._stop = stop
        self._may_run = asyncio.Event()
        self._ending = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self.process is not None
        return self.process.pid

    @property
    def memory(self) -> int:
        """Bytes that are its own."""
        return psutil.Process(self.pid).memory_info().rss

    async def begin(self) -> None:
        """Start it and keep it."""
        self._may_run.set()
        self._keeper = asyncio.create_task(self._keep())
        await until(self.runs, f"{self.name} starts")

    async def runs(self) -> bool:
        """Whether a process of it is alive now: between an end and the next start none is."""
        assert self._keeper is not None
        if self._keeper.done():
            self._keeper.result()
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to it, as whoever wants it dead or asleep does."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9; it comes back."""
        self.signal(signal.SIGKILL)

    @asynccontextmanager
    async def gone(self) -> AsyncGenerator[None]:
        """Dead for the time of the block."""
        self._may_run.clear()
        self.kill()
        try:
            yield
        finally:
            self._may_run.set()

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[None]:
        """There, and silent, for the time of the block; its children too."""
        sleepers = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        for process in sleepers:
            process.suspend()
        try:
            yield
        finally:
            for process in sleepers:
                if process.is_running():
                    process.resume()

    async def end(self) -> None:
        """Ask it to stop, and insist when it does not."""
        self._ending = True
        self._may_run.set()
        process = self.process
        if process is not None and process.poll() is None:
            process.send_signal(self._stop)
        if self._keeper is not None:
            done, _ = await asyncio.wait([self._keeper], timeout=30)
            if not done:
                self.kill()
                await self._keeper
            self._keeper.result()
        if process is not None:
            processes.forget(process)

    async def _keep(self) -> None:
        while not self._ending:
            try:
                process = self.process = await asyncio.to_thread(self._start)
            except EmbeddedError:  # a full disk, say: it is tried again
                await asyncio.sleep(1)
                continue
            self.starts += 1
            if self._ending:
                process.send_signal(self._stop)
            while process.poll() is None:
                await asyncio.sleep(WATCH_SECONDS)
            processes.forget(process)
            await asyncio.sleep(RESTART_SECONDS)
            await self._may_run.wait()


@dataclass(slots=True)
class Stores:
    """PostgreSQL, which flushes what it commits, and Valkey, each a process of its own."""

    folder: Path
    postgres: Part
    valkey: Part
    database_url: str = ""
    redis_url: str = ""

    async def database(self, name: str, template: str | None = None) -> str:
        """The URL of a database, made when there is none of this name."""
        return await asyncio.to_thread(create_database, self.database_url, name, template=template)


@asynccontextmanager
async def stores(folder: Path) -> AsyncGenerator[Stores]:
    """Both stores on a fresh folder."""
    urls: dict[str, str] = {}

    def postgres() -> "subprocess.Popen[bytes]":
        server = start_postgres(folder)
        urls["database"] = server.url
        return server.process

    def valkey() -> "subprocess.Popen[bytes]":
        server = begin_valkey(folder)
        urls["redis"] = server.url
        return server.process

    made = Stores(folder, Part("postgres", postgres, signal.SIGINT), Part("valkey", valkey))
    try:
        await made.postgres.begin()
        await made.valkey.begin()
        made.database_url, made.redis_url = urls["database"], urls["redis"]
        yield made
    finally:
        await made.valkey.end()
        await made.postgres.end()


@dataclass(slots=True)
class House:
    """The API processes and the worker of one test, on a database of their own."""

    stores: Stores
    database_url: str
    folder: Path
    apis: list[Part] = field(default_factory=list[Part])
    urls: list[str] = field(default_factory=list[str])
    worker: Part | None = None
    scheduler: Part | None = None
    # What is started in place of `linli`, and what else its environment holds.
    entry: str = "cli.main"
    more: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def parts(self) -> dict[str, Part]:
        """Everything that can be killed, by name."""
        assert self.worker is not None
        return {
            "api": self.apis[0],
            "worker": self.worker,
            "valkey": self.stores.valkey,
            "postmaster": self.stores.postgres,
        }

    def environment(self, port: int, **settings: str) -> dict[str, str]:
        """Settings of its own, whatever the machine's are."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LINLI_")}
        chosen = {
            "env": "test",
            "database_url": self.database_url,
            "redis_url": self.stores.redis_url,
            "port": str(port),
            "log_format": "json",
            "worker_threads": "2",
            "rate_limit_exempt": "address:127.0.0.0/8",
            **settings,
        }
        named = {f"LINLI_{name.upper()}": value for name, value in chosen.items()}
        return kept | self.more | named

    async def add_api(self, **settings: str) -> Part:
        """One more `linli serve`, ready."""
        port = free_port()
        environment = self.environment(port, **settings)
        part = Part(f"api{len(self.apis)}", lambda: self._spawn("serve", environment))
        self.apis.append(part)
        self.urls.append(f"http://127.0.0.1:{port}")
        await part.begin()
        await self.ready(self.urls[-1])
        return part

    async def add_worker(self, **settings: str) -> Part:
        """A `linli worker`: jobs and relay."""
        environment = self.environment(8000, **settings)
        self.worker = Part("worker", lambda: self._spawn("worker", environment))
        await self.worker.begin()
        return self.worker

    async def add_scheduler(self) -> Part:
        """A `linli scheduler`."""
        environment = self.environment(8000)
        self.scheduler = Part("scheduler", lambda: self._spawn("scheduler", environment))
        await self.scheduler.begin()
        return self.scheduler

    async def ready(self, url: str) -> float:
        """Wait until an API says that it is ready; answers the seconds."""

        async def says() -> bool:
            async with httpx2.AsyncClient(timeout=5) as client:
                try:
                    return (await client.get(f"{url}/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

        return await until(says, f"{url} is ready")

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """What PostgreSQL answers, on a connection of our own."""
        connection = await asyncpg.connect(self.database_url, timeout=30)
        try:
            return await connection.fetch(query, *arguments, timeout=60)
        finally:
            await connection.close()

    async def value(self, query: str, *arguments: object) -> Any:
        """The first value of the first row."""
        return (await self.rows(query, *arguments))[0][0]

    def said(self, name: str) -> str:
        """What a part has printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def end(self) -> None:
        """Stop what was started."""
        parts = [*self.apis, self.worker, self.scheduler]
        await asyncio.gather(*(part.end() for part in parts if part is not None))

    def _spawn(self, verb: str, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{verb}.log").open("ab") as log:
            return processes.spawn(
                [sys.executable, "-m", self.entry, verb],
                on_parent_death=signal.SIGKILL,
                output=log,
                env=environment,
                cwd=ROOT,
            )
