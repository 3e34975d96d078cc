"""Requests that schemathesis invents for every operation, as a member and as staff.

Invented ids would be refused at once, so half of them are ids and cursors that exist, and the rest
of the values come from the edges: huge numbers, far years, empty and long texts. FUZZ_EXAMPLES asks
for more requests an operation than continuous integration makes.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.graphql import nodes, scalar
from schemathesis.graphql.checks import GraphQLClientError, GraphQLServerError

from app.kernel.embedded import PostgresServer, ValkeyServer
from tests.clients.conftest import Shop, opened
from tests.clients.node import ROOT

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
# What must never be told: Python, SQL, our files and libraries.
LEAK = re.compile(
    r"Traceback|\.py\b|SELECT |INSERT INTO|UPDATE .* SET|asyncpg|sqlalchemy|strawberry|redis|"
    r"invalid literal|Incorrect padding|has no attribute|NoneType|not JSON serializable|"
    r"violates|relation \"|integer out of range|codec can't|unpack"
)
EXISTING = """{ me { id community { id } coupons(first: 3) { nodes { id } pageInfo { endCursor } } }
  members(first: 5) { nodes { id } pageInfo { endCursor } }
  drops(first: 5) { nodes { id batch { id } } pageInfo { endCursor } }
  campaigns(first: 5) { nodes { id } pageInfo { endCursor } }
  ballots(first: 5) { nodes { id options { id } } pageInfo { endCursor } } }"""

_answers: Counter[str] = Counter()
_ids: list[str] = ["TWVtYmVyOjAw"]
_cursors: list[str] = ["W10"]


def _one_of(known: list[str], number: int) -> str:
    return known[number % len(known)]


def awkward_texts() -> st.SearchStrategy[str]:
    """Texts as people, machines and attackers write them; now and then a cursor or code."""
    edges = ["", " ", "x" * 5_000, "\u202e", "'; --", "%s", "{0}", "NaN", "-0", "2025-02-30"]
    plain = ["GOLD", "2026-03", "+8613800000000", "13800000000", "dev-x", "000000", "wechat"]
    # [1], [null], [1e400], [9223372036854775808] and ["0001-01-01T00:00:00"].
    cursors = ["WzFd", "W251bGxd", "WzFlNDAwXQ", "WzkyMjMzNzIwMzY4NTQ3NzU4MDhd"]
    cursors.append("WyIwMDAxLTAxLTAxVDAwOjAwOjAwIl0")
    return st.one_of(
        st.sampled_from(edges + plain + cursors),
        st.integers(0, 99).map(lambda number: _one_of(_cursors, number)),
        st.text(max_size=40),
    )


def whole_numbers(limit: int) -> st.SearchStrategy[int]:
    """Numbers as they are sent, and the edges of what a column or a float can hold."""
    edges = [-limit - 1, -limit, -1, 0, 1, 100, 101, 250, 10**6, 2**31, limit, limit + 1]
    return st.sampled_from(edges) | st.integers(-1_000, 1_000)


def register() -> None:
    """Tell schemathesis what our scalars look like, and make its own ones reach further."""
    ids = st.integers(0, 99).map(lambda number: _one_of(_ids, number)) | st.text(max_size=30)
    hours = st.integers(-50_000, 50_000) | st.integers(-230_000, 1_500_000)
    instants = hours.map(lambda hours: (NOW + timedelta(hours=hours)).isoformat())
    odd = st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-18"])
    days = st.dates().map(str) | st.sampled_from(["0000-01-01", "2025-02-29", "9999-12-31"])
    scalar("ID", ids.map(nodes.String))
    scalar("String", awkward_texts().map(nodes.String))
    scalar("Int", whole_numbers(2**31 - 1).map(nodes.Int))
    scalar("Fen", whole_numbers(2**53).map(nodes.Int))
    scalar("Points", whole_numbers(2**53).map(nodes.Int))
    scalar("DateTime", (instants | odd).map(nodes.String))
    scalar("Date", days.map(nodes.String))
    scalar("JSON", (st.text(max_size=20).map(nodes.String) | st.integers().map(nodes.Int)))


register()
schema = schemathesis.graphql.from_path(str(ROOT / "schema.graphql"))
# Documents that break the schema end in graphql-core's validation: the audits send such ones.
schema.config.generation.update(modes=[GenerationMode.POSITIVE])
# What would end the caller's own session is tried apart, with a session that nobody needs.
shared = schema.exclude(name="Mutation.logout")


@pytest.fixture(scope="module")
def arena(
    demo: str,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """A shop of its own: what is sent here leaves its database in disorder."""
    with opened("fuzz", demo, postgres, valkey, tmp_path_factory.mktemp("fuzz")) as shop:
        found = shop.graphql(EXISTING, token=shop.staff)
        found |= {"mine": shop.graphql("{ me { id } }", token=shop.member())}
        shop.member("leaver")  # before invented log-ins put the brakes on
        _ids.extend(values_of(found, "id"))
        _cursors.extend(values_of(found, "endCursor"))
        yield shop


def values_of(answer: Any, key: str) -> Iterator[str]:
    """Every text under a key, wherever it is in an answer."""
    if isinstance(answer, dict):
        if isinstance(answer.get(key), str):
            yield answer[key]
        for value in answer.values():
            yield from values_of(value, key)
    elif isinstance(answer, list):
        for value in answer:
            yield from values_of(value, key)


def honest(ctx: CheckContext, response: Response, case: Case) -> None:
    """No fault of the server's, a code on every error, and nothing of our inside told."""
    # Any error with a path is a fault to it; ours are told apart by their codes.
    with contextlib.suppress(GraphQLClientError, GraphQLServerError):
        not_a_server_error(ctx, response, case)
    errors = response.json().get("errors") or []
    codes = [error["extensions"]["code"] for error in errors]
    _answers.update(codes[:1] or ["data"])
    assert "INTERNAL" not in codes, errors
    assert all(isinstance(code, str) and code.isupper() for code in codes), codes
    told = " ".join(error["message"] for error in errors)
    assert not LEAK.search(told), told


def send(case: Case, shop: Shop, token: str) -> None:
    """Send an invented request and look at its answer."""
    case.call_and_validate(
        base_url=shop.url,
        headers={"Authorization": f"Bearer {token}", "Accept-Language": "en"},
        checks=[honest],
        timeout=60,
    )


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 50,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@shared.parametrize()
@bounded
def test_a_member_meets_no_fault(case: Case, arena: Shop) -> None:
    send(case, arena, arena.member())


@shared.parametrize()
@bounded
def test_staff_meet_no_fault(case: Case, arena: Shop) -> None:
    send(case, arena, arena.staff)


@schema.include(name="Mutation.logout").parametrize()
@bounded
def test_who_logs_out_meets_no_fault(case: Case, arena: Shop) -> None:
    send(case, arena, arena.member("leaver"))


def test_requests_reached_the_data_and_nothing_was_logged_as_a_fault(arena: Shop) -> None:
    print(f"{_answers.total()} requests: {dict(_answers.most_common())}")
    assert _answers["data"] >= _answers.total() / 4
    assert "Traceback" not in arena.log
