"""Trusted documents: manifests that are none, and each way of naming a document."""

from pathlib import Path
from typing import Any

import pytest

from app.kernel.manifest import digest_of, manifest_of
from schema.engine.documents import RequestRefused
from schema.engine.trusted import Trusted

TEXT = "query Home { serverInfo { version } } # 邻里"
OTHER = "{ tiers { code } }"
KNOWN, UNKNOWN = digest_of(TEXT), digest_of(OTHER)
TRUSTED, OPEN = Trusted([TEXT]), Trusted()


def apollo(digest: Any, version: Any = 1) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": version, "sha256Hash": digest}}}


def refusal(trusted: Trusted, body: dict[str, Any], *, exempt: bool = False) -> tuple[str, str]:
    """The code and message that a request is refused with."""
    with pytest.raises(RequestRefused) as refused:
        trusted.asked_text(body, exempt=exempt)
    (error,) = refused.value.errors
    assert error.extensions is not None
    return error.extensions["code"], error.message


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": f"sha256:{KNOWN}"},
        {"documentId": f"sha256:{KNOWN.upper()}"},
        {"documentId": f"sha256:{KNOWN}", "query": TEXT},
        {"documentId": f"sha256:{KNOWN}", "query": None, "extensions": None},
        apollo(KNOWN),
        apollo(KNOWN.upper()),
        {**apollo(KNOWN), "query": TEXT},
        {**apollo(KNOWN), "query": ""},
        {**apollo(KNOWN), "documentId": f"sha256:{KNOWN}"},
        {"query": TEXT},
        {"query": TEXT, "extensions": {"other": 1}},
    ],
)
def test_a_known_document_is_answered_by_any_name(body: dict[str, Any]) -> None:
    assert TRUSTED.asked_text(body) == TEXT


@pytest.mark.parametrize("body", [{"query": OTHER}, {"query": OTHER, **apollo(UNKNOWN)}])
def test_an_unknown_text_is_for_exempt_callers_only(body: dict[str, Any]) -> None:
    assert refusal(TRUSTED, body)[0] == "DOCUMENT_NOT_TRUSTED"
    assert TRUSTED.asked_text(body, exempt=True) == OTHER
    assert OPEN.asked_text(body) == OTHER


@pytest.mark.parametrize(
    "body", [{"documentId": f"sha256:{UNKNOWN}"}, {"documentId": "home"}, apollo(UNKNOWN)]
)
@pytest.mark.parametrize("exempt", [False, True])
def test_an_unknown_name_is_answered_as_clients_expect(body: dict[str, Any], exempt: bool) -> None:
    said = ("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    assert refusal(TRUSTED, body, exempt=exempt) == said
    said = ("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
    assert refusal(OPEN, body, exempt=exempt) == said


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "BAD_REQUEST"),
        ({"query": None}, "BAD_REQUEST"),
        ({"query": 7}, "BAD_REQUEST"),
        ({"query": TEXT, "documentId": 7}, "BAD_REQUEST"),
        ({"query": TEXT, **apollo(7)}, "BAD_REQUEST"),
        ({"query": TEXT, "extensions": {"persistedQuery": "x"}}, "BAD_REQUEST"),
        ({"query": TEXT, **apollo(KNOWN, 2)}, "PERSISTED_QUERY_NOT_SUPPORTED"),
        ({"query": OTHER, **apollo(KNOWN)}, "PERSISTED_QUERY_MISMATCH"),
        ({"query": TEXT, "documentId": f"sha256:{UNKNOWN}"}, "PERSISTED_QUERY_MISMATCH"),
        ({"query": TEXT, "documentId": KNOWN}, "PERSISTED_QUERY_MISMATCH"),
        ({**apollo(KNOWN), "documentId": f"sha256:{UNKNOWN}"}, "PERSISTED_QUERY_MISMATCH"),
    ],
)
@pytest.mark.parametrize("trusted", [TRUSTED, OPEN])
def test_what_is_no_request_is_refused(trusted: Trusted, body: dict[str, Any], code: str) -> None:
    assert refusal(trusted, body)[0] == code


def test_texts_of_any_characters_have_names() -> None:
    assert refusal(TRUSTED, {"query": "\ud800"})[0] == "DOCUMENT_NOT_TRUSTED"
    assert TRUSTED.text_of(f"sha256:{KNOWN}") == TEXT
    assert TRUSTED.text_of(KNOWN) is None
    assert TRUSTED.text_of("sha256:") is None


def test_a_manifest_is_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "trusted.json"
    file.write_text(manifest_of([TEXT, OTHER, TEXT]), encoding="utf-8")
    found = Trusted.load(file)
    assert found.is_restricted
    assert {found.text_of(f"sha256:{key}") for key in (KNOWN, UNKNOWN)} == {TEXT, OTHER}
    assert not Trusted.load(None).is_restricted
