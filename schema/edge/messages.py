"""The messages of graphql-transport-ws, read strictly: whatever is none of them is named."""

from dataclasses import dataclass
from typing import Any

import orjson

from schema.edge.parameters import Parameters, json_value, of_mapping
from schema.edge.refusals import NotServed

PROTOCOL = "graphql-transport-ws"
LONGEST_ID = 256
_JSON: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "a boolean",
    type(None): "null",
}
Json = dict[str, Any]

ACK = b'{"type":"connection_ack"}'
PING = b'{"type":"ping"}'


class Malformed(Exception):
    """A message that the protocol does not know; the reason is short enough for a close frame."""


@dataclass(frozen=True, slots=True)
class Init:
    """connection_init."""

    payload: Json


@dataclass(frozen=True, slots=True)
class Ping:
    """ping, to be answered with its payload."""

    payload: Json | None


@dataclass(frozen=True, slots=True)
class Pong:
    """pong."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """subscribe: one operation."""

    id: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Complete:
    """complete: the client wants no more of an operation."""

    id: str


Message = Init | Ping | Pong | Subscribe | Complete


def read_message(text: str) -> Message:
    """The message of a text frame. Raises Malformed."""
    given = _read(text)
    kind = given.get("type")
    match kind:
        case "connection_init":
            return Init(_object(given, "payload") or {})
        case "ping":
            return Ping(_object(given, "payload"))
        case "pong":
            _object(given, "payload")
            return Pong()
        case "complete":
            return Complete(_id(given))
        case "subscribe":
            return _subscribe(given)
        case str():
            raise Malformed(f"Unknown message type {kind[:40]}.")
        case _:
            raise Malformed("A message needs a type.")


def pong(payload: Json | None) -> bytes:
    """The answer to a ping."""
    return orjson.dumps(
        {"type": "pong"} if payload is None else {"type": "pong", "payload": payload}
    )


def next_prefix(id: str) -> bytes:
    """The beginning of an operation's `next` message: the payload's JSON and `}` follow."""
    return b'{"id":' + orjson.dumps(id) + b',"type":"next","payload":'


def complete(id: str) -> bytes:
    """The end of an operation."""
    return orjson.dumps({"id": id, "type": "complete"})


def error(id: str, errors: list[Any]) -> bytes:
    """The failure of an operation, which ends it; errors as they are formatted for clients."""
    return orjson.dumps({"id": id, "type": "error", "payload": errors})


def _read(text: str) -> Json:
    try:
        value = json_value(text.encode(), "the message")
    except UnicodeEncodeError:
        raise Malformed("The message is not in UTF-8.") from None
    except NotServed as refusal:
        raise Malformed(refusal.message) from None
    if not isinstance(value, dict):
        raise Malformed("A message must be a JSON object.")
    return value  # pyright: ignore[reportUnknownVariableType]  # JSON of any shape


def _subscribe(given: Json) -> Subscribe:
    id = _id(given)
    payload = _object(given, "payload")
    if payload is None:
        raise Malformed("subscribe needs a payload.")
    try:
        return Subscribe(id, of_mapping(payload))
    except NotServed as refusal:
        raise Malformed(refusal.message) from None


def _id(given: Json) -> str:
    id = given.get("id")
    if not isinstance(id, str):
        raise Malformed(f"id must be a text, not {_kind(id)}.")
    if not id:
        raise Malformed("id must not be empty.")
    if len(id) > LONGEST_ID:
        raise Malformed(f"id must have at most {LONGEST_ID} characters.")
    return id


def _object(given: Json, name: str) -> Json | None:
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise Malformed(f"{name} must be an object, not {_kind(value)}.")
    return value  # pyright: ignore[reportUnknownVariableType]  # JSON of any shape


def _kind(value: object) -> str:
    return _JSON.get(type(value), "a number")
