"""The supervisor as a real process: clean stops, killed parts, no orphan, and the next start."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from app.kernel.embedded import start_postgres, start_valkey, stores
from app.kernel.embedded.lock import holder
from tests.flows.conftest import free_port

API = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *words): pass
print("api says", os.environ["LINLI_DATABASE_URL"].split(":")[0], flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["LINLI_PORT"])), Ready).serve_forever()
"""

# It starts a child of its own, as Dramatiq does.
WORKER = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import signal; print('grandchild'); signal.pause()"])
print("worker waits", flush=True)
signal.pause()
"""

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stubborn", flush=True)
while True: signal.pause()
"""

DRIVER = """
import json, sys
from pathlib import Path
from cli.up import Child, Plan, Step, supervise
given = json.loads(sys.argv[1])
def child(name, code): return Child(name, (sys.executable, "-c", code))
sys.exit(supervise(Plan(
    data_dir=Path(given["data_dir"]), host="127.0.0.1", port=given["port"],
    database_url=given["database_url"], redis_url=given["redis_url"],
    steps=[Step("look", lambda here: print("step sees", here.url, flush=True)),
           *(child(*pair) for pair in given["steps"])],
    children=[child(*pair) for pair in given["children"]],
    banner=lambda here: "READY " + here.database_url + " " + here.redis_url,
)))
"""


