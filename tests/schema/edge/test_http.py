"""GraphQL over HTTP: every rule of methods, media types, bodies and parameters."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from redis.asyncio import Redis

from app.main import Parts, create_app
from schema import Resources
from tests.schema.edge.asking import JSON, RESPONSE, TYPENAME, Asker, asker_with

GOOD = {"__typename": "Query"}
TWO = "query a { __typename } query b { serverInfo { version } }"


@pytest.fixture(scope="module")
def production(storeless: Resources) -> Asker:
    return asker_with(storeless, env="production")


def encoded(**given: Any) -> bytes:
    return json.dumps(given).encode()


@pytest.mark.parametrize("media", [JSON, RESPONSE])
async def test_a_query_is_answered_in_the_type_asked_for(asker: Asker, media: str) -> None:
    answer = await asker(TYPENAME, accept=media)
    assert (answer.status, answer.data) == (200, GOOD)
    assert answer.headers["content-type"] == f"{media}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/json;q=0"])
async def test_what_we_cannot_write_is_not_acceptable(asker: Asker, accept: str) -> None:
    answer = await asker(TYPENAME, accept=accept)
    assert (answer.status, answer.code, answer.media) == (406, "NOT_ACCEPTABLE", JSON)


WELL_FORMED: list[tuple[str, dict[str, Any], str]] = [
    ("does not parse", {"query": "{"}, "GRAPHQL_PARSE_FAILED"),
    ("empty", {"query": ""}, "GRAPHQL_PARSE_FAILED"),
    ("unknown field", {"query": "{ nope }"}, "GRAPHQL_VALIDATION_FAILED"),
    ("two operations", {"query": TWO}, "OPERATION_RESOLUTION_FAILURE"),
    ("no such operation", {"query": TWO, "operationName": "c"}, "OPERATION_RESOLUTION_FAILURE"),
    (
        "a variable that does not fit",
        {"query": "query ($n: Int!) { members(first: $n) { nodes { id } } }", "variables": {}},
        "BAD_USER_INPUT",
    ),
    ("a subscription", {"query": "subscription { myUpdates { kind } }"}, "BAD_REQUEST"),
]


@pytest.mark.parametrize(
    ("given", "code"), [row[1:] for row in WELL_FORMED], ids=[row[0] for row in WELL_FORMED]
)
@pytest.mark.parametrize(("media", "status"), [(JSON, 200), (RESPONSE, 400)])
async def test_a_request_error_has_no_data_and_the_types_status(
    asker: Asker, given: dict[str, Any], code: str, media: str, status: int
) -> None:
    answer = await asker(encoded(**given), accept=media)
    assert (answer.status, answer.media, answer.code) == (status, media, code)
    assert "data" not in answer.json


@pytest.mark.parametrize("media", [JSON, RESPONSE])
async def test_an_error_in_a_field_is_part_of_an_answer_200(asker: Asker, media: str) -> None:
    answer = await asker.ask("{ me { id } serverInfo { version } }", accept=media)
    assert (answer.status, answer.media) == (200, media)
    assert answer.code == "NOT_SIGNED_IN"
    assert "data" in answer.json


MALFORMED: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("no JSON", b"{"),
    ("no UTF-8", b"\xff\xfe"),
    ("Latin-1", '{"query": "{ __typename } # é"}'.encode("latin-1")),
    ("a byte order mark", b"\xef\xbb\xbf" + TYPENAME),
    ("NUL", b'{"query": "{ __typename } # \\u0000"}'),
    ("a raw NUL", b'{"query": "{ __typename }\0"}'),
    ("NUL behind an escaped backslash", b'{"query": "{ __typename } # \\\\\\u0000"}'),
    ("half a surrogate pair", b'{"query": "{ __typename } # \\ud800"}'),
    ("a long integer", b'{"query": "{ __typename }", "variables": {"a": ' + b"9" * 5000 + b"}}"),
    ("infinity", b'{"query": "{ __typename }", "variables": {"a": 1e999}}'),
    ("NaN", b'{"query": "{ __typename }", "variables": {"a": NaN}}'),
    ("nests deeply", b'{"query": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    ("a batch", b"[" + TYPENAME + b"]"),
    ("an empty batch", b"[]"),
    ("null", b"null"),
    ("a number", b"1"),
    ("a string", b'"{ __typename }"'),
    ("no query", b"{}"),
    ("a misspelt query", b'{"qeury": "{ __typename }"}'),
    ("query is null", b'{"query": null}'),
    *[
        (f"{name} is {bad}", encoded(**{"query": "{ __typename }", name: bad}))
        for name, bads in {
            "query": [{}, 0, False, ["a"]],
            "operationName": [{}, 0, False, ["a"]],
            "documentId": [{}, 0, False, ["a"]],
            "variables": ["a", 0, False, ["a"]],
            "extensions": ["a", 0, False, ["a"]],
        }.items()
        for bad in bads
    ],
]


@pytest.mark.parametrize("body", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
@pytest.mark.parametrize("media", [JSON, RESPONSE])
async def test_what_is_no_request_is_answered_400(asker: Asker, body: bytes, media: str) -> None:
    answer = await asker(body, accept=media)
    assert (answer.status, answer.code, answer.media) == (400, "BAD_REQUEST", media)
    assert "data" not in answer.json
    assert "Traceback" not in answer.json["errors"][0]["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"operationName": None, "variables": None, "extensions": None, "documentId": None},
        {"operationName": ""},
        {"variables": {"unused": "C:\\u0000"}},
        {"extensions": {"some": "value"}},
        {"id": 5, "nonsense": [1]},
    ],
)
async def test_absent_null_and_unknown_parameters_are_no_mistake(
    asker: Asker, more: dict[str, Any]
) -> None:
    assert (await asker(encoded(query="{ __typename }", **more))).data == GOOD


async def test_the_operation_that_is_named_is_the_one_that_runs(asker: Asker) -> None:
    answer = await asker(encoded(query=TWO, operationName="b"))
    assert list(answer.json["data"]) == ["serverInfo"]


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"],
)
async def test_other_bodies_are_not_read(asker: Asker, content_type: str) -> None:
    answer = await asker(TYPENAME, content_type=content_type)
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br", 415), ("identity", 200)])
async def test_encoded_bodies_are_not_read(asker: Asker, encoding: str, status: int) -> None:
    assert (await asker(TYPENAME, content_encoding=encoding)).status == status


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
async def test_other_methods_are_told_which_there_are(asker: Asker, method: str) -> None:
    answer = await asker(method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("name", ["content-type", "content-length", "authorization"])
async def test_headers_that_contradict_each_other_are_refused(asker: Asker, name: str) -> None:
    answer = await asker(TYPENAME, doubled=[(name, "application/json"), (name, "x")])
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


async def test_accept_may_come_in_several_lines(asker: Asker) -> None:
    lines = [("accept", "image/png"), ("accept", RESPONSE)]
    assert (await asker(TYPENAME, doubled=lines)).media == RESPONSE


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([TYPENAME[:5], TYPENAME[5:9], b"", TYPENAME[9:]], 200),
        ([TYPENAME + b" " * (1_000_000 - len(TYPENAME))], 200),
        ([TYPENAME + b" " * (1_000_001 - len(TYPENAME))], 413),
        ([TYPENAME, b" " * 600_000, b" " * 600_000], 413),
        ([b" " * 1_000_000] * 50, 413),
    ],
)
async def test_bodies_have_a_size(asker: Asker, parts: list[bytes], status: int) -> None:
    answer = await asker(parts)
    assert answer.status == status
    assert (status == 200) or answer.code == "BODY_TOO_LARGE"


async def test_a_declared_size_is_believed_before_the_body_comes(asker: Asker) -> None:
    answer = await asker([TYPENAME], content_length="999999999999")
    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def ask_by_get(asker: Asker, given: dict[str, str], **headers: str) -> Any:
    return await asker(method="GET", query_string=urlencode(given), **headers)


@pytest.mark.parametrize(
    "header", ["x_linli_client", "apollo_require_preflight", "graphql_require_preflight"]
)
@pytest.mark.parametrize("media", [JSON, RESPONSE])
async def test_queries_may_come_by_get(asker: Asker, header: str, media: str) -> None:
    given = {
        "query": "query a($id: ID!) { node(id: $id) { id } } query b { __typename }",
        "operationName": "b",
        "variables": '{"id": "x"}',
        "extensions": "{}",
    }
    answer = await ask_by_get(asker, given, accept=media, **{header: "1"})
    assert (answer.status, answer.media, answer.data) == (200, media, GOOD)


async def test_a_get_that_any_page_could_cause_is_refused(asker: Asker) -> None:
    answer = await ask_by_get(asker, {"query": "{ __typename }"})
    assert (answer.status, answer.code) == (400, "PREFLIGHT_REQUIRED")


@pytest.mark.parametrize("media", [JSON, RESPONSE])
async def test_mutations_do_not_come_by_get(asker: Asker, media: str) -> None:
    given = {"query": "mutation { logout(input: {}) { __typename } }"}
    answer = await ask_by_get(asker, given, accept=media, x_linli_client="1")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "query=%FF",
        "query=%00",
        "query=a&query=b",
        "query={__typename}&variables={",
        "query={__typename}&variables=[]",
        "query={__typename}&variables=null5",
        "&".join(f"a{number}=1" for number in range(100)),
    ],
)
async def test_malformed_query_strings_are_answered_400(asker: Asker, query_string: str) -> None:
    answer = await asker(method="GET", query_string=query_string, x_linli_client="1")
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


async def test_graphiql_is_for_browsers_outside_production(asker: Asker, production: Asker) -> None:
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"
    page = await asker(method="GET", accept=accept)
    assert (page.status, page.media) == (200, "text/html")
    assert b"/graphiql/page.js" in page.body
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    closed = await production(method="GET", accept=accept)
    assert (closed.status, closed.code) == (400, "PREFLIGHT_REQUIRED")


async def test_production_keeps_its_schema_to_itself(asker: Asker, production: Asker) -> None:
    for document in ("{ __schema { queryType { name } } }", '{ __type(name: "Query") { name } }'):
        assert "data" in (await asker.ask(document)).json
        hidden = await production.ask(document)
        assert hidden.code == "GRAPHQL_VALIDATION_FAILED"
    misspelt = "{ serverInf { version } }"
    assert b"serverInfo" in (await asker.ask(misspelt)).body
    assert b"serverInfo" not in (await production.ask(misspelt)).body


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a-B_7.c:d", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("two words", False),
        ("évil", False),
    ],
)
async def test_a_request_id_is_answered_back(asker: Asker, given: str, kept: bool) -> None:
    answer = await asker(TYPENAME, x_request_id=given)
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.headers["x-request-id"].isascii()


async def test_requests_are_counted_by_kind_and_outcome(storeless: Resources) -> None:
    asker = asker_with(storeless)
    await asker(TYPENAME)
    await asker(b"{")
    await asker.ask("{ nope }")
    await asker.ask("mutation { logout(input: {}) { __typename } }")
    counts = {key: counter._value.get() for key, counter in asker.edge._metrics._counters.items()}
    assert counts == {
        ("query", "ok"): 1,
        ("none", "refused"): 2,
        ("mutation", "ok"): 1,
    }


async def test_a_database_that_is_away_is_no_fault_of_ours(
    storeless: Resources,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    asker = asker_with(storeless)

    async def away(*_: object) -> None:
        raise ConnectionRefusedError("10.1.2.3:5432")

    monkeypatch.setattr(asker.edge.desk, "execute", away)
    answer = await asker(TYPENAME)
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert b"10.1.2.3" not in answer.body
    assert "Traceback" not in caplog.text + "".join(capsys.readouterr())


@pytest.mark.parametrize("media", [JSON, RESPONSE])
async def test_a_fault_of_ours_is_masked_and_logged_once_under_its_id(
    storeless: Resources,
    media: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    asker = asker_with(storeless)

    async def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(asker.edge.desk, "execute", broken)
    answer = await asker(TYPENAME, accept=media, x_request_id="here")
    assert (answer.status, answer.code, answer.media) == (500, "INTERNAL", media)
    said = caplog.text + "".join(capsys.readouterr())
    assert said.count(answer.json["errors"][0]["extensions"]["id"]) == 1
    assert "secret" in said
    assert b"secret" not in answer.body


async def test_pages_of_other_origins_are_answered_where_they_are_allowed(
    storeless: Resources,
) -> None:
    settings = storeless.settings
    asked = [("origin", "https://shop.example"), ("access-control-request-method", "POST")]
    for origins, status, allowed in [("", 405, False), ("https://shop.example", 200, True)]:
        chosen = settings.model_copy(update={"cors_origins": origins})
        app: Any = create_app(chosen, Parts(storeless, Redis()))
        client = Asker(app)
        preflight = await client(method="OPTIONS", doubled=asked)
        assert preflight.status == status
        answer = await client(TYPENAME, doubled=asked[:1])
        for found in (preflight, answer):
            assert (found.headers.get("access-control-allow-origin") is not None) is allowed
    stranger = await client(TYPENAME, doubled=[("origin", "https://elsewhere.example")])
    assert "access-control-allow-origin" not in stranger.headers
