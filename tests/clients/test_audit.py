"""GraphQL over HTTP as the audits of graphql-http see it."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.clients.conftest import Shop
from tests.clients.node import run

# Audits of version 1.23.1. One that disappears is noticed, and one that is new has to be read.
AUDITS = 61


@pytest.fixture(scope="module")
def results(shop: Shop) -> list[dict[str, Any]]:
    return json.loads(run("audit.js", shop.url))


def test_every_audit_was_made_at_each_level(results: list[dict[str, Any]]) -> None:
    assert len({result["id"] for result in results}) == len(results) == AUDITS
    levels = Counter(result["name"].split()[0] for result in results)
    assert set(levels) == {"MUST", "SHOULD", "MAY"}


def test_every_audit_passes(results: list[dict[str, Any]]) -> None:
    failed = {
        f"{result['id']} {result['name']}": result["reason"]
        for result in results
        if result["status"] != "ok"
    }
    assert failed == {}
