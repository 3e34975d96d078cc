"""Whatever bytes come, the answer is a GraphQL response and never a fault of ours."""

from typing import Any
from urllib.parse import urlencode

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schema.edge.asking import TYPENAME, Answered, Asker

LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
DOCUMENTS = st.sampled_from(
    [
        "{ __typename }",
        "query a { __typename } query b { __typename }",
        "query ($a: Int!, $b: [ID!]) { members(first: $a) { nodes { id } } node(id: $b) { id } }",
        "mutation { logout(input: {}) { __typename } }",
        "subscription { myUpdates { kind } }",
        "{ ...a } fragment a on Query { ...a }",
        "{",
        "",
    ]
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "query": DOCUMENTS | JSON_VALUES,
        "operationName": st.sampled_from(["a", "b", ""]) | JSON_VALUES,
        "variables": st.dictionaries(st.sampled_from("ab"), JSON_VALUES) | JSON_VALUES,
        "extensions": JSON_VALUES
        | st.fixed_dictionaries({"persistedQuery": JSON_VALUES | st.just({"version": 1})}),
        "documentId": JSON_VALUES | st.just("sha256:" + "0" * 64),
    },
)
often = settings(max_examples=300, deadline=None)
# Authorization is left to the tests of callers: these edges have no database to ask.
NAMES = ("accept", "accept_language", "content_encoding", "content_type", "x_request_id")
HEADERS = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, LATIN))


def check(answer: Answered) -> None:
    """A GraphQL response, or the refusal of a request that is none."""
    assert answer.status in {200, 400, 405, 406, 413, 415}
    assert not answer.json.keys() - {"data", "errors", "extensions"}
    for error in answer.json.get("errors", []):
        assert error["message"]
        assert error["extensions"]["code"] != "INTERNAL", answer.body


@often
@given(body=st.binary(max_size=200))
async def test_any_bytes(asker: Asker, body: bytes) -> None:
    check(await asker(body))


@often
@given(body=st.binary(max_size=30), at=st.integers(0, len(TYPENAME)))
async def test_a_good_body_with_any_bytes_within(asker: Asker, body: bytes, at: int) -> None:
    check(await asker(TYPENAME[:at] + body + TYPENAME[at:]))


@often
@given(value=JSON_VALUES)
async def test_any_json(asker: Asker, value: Any) -> None:
    check(await asker(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)))


@often
@given(given=REQUESTS)
async def test_any_parameters(asker: Asker, given: dict[str, Any]) -> None:
    check(await asker(orjson.dumps(given)))


@often
@given(query_string=LATIN | st.dictionaries(st.text(max_size=9), st.text()).map(urlencode))
async def test_any_query_string(asker: Asker, query_string: str) -> None:
    ascii_only = query_string.encode("ascii", "replace").decode()
    check(await asker(method="GET", query_string=ascii_only, x_linli_client="1"))


@often
@given(headers=HEADERS, method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]))
async def test_any_headers(asker: Asker, headers: dict[str, str], method: str) -> None:
    check(await asker(TYPENAME, method=method, **headers))
