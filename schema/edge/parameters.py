"""The parameters of a GraphQL request, from a JSON body, a query string or a socket's message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from schema.edge.refusals import NotServed, malformed

# NUL in a JSON text; after an escaped backslash the same letters are only letters.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
MOST_FIELDS = 20
_KNOWN = frozenset({"query", "operationName", "variables", "extensions", "documentId"})


@dataclass(slots=True)
class Parameters:
    """A well-formed request; `query` may be absent where a document is named by its id."""

    query: str | None
    operation_name: str | None
    variables: dict[str, Any] | None
    extensions: dict[str, Any] | None
    document_id: str | None

    @property
    def is_named(self) -> bool:
        """Whether the document is named by what it hashes to."""
        return self.document_id is not None or _persisted(self.extensions)

    @property
    def naming(self) -> dict[str, Any]:
        """What tells which document is meant."""
        return {
            "query": self.query,
            "documentId": self.document_id,
            "extensions": self.extensions,
        }


def of_json(body: bytes) -> Parameters:
    """The parameters in a JSON body; raises NotServed (400) with what is wrong with it."""
    if not body:
        raise malformed("The body is empty; a JSON object with a query is expected.")
    value = json_value(body, "the body")
    if isinstance(value, list):
        raise malformed("Batches are not answered; send one operation a request.")
    if not isinstance(value, dict):
        raise malformed("The body must be a JSON object.")
    return of_mapping(value)


def of_query_string(text: bytes) -> Parameters:
    """The parameters in a URL; raises NotServed (400) with what is wrong with them."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise malformed("The query string is malformed, or not in UTF-8.") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in _KNOWN:
            continue
        if name in given:
            raise malformed(f"{name} is given twice.")
        if "\0" in value:
            raise malformed(f"{name}: text may not hold NUL characters.")
        if name in {"variables", "extensions"}:
            given[name] = json_value(value.encode(), name) if value else None
        else:
            given[name] = value
    return of_mapping(given)


def of_mapping(given: Mapping[str, Any]) -> Parameters:
    """The parameters in a JSON object: absent and null are the same, other names are ignored."""
    query, document_id = _text(given, "query"), _text(given, "documentId")
    parameters = Parameters(
        query,
        # An empty name names no operation: the same as none.
        _text(given, "operationName") or None,
        _object(given, "variables"),
        _object(given, "extensions"),
        document_id,
    )
    if query is None and document_id is None and not _persisted(parameters.extensions):
        raise malformed("There is no query in the request.")
    return parameters


def json_value(raw: bytes, where: str) -> Any:
    """Strict JSON: UTF-8, no NUL (PostgreSQL cannot store it), numbers that are finite."""
    if b"\\u0000" in raw and _NUL.search(raw):
        raise malformed(f"{where}: text may not hold NUL characters.")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise malformed(f"{where} is not JSON: {error}.") from None


def _persisted(extensions: dict[str, Any] | None) -> bool:
    return extensions is not None and extensions.get("persistedQuery") is not None


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _wrong(name, "a string")


def _object(given: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = given.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise _wrong(name, "an object")


def _wrong(name: str, kind: str) -> NotServed:
    return malformed(f"{name} must be {kind}.")
