"""Real clients from npm against the server: graphql-request and graphql-sse."""

import json
from itertools import count

import pytest

from tests.clients.conftest import Shop
from tests.clients.node import run

_visitors = count(1)


@pytest.fixture
def given(shop: Shop) -> str:
    """Addresses and tokens for a script; members who have claimed nothing yet."""
    return json.dumps(
        {
            "url": shop.url,
            "socketUrl": shop.socket_url,
            "staff": shop.staff_token,
            "member": shop.member(f"visitor-{next(_visitors)}"),
            "other": shop.member(f"visitor-{next(_visitors)}"),
        }
    )


@pytest.mark.parametrize("scenario", ["query", "mutation", "errors", "batch"])
def test_graphql_request(given: str, scenario: str) -> None:
    assert run("requests.js", scenario, given).endswith("done\n")


@pytest.mark.parametrize("scenario", ["once", "refused"])
def test_graphql_sse(given: str, scenario: str) -> None:
    assert run("streams.js", scenario, given).endswith("done\n")
