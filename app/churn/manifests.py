"""Manifests as the register keeps them: plain values, and one fixed spelling for their hash."""

import hashlib
import json
import math
from typing import Any

from app.kernel.table import Json


def plain(manifest: Json) -> Json:
    """The manifest as values that JSON knows: what is not a finite number becomes null.

    >>> plain({"a": (1, float("nan"))})
    {'a': [1, None]}
    """
    return {str(name): _plain(value) for name, value in manifest.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def manifest_hash(manifest: Json) -> str:
    """The SHA-256 of a manifest's values, whatever the order of its names.

    Numbers are spelled as floats, because the database may hand 1e22 back as an integer.

    >>> manifest_hash({"a": 1, "b": [2.0]}) == manifest_hash({"b": [2], "a": 1.0})
    True
    """
    spelled = json.dumps(_spelled(manifest), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(spelled.encode()).hexdigest()


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _spelled(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    return value
