"""A server process of its own for clients that others wrote: its database, demo and worker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.kernel.embedded import PostgresServer, ValkeyServer, create_database
from cli.demo.accounts import ACCOUNTS, STAR_OPENID
from tests.clients.node import PACKAGES, ROOT
from tests.flows.conftest import free_port

DEMO_MEMBERS = 60
READY_SECONDS = 150
# Tokens live 15 minutes, and long runs longer.
TOKEN_SECONDS = 600

STAFF = """mutation($login: String!, $password: String!) {
  staffLogin(input: {login: $login, password: $password}) {
    ... on StaffSession { session { accessToken } } ... on UserError { code message } } }"""
MEMBER = """mutation($code: String!) { loginWithWechat(input: {code: $code}) {
    ... on MemberSession { session { accessToken } } ... on UserError { code message } } }"""


@dataclass(slots=True)
class Shop:
    """The stores, filled with the demo, and the API in front of them, which tests may restart."""

    port: int
    environment: dict[str, str]
    folder: Path
    api: "subprocess.Popen[bytes] | None" = None
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where GraphQL is."""
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def socket_url(self) -> str:
        """Where it is for sockets."""
        return self.url.replace("http", "ws", 1)

    @property
    def log(self) -> str:
        """What the API has said."""
        return (self.folder / "serve.log").read_text(errors="replace")

    def start(self) -> None:
        """Start the API and wait until it is ready."""
        self.api = spawn(self, "serve")
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self.api.poll() is None, self.log[-4000:]
            try:
                if httpx2.get(self.url.replace("graphql", "readyz"), timeout=5).is_success:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready:\n{self.log[-4000:]}")

    def stop(self) -> None:
        """Stop the API as a deployment does."""
        if self.api is not None:
            end(self.api)
            self.api = None

    def graphql(
        self, document: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """The data of an answer that has no errors."""
        headers = {"Accept-Language": "en"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        body = {"query": document, "variables": variables or {}}
        answer = httpx2.post(self.url, json=body, headers=headers, timeout=30).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def member(self, openid: str = STAR_OPENID) -> str:
        """The access token of a member of the demo, or of a new one."""
        return self._token(MEMBER, "loginWithWechat", code=f"dev-{openid}")

    @property
    def staff(self) -> str:
        """The access token of the demo's owner."""
        owner = ACCOUNTS[0]
        return self._token(STAFF, "staffLogin", login=owner.login, password=owner.password)

    def _token(self, document: str, name: str, **variables: str) -> str:
        who = next(iter(variables.values()))
        token, since = self._tokens.get(who, ("", 0.0))
        deadline = time.monotonic() + READY_SECONDS
        while not token or time.monotonic() - since > TOKEN_SECONDS:
            answer = self.graphql(document, variables)[name]
            if "session" in answer:
                token, since = answer["session"]["accessToken"], time.monotonic()
                self._tokens[who] = (token, since)
            else:  # invented log-ins have put the brakes on this address
                assert answer["code"] == "TOO_MANY_ATTEMPTS", answer
                assert time.monotonic() < deadline, answer
                time.sleep(1)
        return token


def spawn(shop: Shop, verb: str) -> "subprocess.Popen[bytes]":
    """A long-running verb of linli, its words in a file."""
    with (shop.folder / f"{verb}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", verb],
            cwd=ROOT,
            env=shop.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to stop, and insist when it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def finish(shop: Shop, *words: str) -> None:
    """Run a command of linli to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        cwd=ROOT,
        env=shop.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"linli {words}\n{done.stdout}\n{done.stderr}"


def environment_of(database_url: str, redis_url: str, port: int) -> dict[str, str]:
    """Settings of its own, whatever the machine's are; callers from here are not slowed down."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LINLI_")}
    return kept | {
        "LINLI_DATABASE_URL": database_url,
        "LINLI_REDIS_URL": redis_url,
        "LINLI_PORT": str(port),
        "LINLI_DEMO_MEMBERS": str(DEMO_MEMBERS),
        "LINLI_RATE_LIMIT_EXEMPT": "address:127.0.0.1",
    }


@pytest.fixture(scope="session")
def demo(
    postgres: PostgresServer, valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The name of a migrated database with the demo in it, to be copied."""
    name = "demo"
    url = create_database(postgres.url, name)
    shop = Shop(0, environment_of(url, valkey.url, 8000), tmp_path_factory.mktemp(name))
    for verb in ("migrate", "demo"):
        finish(shop, verb)
    return name


@contextmanager
def opened(
    name: str, demo: str, postgres: PostgresServer, valkey: ValkeyServer, folder: Path
) -> Iterator[Shop]:
    """A shop on a database of this name, a copy of the demo, and a worker behind it."""
    port = free_port()
    database_url = create_database(postgres.url, name, template=demo)
    shop = Shop(port, environment_of(database_url, valkey.url, port), folder)
    worker = spawn(shop, "worker")
    try:
        shop.start()
        yield shop
    finally:
        shop.stop()
        end(worker)


@pytest.fixture(scope="session")
def shop(
    demo: str,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """The shop that clients visit."""
    assert PACKAGES.is_dir(), "the clients are not installed: run `make clients`"
    with opened("clients", demo, postgres, valkey, tmp_path_factory.mktemp("clients")) as shop:
        yield shop


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies beside this file needs what npm installs, and is marked so."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "clients"):
            item.add_marker(pytest.mark.clients)