@dataclass
class Run:
    """One supervisor with what it said and the processes it was seen to have."""

    process: subprocess.Popen[bytes]
    output: Path
    family: list[psutil.Process] = field(default_factory=list)

    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str, seconds: float = 180.0) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.said():
            assert time.monotonic() < deadline, f"{words!r} not in:\n{self.said()}"
            assert self.process.poll() is None or words in self.said(), self.said()
            time.sleep(0.05)

    def ready(self) -> tuple[str, str]:
        """Wait for the banner; answers both addresses."""
        self.wait_for("READY ")
        self.wait_for("grandchild")
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        line = next(line for line in self.said().splitlines() if line.startswith("READY "))
        return line.split()[1], line.split()[2]

    def pid_of(self, name: str) -> int:
        for process in self.family:
            words = process.cmdline()
            if name in Path(words[0].split()[0]).name or name in words[-1]:
                return process.pid
        raise AssertionError(f"{name} is not among {self.family}")

    def left(self, seconds: float = 30.0) -> list[psutil.Process]:
        """What still runs of the family when the time is over; zombies are gone."""
        deadline = time.monotonic() + seconds
        while (left := [p for p in self.family if _is_running(p)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class House:
    """A data directory and a port to run supervisors on."""

    data_dir: Path
    port: int
    runs: list[Run] = field(default_factory=list)

    def up(
        self,
        *,
        children: tuple[tuple[str, str], ...] = (("api", API), ("worker", WORKER)),
        steps: tuple[tuple[str, str], ...] = (),
        database_url: str | None = None,
        redis_url: str | None = None,
    ) -> Run:
        given = {
            "data_dir": str(self.data_dir),
            "port": self.port,
            "database_url": database_url,
            "redis_url": redis_url,
            "steps": steps,
            "children": children,
        }
        output = self.data_dir.parent / f"run-{len(self.runs)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, json.dumps(given)],
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.runs.append(Run(process, output))
        return self.runs[-1]


@pytest.fixture
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="linli-") as folder:
        made = House(Path(folder).resolve() / "data", free_port())
        yield made
        for run in made.runs:
            if run.process.poll() is None:
                run.process.terminate()
            try:
                run.process.wait(180)
            except subprocess.TimeoutExpired:
                run.process.kill()
                run.process.wait()
            for process in run.left(25.0):
                process.kill()


def ask(url: str, sql: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clean_stop_leaves_nothing_and_the_next_start_has_the_data(
    house: House, number: signal.Signals
) -> None:
    run = house.up()
    database_url, redis_url = run.ready()
    ask(database_url, "CREATE TABLE kept AS SELECT 5 AS n")
    with redis.Redis.from_url(redis_url) as client:
        client.set("kept", 6)
    assert len(run.family) >= 6
    run.process.send_signal(number)
    assert run.process.wait(180) == 0
    assert run.left(0.0) == []
    assert holder(house.data_dir) is None
    assert f"step sees http://127.0.0.1:{house.port}" in run.said()
    assert "api      | api says postgresql" in run.said()

    again = house.up()
    assert again.ready() == (database_url, redis_url)
    assert ask(database_url, "SELECT n FROM kept") == 5
    with redis.Redis.from_url(redis_url) as client:
        assert client.get("kept") == b"6"


PARTS = {
    "postgres": "PostgreSQL ended by itself (killed by SIGKILL)",
    "valkey-server": "Valkey ended by itself (killed by SIGKILL)",
    "http.server": "api ended by itself (killed by SIGKILL)",
    "worker waits": "worker ended by itself (killed by SIGKILL)",
}


@pytest.mark.parametrize("part", PARTS)
def test_killed_part_ends_all_and_the_next_start_works(house: House, part: str) -> None:
    run = house.up()
    database_url, _ = run.ready()
    ask(database_url, "CREATE TABLE kept AS SELECT 5 AS n")
    os.kill(run.pid_of(part), signal.SIGKILL)
    assert run.process.wait(180) == 1
    assert PARTS[part] in run.said()
    assert run.left() == []
    assert ask(house.up().ready()[0], "SELECT n FROM kept") == 5


def test_killed_supervisor_leaves_no_orphan_and_the_next_start_works_at_once(house: House) -> None:
    run = house.up()
    database_url, _ = run.ready()
    ask(database_url, "CREATE TABLE kept AS SELECT 5 AS n")
    run.process.kill()
    run.process.wait()
    again = house.up()
    assert ask(again.ready()[0], "SELECT n FROM kept") == 5
    assert run.left() == []


def test_killed_supervisor_takes_stubborn_children_along(house: House) -> None:
    run = house.up(children=(("api", API), ("stubborn", STUBBORN), ("worker", WORKER)))
    run.ready()
    run.wait_for("stubborn | stubborn")
    run.process.kill()
    run.process.wait()
    assert run.left(40.0) == []


def test_second_up_names_the_first(house: House) -> None:
    first = house.up()
    first.ready()
    second = house.up()
    assert second.process.wait(180) == 1
    assert f"is held by linli up (pid {first.process.pid}, since " in second.said()
    assert "请先停止它" in second.said()
    assert first.process.poll() is None


def test_given_servers_are_used_and_none_is_embedded(house: House) -> None:
    elsewhere = house.data_dir.parent / "elsewhere"
    postgres, valkey = start_postgres(elsewhere), start_valkey(elsewhere)
    try:
        run = house.up(database_url=postgres.url, redis_url=valkey.url)
        assert run.ready() == (postgres.url, valkey.url)
        names = " ".join(process.name() for process in run.family)
        assert "postgres" not in names
        assert "valkey" not in names
        run.process.terminate()
        assert run.process.wait(180) == 0
        assert not (house.data_dir / "postgres").exists()
        assert ask(postgres.url, "SELECT 1") == 1
    finally:
        valkey.stop()
        postgres.stop()


def test_commands_use_the_stores_of_a_running_up(house: House) -> None:
    database_url, redis_url = house.up().ready()
    with stores(house.data_dir, what="linli train") as found:
        assert (found.database_url, found.redis_url, found.owned) == (
            database_url,
            redis_url,
            False,
        )


def test_taken_port_is_said_before_anything_is_started(house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", house.port))
        taken.listen()
        run = house.up()
        assert run.process.wait(180) == 1
    assert f"Port {house.port} on 127.0.0.1 is already taken" in run.said()
    assert f"(pid {os.getpid()}" in run.said()
    assert "LINLI_PORT" in run.said()
    assert not (house.data_dir / "postgres").exists()


def test_failed_step_ends_all_with_its_last_words(house: House) -> None:
    run = house.up(steps=(("migrate", "import sys; print('no such column'); sys.exit(3)"),))
    assert run.process.wait(180) == 1
    assert "The step “migrate” failed (exit code 3). Its last lines:" in run.said()
    assert "linli    |   no such column" in run.said()
    assert "api says" not in run.said()
    assert holder(house.data_dir) is None


def test_stop_during_a_long_step(house: House) -> None:
    run = house.up(steps=(("demo", "import signal; print('filling'); signal.pause()"),))
    run.wait_for("filling")
    run.family = psutil.Process(run.process.pid).children(recursive=True)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(180) == 0
    assert run.left(0.0) == []


def test_second_ctrl_c_forces_the_end(house: House) -> None:
    run = house.up(children=(("api", API), ("stubborn", STUBBORN), ("worker", WORKER)))
    database_url, _ = run.ready()
    run.wait_for("stubborn | stubborn")
    ask(database_url, "CREATE TABLE kept AS SELECT 5 AS n")
    run.process.send_signal(signal.SIGINT)
    run.wait_for("Ctrl-C again")
    time.sleep(0.7)  # a second one sooner is taken for an echo of the first
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(180) == 130
    assert run.left() == []
    assert "did not stop in" not in run.said(), "a stubborn part is not waited for any more"
    assert ask(house.up().ready()[0], "SELECT n FROM kept") == 5
