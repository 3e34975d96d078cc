"""The servers under test: how each is started, asked, counted and ended."""

import base64
import hashlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app.kernel.embedded import Stores
from app.kernel.embedded.processes import finish, spawn
from bench import processes

POOL = 10
START_SECONDS = 60.0
# Made for this alone. Both sides must know the key that signs the tokens.
KEY = hashlib.sha256(b"the key of a benchmark").digest()


def _ring(purpose: str) -> str:
    digest = hashlib.sha256(f"benchmark {purpose}".encode()).digest()
    return "bench:" + base64.b64encode(digest).decode()


TOKEN_KEYS = "bench:" + base64.b64encode(KEY).decode()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A way to serve the home: its command and what it is asked."""

    name: str
    command: Sequence[str]
    path: str
    body: str | None
    env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Server:
    """A running one; it listens on the loopback address only."""

    kind: Kind
    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def processor_seconds(self) -> float:
        """Of the process and all it has started."""
        return processor_seconds(self.process.pid)

    def get(self, token: str) -> bytes:
        """One answer, whatever its status."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.kind.path}",
            data=None if self.kind.body is None else self.kind.body.encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as refused:
            return refused.read()

    def stop(self) -> None:
        """End it, patiently at first."""
        finish(self.process, ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)))


def processor_seconds(pid: int) -> float:
    """User and system time of a process tree, with that of children which have ended."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its parent has its time now
        total += times.user + times.system + times.children_user + times.children_system
    return total


def environment(found: Stores, port: int) -> dict[str, str]:
    """What every server finds: the same database, the same pool, production's ways."""
    url = found.database_url
    shared = {
        "BENCH_DATABASE_URL": url,
        "BENCH_TOKEN_KEYS": TOKEN_KEYS,
        "BENCH_POOL": str(POOL),
        "BENCH_PORT": str(port),
        "NODE_ENV": "production",
        "GRAPHILE_ENV": "production",
    }
    return shared | processes.environment(
        env="production",
        host="127.0.0.1",
        port=str(port),
        database_url=url,
        redis_url=found.redis_url,
        pool_size=str(POOL),
        token_keys=TOKEN_KEYS,
        crypto_keys=_ring("personal data"),
        index_key=_ring("index"),
        wechat_secret="made up for a benchmark",
        log_format="json",
        # The limits hold and are reckoned; but here one address stands for every member's.
        rate_limit_address_maximum="1000000000",
        rate_limit_address_restore="1000000000",
    )


def start(kind: Kind, found: Stores, logs: Path) -> Server:
    """Start it and wait until it takes connections.

    Raises RuntimeError with its last words.
    """
    port = free_port()
    log = logs / f"{kind.name.replace(' ', '-').replace(',', '')}.log"
    env = {**environment(found, port), **kind.env}
    command = [word.replace("{port}", str(port)) for word in kind.command]
    with log.open("wb") as output:
        process = spawn(command, on_parent_death=signal.SIGTERM, output=output, env=env)
    deadline = time.monotonic() + START_SECONDS
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            finish(process, ((signal.SIGKILL, 5.0),))
            words = log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{kind.name} did not start\n{words}")
        time.sleep(0.05)
    return Server(kind, port, log, process)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def python(*words: str) -> tuple[str, ...]:
    """A command of this interpreter's."""
    return (sys.executable, "-m", *words)


def uvicorn(app: str) -> tuple[str, ...]:
    """An ASGI application under uvicorn with uvloop and httptools, as Linli is served."""
    options = "--no-access-log --log-level warning --no-server-header --loop uvloop"
    where = "--host 127.0.0.1 --port {port} --http httptools"
    return python("uvicorn", app, *where.split(), *options.split())
