"""Real clients from npm against the server: graphql-ws, graphql-request and graphql-sse."""

import json
import subprocess
from collections.abc import Iterator
from itertools import count

import pytest

from tests.clients.conftest import Shop, finish
from tests.clients.node import FOLDER, NODE, SCRIPT_SECONDS, run
from tests.flows.conftest import free_port

_visitors = count(1)


@pytest.fixture
def given(shop: Shop) -> str:
    """Addresses and tokens for a script; members who have claimed nothing yet."""
    return json.dumps(
        {
            "url": shop.url,
            "socketUrl": shop.socket_url,
            "staff": shop.staff,
            "member": shop.member(f"visitor-{next(_visitors)}"),
            "other": shop.member(f"visitor-{next(_visitors)}"),
        }
    )


@pytest.mark.parametrize(
    "scenario", ["drop", "resume", "badToken", "anonymous", "time", "lazy", "mistakes"]
)
def test_graphql_ws(given: str, scenario: str) -> None:
    assert run("sockets.js", scenario, given).endswith("done\n")


def test_graphql_ws_comes_back_after_a_restart_and_misses_nothing(shop: Shop, given: str) -> None:
    with subprocess.Popen(
        [NODE, str(FOLDER / "sockets.js"), "restart", given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "restart me\n"
        shop.stop()
        shop.start()
        said, _ = client.communicate("it is back\n", timeout=SCRIPT_SECONDS)
    assert (client.returncode, said) == (0, "done\n")


@pytest.mark.parametrize("scenario", ["query", "mutation", "errors", "batch"])
def test_graphql_request(given: str, scenario: str) -> None:
    assert run("requests.js", scenario, given).endswith("done\n")


@pytest.mark.parametrize("scenario", ["drop", "once", "refused"])
def test_graphql_sse(given: str, scenario: str) -> None:
    assert run("streams.js", scenario, given).endswith("done\n")


@pytest.fixture(scope="module")
def trusting(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a script is given of another API, which answers one document only."""
    folder = tmp_path_factory.mktemp("trusting")
    document, manifest = folder / "info.graphql", folder / "trusted.json"
    document.write_text("query Info { serverInfo { version } }")
    finish(shop, "schema", "trust", str(document), "--output", str(manifest))
    port = free_port()
    environment = shop.environment | {
        "LINLI_PORT": str(port),
        "LINLI_TRUSTED_DOCUMENTS": str(manifest),
    }
    other = Shop(port, environment, folder)
    try:
        other.start()
        addresses = {"url": other.url, "socketUrl": other.socket_url}
        yield json.dumps(addresses | {"document": document.read_text()})
    finally:
        other.stop()


@pytest.mark.parametrize("script", ["requests.js", "sockets.js"])
def test_clients_that_send_hashes_of_documents(trusting: str, script: str) -> None:
    assert run(script, "trusted", trusting).endswith("done\n")


def test_no_client_left_a_traceback_in_the_log(shop: Shop) -> None:
    assert "Traceback" not in shop.log
