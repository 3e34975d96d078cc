"""A Redis Cluster of three Valkeys on loopback, without replicas and without anything kept."""

import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from app.kernel.embedded import processes
from app.kernel.embedded.valkey import binary
from tests.flows.conftest import free_port

NODES = 3
SLOTS = 16_384
PATIENCE = 60.0


def _start(folder: Path, port: int, bus: int) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "cluster-enabled": "yes",
        "cluster-port": str(bus),
        "save": "",
        "appendonly": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with (folder / "log").open("wb") as log:
        return processes.spawn(
            [str(binary()), *words], on_parent_death=signal.SIGKILL, output=log, cwd=folder
        )


def _join(client: Redis, number: int, first: tuple[int, int]) -> None:
    """Give a node its third of the slots, and make it known to the first."""
    share = SLOTS // NODES
    last = SLOTS - 1 if number == NODES - 1 else (number + 1) * share - 1
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
    client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    if number:
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", *first)


def _until_whole(clients: list[Redis]) -> None:
    ends = time.monotonic() + PATIENCE
    for client in clients:
        while True:
            assert time.monotonic() < ends, "the cluster does not come up"
            try:
                info = str(client.execute_command("CLUSTER", "INFO"))
            except RedisError:
                info = ""
            if "cluster_state:ok" in info and f"cluster_known_nodes:{NODES}" in info:
                break
            time.sleep(0.02)


def _until_awake(client: Redis) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            client.ping()
        except RedisError:
            assert time.monotonic() < ends, "a node does not start"
            time.sleep(0.02)
        else:
            return


@contextmanager
def redis_cluster(folder: Path) -> Generator[list[int]]:
    """The ports of its nodes."""
    ports = [(free_port(), free_port()) for _ in range(NODES)]
    with ExitStack() as stack:
        for number, (port, bus) in enumerate(ports):
            process = _start(folder / str(number), port, bus)
            stack.callback(processes.finish, process, ((signal.SIGKILL, 5.0),))
        clients = [
            stack.enter_context(Redis(port=port, decode_responses=True)) for port, _ in ports
        ]
        for number, client in enumerate(clients):
            _until_awake(client)
            _join(client, number, ports[0])
        _until_whole(clients)
        for client in clients:
            client.close()
        yield [port for port, _ in ports]
