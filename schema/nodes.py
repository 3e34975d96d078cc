"""Opaque ids outside, UUIDs inside: `base64url(Type:uuid)`."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from functools import lru_cache
from uuid import UUID

import strawberry

from app.kernel.errors import InvalidInput
from schema.context import Info


@strawberry.interface(description="Anything with an id that `node` can fetch again.")
class Node:
    id: strawberry.ID = strawberry.field(description="The opaque id of this object.")


@strawberry.type(description="Fields of a member.")
class MemberPart:
    """Base of each slice's share of the `Member` type."""

    key: strawberry.Private[UUID]


NodeLoader = Callable[[Info, UUID], Awaitable[Node | None]]


def global_id(kind: str, key: UUID) -> strawberry.ID:
    """The opaque id of an object."""
    # Of letters, digits and a colon no `+` and no `/` come: the two alphabets are one here.
    encoded = binascii.b2a_base64(f"{kind}:{key.hex}".encode(), newline=False)
    return strawberry.ID(encoded.rstrip(b"=").decode())


def read_id(text: str, field: str = "id") -> tuple[str, UUID]:
    """The kind and key of an opaque id.

    Raises InvalidInput.
    """
    try:
        return _decoded(text)
    except (ValueError, binascii.Error, UnicodeError) as error:
        raise InvalidInput(
            field=field, reason="this is not an id of ours", reason_zh="不是有效的编号"
        ) from error


# Many ask for one thing at a time: a drop that opens, a ballot that closes.
@lru_cache(4_096)
def _decoded(text: str) -> tuple[str, UUID]:
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    kind, _, key = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
    if len(key) != 32:
        raise ValueError("not the length of a key")
    return kind, UUID(hex=key)


def key_of(text: str, kind: str, field: str = "id") -> UUID:
    """The key of an opaque id that must be of one kind.

    Raises InvalidInput.
    """
    found, key = read_id(text, field)
    if found != kind:
        raise InvalidInput(
            field=field,
            reason=f"this is an id of a {found}, not of a {kind}",
            reason_zh=f"需要 {kind} 的编号",
        )
    return key
