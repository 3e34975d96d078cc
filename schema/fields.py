"""Root fields with their access rule, and mutations with their union of refusals."""

import functools
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import SimpleNamespace
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import strawberry

from app.kernel.db import Read
from app.kernel.errors import NotAllowed, Refusal
from app.kernel.table import Json
from schema.context import Action, Info, current_action
from schema.errors import as_type, refused_query, result_union
from schema.guard import Allow

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
V = TypeVar("V")
# The metadata key under which the shape test finds a root field's rule.
ALLOW = "allow"
# Those that the limits go by: a mutation that guessing would repeat, a plain list's usual length.
SENSITIVE = "sensitive"
SIZE = "size"
# The one under which the engine finds whether answers may be remembered (schema/engine/answers.py).
REMEMBERED = "remembered"
# And the one under which it finds how a field's value is loaded for many objects at once.
LOADS = "loads"
# The one under which it finds the resolver that says what it wants instead of awaiting it.
WANTS = "wants"
# The one under which stands what a field with a resolver of its own reads of its object's row.
NEEDS = "needs"
# The one under which the engine finds that a resolver's answer is the same for every caller.
SHARED = "shared"
# The one of an input's field that came later: given as its default it is no part of a digest, so
# that an idempotency key outlives the release that brings it.
LATER = "later"
_SECRET = {"password", "code", "refresh_token", "phone", "js_code"}


@dataclass(frozen=True, slots=True)
class Loads:
    """Which batched query a field's value comes from, by which key, made into what."""

    query: Callable[[Read, Iterable[Any]], Awaitable[dict[Any, Any]]]
    key: Callable[[Any], Any]
    # Takes None for what the query has nothing for.
    make: Callable[[Any], Any]
    # The row, where the object was read together with it.
    ready: Callable[[Any], Any] | None = None

    def say(self, source: Any) -> Any:
        """What is wanted for an object, or what is known of it already."""
        held = None if self.ready is None else self.ready(source)
        if held is not None:
            return self.make(held)
        key = self.key(source)
        return self.make(None) if key is None else Wanted(self.query, key, self.make)


# What is known of an object that was not read yet.
Known = SimpleNamespace


@dataclass(slots=True, eq=False)
class Wanted(Generic[T]):
    """What a resolver needs read before it can answer: `make` turns the row, or None, into it.

    What `make` answers may be wanted in its turn. A resolver that says so instead of awaiting it
    costs no task, and shares its round trip with whatever else is wanted at the same time.

    `ahead` holds what is known of the object before it is read, by the same names: fields that
    need no more of it are asked for together with it. What it holds, the object must hold too.
    """

    query: Callable[[Read, Iterable[Any]], Awaitable[dict[Any, Any]]]
    key: Any
    make: "Callable[[Any], T | Wanted[T]]"
    ahead: object = None


@dataclass(frozen=True, slots=True)
class Selected:
    """The names of the fields that are selected below a field, at whatever depth.

    A resolver that takes `selected: Selected = UNKNOWN` may read with its rows what will be asked
    of them. Where nothing is known it reads less, and what is asked is read later: so it is a help
    and never a promise.
    """

    names: frozenset[str] = frozenset()

    def holds(self, name: str) -> bool:
        """Whether a field of this name (in Python's spelling of GraphQL's) is among them."""
        return name in self.names


UNKNOWN = Selected()
SELECTED = "selected"


def _awaiting(resolver: Callable[..., Any]) -> Callable[..., Any]:
    """The resolver as Strawberry knows it: answering `T` where it says `Wanted[T]`."""
    hint: Any = resolver.__annotations__["return"]
    (kind,) = next(get_args(item) for item in (hint, *get_args(hint)) if get_origin(item) is Wanted)

    @functools.wraps(resolver)
    async def awaited(self: object, info: Info, **arguments: Any) -> Any:
        found = resolver(self, info, **arguments)
        while isinstance(found, Wanted):
            row = await info.context.one(found.query, found.key)
            found = found.make(row)
        return found

    told = {name: hint for name, hint in resolver.__annotations__.items() if name != SELECTED}
    awaited.__annotations__ = {**told, "return": kind}
    signature = inspect.signature(resolver)
    given = [item for item in signature.parameters.values() if item.name != SELECTED]
    signature = signature.replace(parameters=given, return_annotation=kind)
    setattr(awaited, "__signature__", signature)  # noqa: B010  # no attribute of functions' type
    return awaited


