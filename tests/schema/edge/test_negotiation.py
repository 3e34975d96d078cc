"""Accept and Content-Type, read as RFC 9110 says."""

import pytest

from schema.edge.negotiation import Media, accepted, is_json

NAMES = {
    "json": Media.JSON,
    "response": Media.RESPONSE,
    "stream": Media.STREAM,
    "none": None,
}


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "json"),
        (b"", "json"),
        (b" , ", "json"),
        (b"*/*", "json"),
        (b"application/*", "json"),
        (b"APPLICATION/JSON", "json"),
        (b"application/json; charset=utf-8", "json"),
        (b"application/graphql-response+json", "response"),
        (b"application/graphql-response+json, application/json", "response"),
        (b"application/json, application/graphql-response+json", "json"),
        (b"application/graphql-response+json; charset=utf-8, application/json; q=0.9", "response"),
        (b"application/graphql-response+json;q=0.5, application/json;q=0.9", "json"),
        (b"application/graphql-response+json, */*", "response"),
        (b"*/*, application/graphql-response+json", "response"),
        (b"*/*;q=0.1, application/graphql-response+json;q=0.05", "json"),
        (b"application/json;q=0, */*", "response"),
        (b"application/json;q=0", "none"),
        (b"application/json;q=0, application/graphql-response+json;q=0.000", "none"),
        (b"application/json;q=nan", "none"),
        (b"application/json;q=2", "none"),
        (b"text/event-stream", "stream"),
        (b"text/*", "stream"),
        (b"text/event-stream, application/json;q=0.9", "stream"),
        (b"application/json, text/event-stream", "json"),
        (b"text/html", "none"),
        (b"image/png, application/xml", "none"),
        (b"nonsense", "none"),
        (b"\xff\xfe", "none"),
        (b"multipart/mixed;deferSpec=20220824, application/graphql-response+json", "response"),
    ],
)
def test_the_best_type_that_is_accepted_is_chosen(header: bytes | None, chosen: str) -> None:
    assert accepted(header).media is NAMES[chosen]


@pytest.mark.parametrize(
    ("header", "streams"),
    [
        (b"text/event-stream", True),
        (b"application/json, text/event-stream", True),
        (b"*/*", False),
        (b"text/event-stream;q=0", False),
        (None, False),
    ],
)
def test_a_stream_is_only_for_who_names_it(header: bytes | None, streams: bool) -> None:
    assert accepted(header).streams is streams


@pytest.mark.parametrize(
    ("header", "page"),
    [
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        (b"text/html", True),
        (b"application/json, text/html;q=0.9", False),
        (b"*/*", False),
        (None, False),
    ],
)
def test_a_page_is_for_browsers(header: bytes | None, page: bool) -> None:
    assert accepted(header).page is page


@pytest.mark.parametrize(
    ("header", "json"),
    [
        (b"application/json", True),
        (b"Application/JSON", True),
        (b"application/json;charset=UTF-8", True),
        (b'application/json; charset="utf-8"', True),
        (b"application/json; odata=verbose; charset=utf8", True),
        (b"application/json; charset=latin1", False),
        (b"application/json; charset=utf-16", False),
        (b"application/graphql", False),
        (b"application/jsonp", False),
        (b"text/plain", False),
        (b"multipart/form-data; boundary=x", False),
        (b"application/x-www-form-urlencoded", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_only_json_in_utf8_is_a_body(header: bytes, json: bool) -> None:
    assert is_json(header) is json
