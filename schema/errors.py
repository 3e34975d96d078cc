"""Refusals as GraphQL types, client mistakes as errors with codes, and the masking of the rest."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Union
from uuid import uuid4

import strawberry
from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError

from app.kernel.errors import (
    IdempotencyKeyReused,
    InvalidInput,
    Locale,
    NotAllowed,
    NotBefore,
    NotSignedIn,
    Refusal,
    Wait,
)
from app.kernel.log import logger
from app.kernel.outages import Unavailable, is_outage

log = logger(__name__)

# What every mutation may answer besides its own refusals.
COMMON: tuple[type[Refusal], ...] = (NotSignedIn, NotAllowed, InvalidInput, IdempotencyKeyReused)
MOST_ERRORS = 8


@strawberry.interface(
    description="A command's refusal: something expected, with a stable code and a sentence."
)
class UserError:
    code: str = strawberry.field(description="A stable code for programs, such as SOLD_OUT.")
    message: str = strawberry.field(description="A sentence for the person, in their language.")


@strawberry.type(description="A refusal that ends by itself.")
class Waiting(UserError):
    retry_after_seconds: int = strawberry.field(
        description="In how many seconds it is worth trying again."
    )


@strawberry.type(description="A refusal that ends at an instant.")
class WaitingUntil(UserError):
    not_before: datetime = strawberry.field(
        description="From when on it is worth trying again; count down against the server's time."
    )


@cache
def refusal_type(refusal: type[Refusal]) -> type[UserError]:
    """The GraphQL object type of a refusal: same name, implements UserError."""
    name, inside = refusal.__name__, {"__module__": __name__}
    if issubclass(refusal, Wait):
        shape = type(name, (Waiting,), inside)
    elif issubclass(refusal, NotBefore):
        shape = type(name, (WaitingUntil,), inside)
    else:
        shape = type(name, (UserError,), inside)
    description = " ".join((refusal.__doc__ or refusal.en).split())
    return strawberry.type(shape, description=description)


def result_union(name: str, success: type, refusals: Sequence[type[Refusal]]) -> Any:
    """The union of a mutation's success and everything it may refuse with."""
    types = dict.fromkeys([*refusals, *COMMON])
    members = (success, *(refusal_type(item) for item in types))
    description = f"The success or a refusal, for {name.removesuffix('Result')}."
    return Annotated[Union[members], strawberry.union(name=name, description=description)]  # noqa: UP007


def as_type(refusal: Refusal, declared: Sequence[type[Refusal]], locale: Locale) -> UserError:
    """The GraphQL value of a refusal; an undeclared one is re-raised, because that is a bug."""
    for kind in (*declared, *COMMON):
        if type(refusal) is kind:
            given: dict[str, Any] = {"code": refusal.code, "message": refusal.message(locale)}
            if isinstance(refusal, Wait):
                given["retry_after_seconds"] = refusal.seconds
            if isinstance(refusal, NotBefore):
                given["not_before"] = refusal.at
            return refusal_type(kind)(**given)
    raise refusal


class ClientError(GraphQLError):
    """A mistake of the client's in a query (a malformed id, a stale cursor): shown as it is."""

    def __init__(self, message: str, *, code: str = "BAD_USER_INPUT") -> None:
        """Say what was wrong with the request."""
        super().__init__(message, extensions={"code": code})


def refused_query(refusal: Refusal, locale: Locale) -> ClientError:
    """A refusal outside mutations, where there is no union to answer it in."""
    return ClientError(refusal.message(locale), code=refusal.code)


def present(error: GraphQLError, locale: Locale = "en") -> GraphQLError:
    """The error as the client may see it: client mistakes as they are, faults masked and logged."""
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if isinstance(original, Refusal) and len(error.path or ()) > 1:
        # A field below the root refused its arguments: a page size, a cursor, an id. Root fields
        # answer refusals themselves; one that comes from there was not declared, and is a fault.
        return _copy(error, original.message(locale), {"code": original.code})
    if original is None or isinstance(original, GraphQLError):
        extensions = dict(error.extensions or {})
        extensions.setdefault("code", "BAD_USER_INPUT" if error.path else "BAD_REQUEST")
        return _copy(error, error.message, extensions)
    # Over HTTP the view answers these two, over sockets we do.
    if isinstance(original, MissingQueryError):
        return _copy(error, "No GraphQL query found in the request", {"code": "BAD_REQUEST"})
    if isinstance(original, CannotGetOperationTypeError):
        return _copy(error, original.as_http_error_reason(), {"code": "BAD_REQUEST"})
    if is_outage(original):
        log.warning("the database is away", path=error.path, error=type(original).__name__)
        return _copy(error, Unavailable().message(locale), {"code": Unavailable.code})
    fault = uuid4().hex[:16]
    log.error("unexpected error in a resolver", error_id=fault, path=error.path, exc_info=original)
    return _copy(error, "Internal error.", {"code": "INTERNAL", "id": fault})


def _copy(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )


def present_all(result: Any) -> Any:
    """The same result with its errors as the client may see them, at most eight."""
    if result.errors:
        result.errors = [present(error) for error in result.errors[:MOST_ERRORS]]
    return result
