"""Generated schemas: types, interfaces, unions and generics whose fields answer in every way.

A field is an attribute, a resolver (at once or later; with or without `info`, arguments, a parent),
or loaded; its type is any kind in any wrapping.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Generic, TypeVar, Union

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from schema.context import Ctx, Info
from schema.fields import Known, Wanted, loaded, wanted
from tests.schema.engine.values_at_random import (
    LEAVES,
    SCALARS,
    Colour,
    Kind,
    Mode,
    Seeded,
    Size,
    current,
    seeded,
    value_of,
)

T = TypeVar("T")
Parameter = inspect.Parameter
KEYWORD, POSITIONAL = Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD


@strawberry.input
class Inner:
    """An input within an input."""

    flag: bool = True
    colours: list[Colour] | None = None


@strawberry.input
class Given:
    """An input with everything that inputs have."""

    number: int
    text: str | None = strawberry.UNSET
    size: Size = Size.LARGE
    inner: Inner | None = None
    inners: list[Inner] = strawberry.field(default_factory=list)


ARGUMENTS: list[tuple[Any, Any]] = [
    (int, Parameter.empty),
    (int, 3),
    (str | None, None),
    (str | None, strawberry.UNSET),
    (bool, False),
    (float | None, None),
    (Colour, Colour.GREEN),
    (Size | None, None),
    (list[int], Parameter.empty),
    (list[str | None] | None, None),
    (list[list[int]] | None, None),
    (Given | None, None),
    (Given, Parameter.empty),
    (list[Given] | None, None),
    (strawberry.ID | None, None),
]


@dataclass(frozen=True, slots=True)
class Made:
    """A schema, and the names of its object types."""

    declared: strawberry.Schema
    core: GraphQLSchema


def schema_at_random(seed: int) -> Made:
    """The schema of a seed."""
    return _Making(Random(seed)).made()


class _Making:
    """One schema while it is put together."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.interfaces = [type(f"I{n}", (Seeded,), _shown()) for n in range(2)]
        self.objects: list[Any] = []
        for n in range(5):
            bases = rng.choice([(), (), self.interfaces[:1], self.interfaces[1:], self.interfaces])
            self.objects.append(type(f"T{n}", (*bases,) or (Seeded,), _shown()))
        # Each interface is implemented at least once.
        self.objects += [type(f"T{n + 5}", (it,), _shown()) for n, it in enumerate(self.interfaces)]
        self.page = _page()

    def made(self) -> Made:
        """All of it."""
        for n, interface in enumerate(self.interfaces):
            self._fill(interface, f"i{n}", 3)
            strawberry.interface(interface)
        for n, kind in enumerate(self.objects):
            self._fill(kind, f"t{n}", 5)
            strawberry.type(kind)
        roots: dict[str, Any] = {}
        for name, prefix in (("Query", "q"), ("Mutation", "m")):
            root: Any = type(name, (Seeded,), {})
            self._fill(root, prefix, 8, ways=_ROOT_WAYS)
            roots[name.lower()] = strawberry.type(root)
        roots["subscription"] = self._subscription()
        declared = strawberry.Schema(
            **roots, types=self.objects, config=StrawberryConfig(scalar_map=SCALARS)
        )
        core: Any = getattr(declared, "_schema")  # noqa: B009  # there is no public name
        return Made(declared, core)

    def _fill(self, owner: Any, prefix: str, most: int, ways: "list[Way] | None" = None) -> None:
        owner.__annotations__ = {}
        inherited = {}
        for base in owner.__mro__[1:]:
            inherited.update(getattr(base, "kinds", {}))
        owner.kinds = {**inherited}
        for n in range(self.rng.randint(most // 2, most)):
            name, kind = f"{prefix}{'abcdefghij'[n]}", self.kind()
            if ways is not None and self.rng.random() < 0.7:
                kind = kind if kind.nullable else kind.optional
            way = self.rng.choice(ways or _WAYS)
            way(self, owner, name, kind)

    def kind(self) -> Kind:
        """Any kind in any wrapping."""
        rng = self.rng
        found = self.bare()
        for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
            found = (found.optional if rng.random() < 0.4 else found).listed
        return found.optional if rng.random() < 0.5 else found

    def bare(self) -> Kind:
        """A kind as it is named."""
        rng, chosen = self.rng, self.rng.random()
        if chosen < 0.45:
            return rng.choice(LEAVES)
        if chosen < 0.7:
            return self._one_of(rng.choice(self.objects))
        if chosen < 0.8:
            interface: Any = rng.choice(self.interfaces)
            classes = tuple(it for it in self.objects if issubclass(it, interface))
            return Kind(interface, classes=classes)
        if chosen < 0.9:
            chosen_types = tuple(rng.sample(self.objects, rng.randint(2, 3)))
            name = "U" + "".join(it.__name__ for it in chosen_types)
            union: Any = Annotated[Union[chosen_types], strawberry.union(name=name)]  # noqa: UP007
            return Kind(union, classes=chosen_types)
        return self._paged(rng.choice(self.objects))

    def _one_of(self, kind: Any) -> Kind:
        return Kind(kind, classes=(kind,))

    def _paged(self, item: Any) -> Kind:
        inner = self._one_of(item)
        kinds = {
            "items": inner.listed,
            "first": inner.optional,
            "total": LEAVES[1],
            "maybe": inner.optional.listed.optional,
        }
        shape: Any = type("Shape", (), {"__generic__": (self.page, kinds)})
        return Kind(self.page[item], classes=(shape,))

    def _subscription(self) -> Any:
        root: Any = type("Subscription", (Seeded,), {"__annotations__": {}, "kinds": {}})
        for n in range(4):
            kind = self.kind()

            async def events(**_: object) -> AsyncGenerator[Any, None]:
                yield None

            _signed(events, [], AsyncGenerator[kind.annotation, None])
            root.kinds[f"s{n}"] = kind
            setattr(root, f"s{n}", strawberry.subscription(resolver=events))
        return strawberry.type(root)


def _shown() -> dict[str, Any]:
    """What keeps dataclasses from a `__repr__` that walks through all there is."""
    return {"__repr__": Seeded.__repr__}


def _page() -> Any:
    class Page(Seeded, Generic[T]):
        __repr__ = Seeded.__repr__
        items: list[T]
        first: T | None
        total: int
        maybe: list[T | None] | None

    return strawberry.type(Page)


Way = Callable[[_Making, Any, str, Kind], None]


def _attribute(_: _Making, owner: Any, name: str, kind: Kind) -> None:
    owner.__annotations__[name] = kind.annotation
    owner.kinds[name] = kind


def _loaded(making: _Making, owner: Any, name: str, kind: Kind) -> None:
    """A field that is a row by key; keys are few, so that rows are shared."""
    rng = making.rng
    nullable, has_absent, is_ready = kind.nullable, rng.random() < 0.3, rng.random() < 0.3
    kind = Kind(making.objects[0], classes=(making.objects[0],)) if nullable else kind
    missing = nullable or has_absent

    def key(it: Any) -> Any:
        return None if missing and it._seed % 5 == 0 else (it._seed % 7, it._mode)

    def make(row: Any) -> Any:
        return value_of(kind, row[0], name, row[1])

    def absent() -> Any:
        return value_of(kind, 0, name, Mode.SOUND)

    def ready(it: Any) -> Any:
        return (it._seed % 7, it._mode) if it._seed % 3 else None

    make.__annotations__["return"] = kind.annotation
    made = loaded(
        _rows(missing=missing),
        key=key,
        make=make,
        description="Loaded.",
        nullable=nullable,
        absent=absent if has_absent else None,
        ready=ready if is_ready else None,
    )
    setattr(owner, name, made)


def _rows(*, missing: bool) -> Any:
    """A query whose rows are their keys; some keys have none, where that is no fault."""

    async def source(_: Any, keys: Iterable[Any]) -> dict[Any, Any]:
        asked = list(keys)
        for _ in range(asked[0][0] % 3):
            await asyncio.sleep(0)
        return {
            key: key
            for key in asked
            if not (missing or key[1] is Mode.FAULTY) or Random(str(key)).random() > 0.2
        }

    return source


def _wanting(making: _Making, owner: Any, name: str, kind: Kind) -> None:
    """A field that says what it wants: once, again for what came of it, or nothing at all."""
    rows = _rows(missing=kind.nullable)

    def resolver(source: Any, info: Any, **given: Any) -> Any:
        seed, mode = _where(source, f"{name}{given!r}")

        def make(row: Any) -> Any:
            if row is None:
                if kind.nullable:
                    return None
                raise LookupError("nothing for a key")
            return value_of(kind, row[0], name, row[1], repr(given))

        def again(row: Any) -> Any:
            return Wanted(rows, (row[0] + 1, row[1]), make) if row else None

        if seed % 4 == 0:
            return value_of(kind, seed, name, mode, repr(given))
        if kind.nullable and seed % 4 == 1:
            return Wanted(rows, (seed % 7, mode), again)
        return Wanted(
            rows, (seed % 7, mode), make, ahead=_ahead(seed, lambda: make((seed % 7, mode)))
        )

    parameters = [Parameter("self", POSITIONAL), Parameter("info", POSITIONAL, annotation=Info)]
    parameters += _some_arguments(making.rng)
    _signed(resolver, parameters, Wanted[kind.annotation])
    resolver.__annotations__["return"] = Wanted[kind.annotation]
    setattr(owner, name, wanted(description="Wanted.")(resolver))


def _ahead(seed: int, make: Callable[[], Any]) -> object:
    """What is known of a made object before it is read: mostly enough to ask for its fields."""
    try:
        made = make()
    except Exception:
        return Known() if seed % 3 else None
    known = {name: getattr(made, name) for name in ("_seed", "_mode") if hasattr(made, name)}
    return Known(**known) if seed % 3 else None


def _resolved(making: _Making, owner: Any, name: str, kind: Kind) -> None:
    rng = making.rng
    parameters = [Parameter("self", POSITIONAL)] if rng.random() < 0.7 else []
    if not parameters:
        parameters = [Parameter("root", POSITIONAL, annotation=Any)]
    if rng.random() < 0.5:
        parameters.append(Parameter("info", KEYWORD, annotation=Info))
    parameters += _some_arguments(rng)
    resolver = _later(name, kind) if rng.random() < 0.5 else _at_once(name, kind)
    _signed(resolver, parameters, kind.annotation)
    setattr(owner, name, strawberry.field(resolver=resolver))


def _some_arguments(rng: Random) -> list[Parameter]:
    if rng.random() < 0.5:
        return []
    chosen = [rng.choice(ARGUMENTS) for _ in range(rng.randint(1, 3))]
    return [
        Parameter(f"arg_{n}", KEYWORD, annotation=annotation, default=default)
        for n, (annotation, default) in enumerate(chosen)
    ]


def _where(source: Any, deed: str) -> tuple[int, Mode]:
    """What an object is worked out of; the root is the world, which notes what was done."""
    if source is not None:
        return source._seed, source._mode
    world = current.get()
    world.done.append(deed)
    return world.seed, world.mode


def _signed(resolver: Any, parameters: list[Parameter], answers: Any) -> None:
    resolver.__signature__ = inspect.Signature(parameters, return_annotation=answers)


def _at_once(name: str, kind: Kind) -> Any:
    def resolver(*at: Any, **given: Any) -> Any:
        return _answer(name, kind, at, given)

    return resolver


def _later(name: str, kind: Kind) -> Any:
    async def resolver(*at: Any, **given: Any) -> Any:
        for _ in range(len(repr(sorted(given))) % 3):
            await asyncio.sleep(0)
        return _answer(name, kind, at, given)

    return resolver


def _answer(name: str, kind: Kind, at: tuple[Any, ...], given: dict[str, Any]) -> Any:
    source = at[0] if at else given.get("root")
    info: Any = given.get("info")
    asked = {key: value for key, value in given.items() if key not in ("root", "info")}
    seen = f"{asked!r}/{_told(info)}"
    seed, mode = _where(source, f"{name}{seen}")
    try:
        return value_of(kind, seed, name, mode, seen)
    finally:
        for value in asked.values():
            if isinstance(value, list):
                value.append("spoilt")  # what one resolver does to its arguments is its own affair
            elif isinstance(value, Given):
                value.number = -1


def _told(info: Any) -> str:
    if info is None:
        return ""
    selected = [(it.name, it.alias, it.arguments) for it in info.selected_fields]
    return f"{info.field_name} {info.python_name} {info.variable_values} {selected}"


_WAYS: list[Way] = [
    _attribute,
    _attribute,
    _attribute,
    _resolved,
    _resolved,
    _resolved,
    _loaded,
    _wanting,
]
_ROOT_WAYS: list[Way] = [_resolved, _resolved, _wanting]


class Rows:
    """Stands where the database does; the rows of loaded fields are worked out of their keys."""

    def joined(self) -> None:
        """There are no statements that could be joined."""

    def reading(self, *, joined: None = None) -> "Rows":
        """One read."""
        return self

    async def close(self) -> None:
        """Its end."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The part of a process's resources that the generated schemas touch."""

    database: Rows


def context() -> Ctx:
    """A request's context."""
    resources: Any = Stores(Rows())
    return Ctx(resources=resources, locale="en")


def event_of(made: Made, name: str, seed: int, mode: Mode) -> Any:
    """An event of a subscription's field."""
    root: Any = made.declared.subscription
    return value_of(root.kinds[name], seed, name, mode)


__all__ = ["Made", "Rows", "context", "event_of", "schema_at_random", "seeded"]
