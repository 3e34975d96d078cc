"""The embedded stores as real processes: start, restart, and what a `kill -9` leaves behind."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from app.kernel.embedded import (
    PostgresServer,
    create_database,
    drop_database,
    start_postgres,
    start_valkey,
    with_database,
)
from app.kernel.embedded.places import LONGEST_RUN_DIR


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="linli-") as folder:
        yield Path(folder).resolve() / "data"


def ask(url: str, sql: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(run())


def is_running(process: psutil.Process) -> bool:
    """A dead process that nobody waited for is as good as gone."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_lifeline(process: psutil.Process) -> bool:
    """A process that has ended since it was listed, as servers' own children do, is none."""
    try:
        return any(word.endswith("lifeline.py") for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def left_after(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """What still runs when the time is over."""
    deadline = time.monotonic() + seconds
    while (left := [p for p in processes if is_running(p)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_cluster_is_utf8_private_and_named(data_dir: Path) -> None:
    server = start_postgres(data_dir)
    try:
        assert ask(server.url, "SELECT current_database() || ' ' || current_user") == "linli linli"
        assert ask(server.url, "SHOW server_version_num") == "180004"
        assert ask(server.url, "SHOW synchronous_commit") == "on"
        assert ask(server.url, "SHOW fsync") == "on"
        assert ask(server.url, "SHOW shared_buffers") == "256MB"
        assert ask(server.url, "SHOW listen_addresses") == ""
        assert ask(server.url, "SELECT lower('ÄÉ 邻里')") == "äé 邻里"
        assert ((data_dir / "run").stat().st_mode & 0o777) == 0o700
        assert os.getpgid(server.pid) == server.pid
    finally:
        server.stop()
    assert server.exit_code() == 0
    assert not psutil.pid_exists(server.pid)
    server.stop()


def test_both_keep_their_data_over_a_clean_restart(data_dir: Path) -> None:
    for expected in (0, 1):
        server, valkey = start_postgres(data_dir), start_valkey(data_dir)
        client = redis.Redis.from_url(valkey.url)
        try:
            ask(server.url, "CREATE TABLE IF NOT EXISTS kept (n int)")
            assert ask(server.url, "SELECT count(*) FROM kept") == expected
            ask(server.url, "INSERT INTO kept VALUES (1)")
            assert client.llen("kept") == expected
            client.rpush("kept", "job")
        finally:
            client.close()
            valkey.stop()
            server.stop()
        assert valkey.exit_code() == 0


def test_killed_busy_postmaster_starts_again_with_what_was_committed(data_dir: Path) -> None:
    server = start_postgres(data_dir)

    async def kill_while_busy() -> None:
        connections = [await asyncpg.connect(server.url) for _ in range(20)]
        await connections[0].execute("CREATE TABLE kept AS SELECT 7 AS n")
        sleeps = [asyncio.ensure_future(one.execute("SELECT pg_sleep(60)")) for one in connections]
        await asyncio.sleep(0.3)
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.gather(*sleeps, return_exceptions=True)
        for connection in connections:
            connection.terminate()

    asyncio.run(kill_while_busy())
    server.stop()
    assert server.exit_code() == -signal.SIGKILL
    again = start_postgres(data_dir)
    try:
        assert ask(again.url, "SELECT n FROM kept") == 7
    finally:
        again.stop()


def test_killed_valkey_starts_again_with_its_jobs(data_dir: Path) -> None:
    valkey = start_valkey(data_dir)
    with redis.Redis.from_url(valkey.url) as client:
        client.rpush("jobs", *range(100))
        os.kill(valkey.pid, signal.SIGKILL)
    valkey.stop()
    again = start_valkey(data_dir)
    try:
        with redis.Redis.from_url(again.url) as client:
            assert client.llen("jobs") == 100
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    finally:
        again.stop()


STARTER = """
import os, signal, sys, threading
from pathlib import Path
from app.kernel.embedded import start_postgres, start_valkey
def start():
    servers = start_postgres(Path(sys.argv[1])), start_valkey(Path(sys.argv[1]))
    print(*(server.pid for server in servers), flush=True)
if sys.argv[2] == "thread":
    thread = threading.Thread(target=start); thread.start(); thread.join()
else:
    start()
signal.pause()
"""


@pytest.mark.parametrize(
    ("where", "lifeline_dies_too"),
    [
        ("main", False),
        pytest.param(
            "main",
            True,
            marks=pytest.mark.skipif(
                sys.platform != "linux", reason="only Linux has a parent-death signal"
            ),
        ),
        ("thread", False),
    ],
)
def test_killed_starter_leaves_no_orphan_and_the_next_one_starts(
    data_dir: Path, where: str, lifeline_dies_too: bool
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(data_dir), where], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pids = {int(word) for word in starter.stdout.readline().split()}
        family = psutil.Process(starter.pid).children(recursive=True)
        assert len(pids) == 2
        lifelines = [one for one in family if is_lifeline(one)]
        assert {process.pid for process in family} > pids | {one.pid for one in lifelines}
        assert len(lifelines) == 1
        if lifeline_dies_too:
            lifelines[0].kill()
        starter.kill()
    left = left_after(family, 90.0)
    for process in left:
        process.kill()
    assert left == []
    server, valkey = start_postgres(data_dir), start_valkey(data_dir)
    try:
        assert ask(server.url, "SELECT 1") == 1
    finally:
        valkey.stop()
        server.stop()


def test_long_path_puts_the_socket_elsewhere(data_dir: Path) -> None:
    deep = data_dir / ("d" * LONGEST_RUN_DIR)
    server, valkey = start_postgres(deep), start_valkey(deep)
    try:
        assert str(deep) not in server.url
        assert ask(server.url, "SELECT 1") == 1
        with redis.Redis.from_url(valkey.url) as client:
            assert client.ping()
    finally:
        valkey.stop()
        server.stop()
        Path(valkey.url.removeprefix("unix://")).parent.rmdir()


def test_interrupted_initdb_is_made_anew(data_dir: Path) -> None:
    draft = data_dir / "postgres.draft"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    server = start_postgres(data_dir, durable=False)
    try:
        assert ask(server.url, "SHOW fsync") == "off"
        assert not draft.exists()
    finally:
        server.stop()


@pytest.fixture
def server(data_dir: Path) -> Iterator[PostgresServer]:
    running = start_postgres(data_dir, durable=False)
    yield running
    running.stop()


async def test_databases_are_made_from_a_template_inside_a_running_loop(
    server: PostgresServer,
) -> None:
    template = create_database(server.url, "template_linli")
    connection = await asyncpg.connect(template)
    await connection.execute("CREATE TABLE made AS SELECT 3 AS n")
    await connection.close()
    first = create_database(server.url, 'gw "0"', template="template_linli")
    assert create_database(server.url, 'gw "0"', template="template_linli") == first
    connection = await asyncpg.connect(first)
    assert await connection.fetchval("SELECT n FROM made") == 3
    await connection.close()
    drop_database(server.url, 'gw "0"')
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(with_database(server.url, 'gw "0"'))