def wanted(*, description: str, shared: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """A field whose resolver answers `Wanted[T]`; `shared` promises as with `field`."""

    def decorate(resolver: Callable[..., Any]) -> Any:
        metadata = {WANTS: resolver, SHARED: shared}
        return strawberry.field(_awaiting(resolver), description=description, metadata=metadata)

    return decorate


def query(
    allow: Allow, *, description: str, name: str | None = None, remembered: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """A root query: the rule is checked before the resolver runs; refusals become errors.

    A `remembered` one shows a member nothing but facts that raise their version and what may be
    some seconds old (time, and what others do): its answers may be given again.
    """

    def decorate(resolver: Callable[..., Any]) -> Any:
        metadata: dict[str, Any] = {ALLOW: allow, REMEMBERED: remembered}
        awaited = resolver
        if not inspect.iscoroutinefunction(resolver):
            metadata[WANTS] = _allowed(allow, resolver)
            awaited = _awaiting(resolver)

        @functools.wraps(awaited)
        async def guarded(self: object, info: Info, **arguments: Any) -> Any:
            try:
                allow.require(info.context.caller)
                return await awaited(self, info, **arguments)
            except Refusal as refusal:
                raise refused_query(refusal, info.context.locale) from None

        return strawberry.field(
            guarded,
            name=name,
            description=_with_rule(description, allow),
            metadata=metadata,
        )

    return decorate


def _allowed(allow: Allow, resolver: Callable[..., Any]) -> Callable[..., Any]:
    # Only the engine calls this; it answers a refusal by letting the guarded resolver run.
    @functools.wraps(resolver)
    def checked(self: object, info: Info, **arguments: Any) -> Any:
        allow.require(info.context.caller)
        return resolver(self, info, **arguments)

    return checked


def mutation(
    allow: Allow,
    success: type,
    *,
    refusals: Sequence[type[Refusal]] = (),
    description: str,
    sensitive: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """A mutation of one `input`: answers the union of its success and its declared refusals.

    A sensitive one is what guessing or racing would repeat: an operation holds few of them.
    """

    def decorate(resolver: Callable[..., Awaitable[T]]) -> Any:
        name = "".join(part.title() for part in resolver.__name__.split("_"))
        action = name[0].lower() + name[1:]

        described = strawberry.argument(description=f"What {name} is to be done with.")
        resolver.__annotations__["input"] = Annotated[resolver.__annotations__["input"], described]

        @functools.wraps(resolver)
        async def guarded(self: object, info: Info, input: Any) -> object:
            token = current_action.set(Action(action, functools.partial(shown, input)))
            try:
                allow.require(info.context.caller)
                return await resolver(self, info, input)
            except Refusal as refusal:
                if isinstance(refusal, NotAllowed):
                    await info.context.note_refusal(refusal.code)
                return as_type(refusal, refusals, info.context.locale)
            finally:
                current_action.reset(token)

        return strawberry.mutation(
            guarded,
            description=_with_rule(description, allow),
            graphql_type=result_union(f"{name}Result", success, refusals),
            metadata={ALLOW: allow, SENSITIVE: sensitive},
        )

    return decorate


def subscription(allow: Allow, *, description: str) -> Callable[[Callable[..., Any]], Any]:
    """A subscription, whose resolver answers the `Stream` to follow; the rule is checked first."""

    def decorate(resolver: Callable[..., Awaitable[AsyncIterable[T]]]) -> Any:
        @functools.wraps(resolver)
        async def guarded(self: object, info: Info, **arguments: Any) -> AsyncIterable[T]:
            try:
                allow.require(info.context.caller)
                return await resolver(self, info, **arguments)
            except Refusal as refusal:
                raise refused_query(refusal, info.context.locale) from None

        return strawberry.subscription(
            guarded, description=_with_rule(description, allow), metadata={ALLOW: allow}
        )

    return decorate


def field(
    *, description: str, allow: Allow | None = None, shared: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """A resolver field; a rule of its own only where it is stricter than its parent's.

    `shared` promises that its answer depends on nothing of the caller but the language: live
    updates that select only such fields are worked out once for everyone.
    """

    def decorate(resolver: Callable[..., Any]) -> Any:
        rule = allow
        if rule is None:
            return strawberry.field(
                resolver, description=description, metadata={SHARED: True} if shared else None
            )
        if shared:
            raise TypeError(f"{resolver.__name__} has a rule and cannot be shared")
        if not inspect.iscoroutinefunction(resolver):
            raise TypeError(f"{resolver.__name__} has a rule and must be async")

        @functools.wraps(resolver)
        async def guarded(self: object, info: Info, **arguments: Any) -> object:
            try:
                rule.require(info.context.caller)
            except Refusal as refusal:
                raise refused_query(refusal, info.context.locale) from None
            return await resolver(self, info, **arguments)

        return strawberry.field(
            guarded, description=_with_rule(description, rule), metadata={ALLOW: rule}
        )

    return decorate


def loaded(
    source: Callable[[Read, Iterable[K]], Awaitable[dict[K, V]]],
    *,
    key: Callable[[Any], K | None],
    make: Callable[[V], T],
    description: str,
    nullable: bool = False,
    absent: Callable[[], T] | None = None,
    ready: Callable[[Any], V | None] | None = None,
    needs: Sequence[str] = (),
) -> Any:
    """A field that is one row by key: loaded for a whole list in one statement.

    For a key that is None or names no row it is null where it is nullable, or what `absent` makes;
    else that is a fault. `ready` answers the row of an object that was read together with it. The
    field's type is what `make` is annotated to return. Nothing in it depends on the caller.
    `needs` are the attributes of the object's row that `key` reads, for `schema.rows.columns_of`.
    """
    kind = get_type_hints(make)["return"]

    def made(row: V | None) -> T | None:
        if row is not None:
            return make(row)
        if absent is not None:
            return absent()
        if nullable:
            return None
        raise LookupError(f"{source.__module__}.{source.__name__} has nothing for a key")

    async def resolver(self: object, info: Info) -> object:
        held = None if ready is None else ready(self)
        if held is not None:
            return make(held)
        asked = key(self)
        return made(None if asked is None else await info.context.one(source, asked))

    resolver.__annotations__["return"] = kind | None if nullable else kind
    metadata = {LOADS: Loads(source, key, made, ready), SHARED: True, NEEDS: needs}
    return strawberry.field(resolver, description=description, metadata=metadata)


def shown(given: object) -> Json:
    """An input as JSON values for logs and digests, secrets blanked."""
    if not is_dataclass(given):
        return {}
    return {
        item.name: "***" if item.name in _SECRET else _json(getattr(given, item.name))
        for item in fields(given)
        if not (item.metadata.get(LATER) and getattr(given, item.name) == item.default)
    }


def _json(value: object) -> object:
    if isinstance(value, list):
        return [_json(item) for item in value]
    if is_dataclass(value):
        return shown(value)
    if value is strawberry.UNSET:
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _with_rule(description: str, allow: Allow) -> str:
    return f"{description} For {allow.says}."
