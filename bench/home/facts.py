"""Whether every server tells the same facts: their answers brought into one form."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

# Instants and ids are written differently by each; what they mean is compared.
_INSTANTS = {"at", "expiresAt", "issuedAt", "closesAt"}


class Differs(Exception):
    """Two servers tell a member different things."""


def facts_of(name: str, answer: bytes) -> dict[str, Any]:
    """The facts of a home: without envelopes, connections and spellings of ids and instants.

    Raises Differs when there is no home in it.
    """
    try:
        given = orjson.loads(answer)
    except orjson.JSONDecodeError:
        given = {}
    home = given.get("data", given)
    if not home or not home.get("me") or "errors" in given:
        raise Differs(f"{name} answers {answer[:2000].decode(errors='replace')}")
    # Ballots stand beside the member or, where they are a relation of theirs, below.
    me = {**home["me"]}
    ballots = me.pop("ballots", home.get("ballots"))
    return {"me": _plain(me), "ballots": _plain(ballots)}


def _plain(value: Any, name: str = "") -> Any:
    if isinstance(value, list):
        return [_plain(item, name) for item in value]
    if isinstance(value, dict):
        if set(value) == {"nodes"}:
            return _plain(value["nodes"], name)
        if "zh" in value:  # a benefit as it is stored
            value = {key: value[key] for key in ("code", "quota", "window")} | {"name": value["zh"]}
        return {key: _plain(inner, key) for key, inner in value.items()}
    if name in _INSTANTS and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    if name == "id" and isinstance(value, str):
        return _key(value)
    # Some write 64-bit numbers as text.
    if name in ("balance", "pending", "amount", "rank", "value", "thresholdFen", "quota"):
        return None if value is None else int(value)
    return value


def _key(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        pass
    try:
        _, _, key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        return str(UUID(key))
    except (ValueError, binascii.Error) as error:
        raise Differs(f"{text!r} is no id") from error


def require_same(name: str, facts: Any, other_name: str, other: Any, path: str = "home") -> None:
    """Raise Differs with the first place where two homes differ."""
    if isinstance(facts, dict) and isinstance(other, dict):
        for key in facts.keys() | other.keys():
            inner = f"{path}.{key}"
            require_same(name, facts.get(key), other_name, other.get(key), inner)
    elif isinstance(facts, list) and isinstance(other, list) and len(facts) == len(other):
        for at, (one, two) in enumerate(zip(facts, other, strict=True)):
            require_same(name, one, other_name, two, f"{path}[{at}]")
    elif facts != other:
        raise Differs(f"{path}: {name} says {facts!r}, {other_name} says {other!r}")
