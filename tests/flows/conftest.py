"""Linli as its users have it: processes under `linli up`, commands, HTTP and sockets."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

ROOT = Path(__file__).parent.parent.parent
READY_SECONDS = 150
COMMAND_SECONDS = 300
SUBPROTOCOL = Subprotocol("graphql-transport-ws")


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to no connection going out.

    Those it takes from 32,768 on: one of them may be gone when a server starts, or starts again.
    """
    while True:
        port = random.randint(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(slots=True)
class House:
    """A running Linli with its own data directory and port."""

    url: str
    environment: dict[str, str]
    log: Path
    following: int = 0

    def linli(self, *words: str) -> str:
        """Run a command beside it; answers what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"linli {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    async def graphql(
        self, document: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """The data of an answer that has no errors."""
        headers = {"Accept-Language": "en"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with httpx2.AsyncClient(timeout=30) as client:
            answer = await client.post(
                f"{self.url}/graphql",
                json={"query": document, "variables": variables or {}},
                headers=headers,
            )
        body = answer.json()
        assert "errors" not in body, body
        return body["data"]

    async def followed(self) -> int:
        """How many subscriptions the server has."""
        async with httpx2.AsyncClient(timeout=30) as client:
            told = (await client.get(f"{self.url}/metrics")).text
        return int(told.split("\ngraphql_subscriptions_active ")[1].split(".")[0])

    @asynccontextmanager
    async def subscribe(
        self, document: str, variables: dict[str, Any], token: str
    ) -> AsyncGenerator[asyncio.Queue[dict[str, Any]]]:
        """A subscription over a socket of its own; its data arrives in the queue.

        The server follows for it when the block begins: what happens from then on is told.
        """
        arrived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        address = self.url.replace("http", "ws") + "/graphql"
        async with connect(address, subprotocols=[SUBPROTOCOL], open_timeout=60) as wire:
            hello = {"authorization": f"Bearer {token}", "locale": "en"}
            await wire.send(json.dumps({"type": "connection_init", "payload": hello}))
            assert json.loads(await wire.recv())["type"] == "connection_ack"
            payload = {"query": document, "variables": variables}
            self.following += 1
            await wire.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))

            async with asyncio.timeout(60):
                while await self.followed() != self.following:
                    await asyncio.sleep(0.05)

            async def read() -> None:
                async for text in wire:
                    message = json.loads(text)
                    assert message["type"] in {"next", "complete"}, message
                    if message["type"] == "next":
                        arrived.put_nowait(message["payload"]["data"])

            reading = asyncio.create_task(read())
            try:
                yield arrived
            finally:
                reading.cancel()
                self.following -= 1


def wait_until_ready(house: House, process: subprocess.Popen[bytes]) -> None:
    """Return when it says that all is ready; fail with the log when the process ends first."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"linli up ended:\n{house.log.read_text()[-4000:]}")
        if "Linli is ready" in house.log.read_text(errors="replace"):
            assert httpx2.get(f"{house.url}/readyz", timeout=60).status_code == 200
            return
        time.sleep(0.2)
    raise AssertionError(f"not ready:\n{house.log.read_text()[-4000:]}")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """`linli up --no-demo` on a fresh data directory."""
    folder = tmp_path_factory.mktemp("house")
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LINLI_")}
    environment |= {"LINLI_DATA_DIR": str(folder / "data"), "LINLI_PORT": str(port)}
    house = House(f"http://127.0.0.1:{port}", environment, folder / "log")
    with house.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--no-demo"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until_ready(house, process)
            yield house
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(180)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert process.returncode == 0, house.log.read_text()[-4000:]
