"""Values for the fields of a generated schema: sound ones, odd ones that still pass, and faults.

Every value follows from a seed, so that two executions of one document meet the same: an object
holds nothing but its seed and works its attributes out when they are asked for.
"""

import asyncio
import math
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from random import Random
from typing import Any, ClassVar, NewType
from uuid import UUID

import strawberry
from graphql import GraphQLError, Undefined
from strawberry.types.scalar import ScalarDefinition

from app.kernel.errors import InvalidInput

Fen = NewType("Fen", int)
Shout = NewType("Shout", str)
Json = NewType("Json", object)


@strawberry.enum
class Colour(StrEnum):
    """An enum whose members are texts."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


@strawberry.enum
class Size(Enum):
    """An enum whose members are numbers."""

    SMALL = 0
    LARGE = 1


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


SCALARS: dict[object, ScalarDefinition] = {
    Fen: strawberry.scalar(name="Fen", serialize=int, parse_value=int),
    Shout: strawberry.scalar(name="Shout", serialize=lambda it: str(it).upper(), parse_value=str),
    Json: strawberry.scalar(name="Json", serialize=lambda it: it, parse_value=lambda it: it),
}


class Mode(StrEnum):
    """How sound the values of a world are."""

    SOUND = "sound"
    ODD = "odd"
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True)
class World:
    """What the root fields answer from, and what was done to it."""

    seed: int
    mode: Mode
    done: list[str] = field(default_factory=list[str])


current: ContextVar[World] = ContextVar("current")


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a field: a leaf, an object, a list; nullable or not."""

    annotation: Any
    # One of these: what makes a leaf, the classes of objects, what items are.
    leaf: "Callable[[Random], Any] | None" = None
    classes: tuple[type, ...] = ()
    items: "Kind | None" = None
    nullable: bool = False

    @property
    def optional(self) -> "Kind":
        """The same, or null."""
        return Kind(self.annotation | None, self.leaf, self.classes, self.items, nullable=True)

    @property
    def listed(self) -> "Kind":
        """A list of these."""
        return Kind(list[self.annotation], items=self)


class Seeded:
    """An object that is worked out of its seed."""

    kinds: ClassVar[dict[str, Kind]] = {}

    def __getattr__(self, name: str) -> Any:
        """The value of a field without a resolver."""
        kind = None if name.startswith("_") else vars(self).get("_kinds", self.kinds).get(name)
        if kind is None:
            raise AttributeError(name)
        return value_of(kind, self._seed, name, self._mode)

    def __repr__(self) -> str:
        """Without an address, since messages hold it."""
        return type(self).__name__


def seeded(kind: type, seed: int, mode: Mode, kinds: dict[str, Kind] | None = None) -> Any:
    """An object of a class; `kinds` are those of a generic one's fields."""
    made: Any = object.__new__(kind)
    made.__dict__.update(_seed=seed, _mode=mode)
    if kinds is not None:
        made.__dict__["_kinds"] = kinds
    return made


def value_of(kind: Kind, seed: int, name: str, mode: Mode, given: object = None) -> Any:
    """What a field of an object answers. Raises where a fault fell to it."""
    rng = Random(f"{seed}/{name}/{given!r}")
    if mode is Mode.FAULTY and rng.random() < 0.02:
        raise rng.choice([ValueError("broken"), _refusal(), GraphQLError("said so")])
    return _value(kind, rng, mode)


def _value(kind: Kind, rng: Random, mode: Mode) -> Any:
    if kind.nullable and rng.random() < 0.2:
        return Undefined if mode is not Mode.SOUND and rng.random() < 0.2 else None
    if mode is Mode.FAULTY and rng.random() < 0.03:
        return _fault(rng)
    made = _sound(kind, rng, mode)
    if mode is not Mode.SOUND and rng.random() < 0.04:
        return _odd(kind, made, rng)
    return made


def _sound(kind: Kind, rng: Random, mode: Mode) -> Any:
    if kind.leaf is not None:
        return kind.leaf(rng)
    if kind.items is not None:
        items = kind.items
        return [_value(items, rng, mode) for _ in range(rng.choice([0, 1, 2, 2, 3]))]
    made = rng.choice(kind.classes)
    given = getattr(made, "__generic__", None)
    if given is not None:
        return seeded(given[0], rng.getrandbits(48), mode, given[1])
    return seeded(made, rng.getrandbits(48), mode)


def _refusal() -> InvalidInput:
    return InvalidInput(field="field", reason="reason", reason_zh="原因")


def _fault(rng: Random) -> Any:
    faults: list[Callable[[], Any]] = [
        lambda: None,
        lambda: ValueError("as a value"),
        _refusal,
        lambda: GraphQLError("as a value"),
        object,
        lambda: b"bytes",
        list,
        lambda: {"a": 1},
        lambda: math.nan,
        lambda: math.inf,
        lambda: 2**40,
        lambda: -(2**31) - 1,
        lambda: "text",
        lambda: Later(None),
        lambda: Later(ValueError("later")),
        lambda: Undefined,
    ]
    return rng.choice(faults)()


def _odd(kind: Kind, made: Any, rng: Random) -> Any:
    """Another value that passes for the same, if there is one."""
    if rng.random() < 0.3:
        return rng.choice([Later, future])(made)
    if kind.items is not None:
        return rng.choice([tuple, iter, lambda it: dict(enumerate(it)).values()])(made)
    if isinstance(made, Seeded):
        return _disguised(made, rng)
    if isinstance(made, str):
        return rng.choice([Text(made), Colour.RED, 12, True, UUID(int=3)])
    if isinstance(made, bool):
        return rng.choice([0, 1, 0.0])
    if isinstance(made, int):
        return rng.choice([True, "12", 3.0, Decimal(7)])
    return made


def _disguised(made: Seeded, rng: Random) -> Any:
    """An object of a class that is a subclass of its own, or no relative of it at all."""
    own = type(made)
    bases = (own,) if rng.random() < 0.5 else (Duck,)
    other: Any = object.__new__(type(f"Other{own.__name__}", bases, {"kinds": own.kinds}))
    other.__dict__.update(vars(made))
    return other


class Duck(Seeded):
    """An object that has all of a type's fields and is no type."""


class Later:
    """An awaitable that is no coroutine: nobody minds when it is never awaited."""

    def __init__(self, value: Any) -> None:
        """Answer this, or raise it."""
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        """Take a turn of the loop."""
        yield from asyncio.sleep(0).__await__()
        if isinstance(self._value, Exception):
            raise self._value
        return self._value

    def __repr__(self) -> str:
        """Without an address, since messages hold it."""
        return "Later"


def future(value: Any) -> Any:
    """A future that is done."""
    done = asyncio.get_running_loop().create_future()
    done.set_result(value)
    return done


def _text(rng: Random) -> str:
    return rng.choice(["", "plain", "汉字", '"quoted"\\', "a\nb", "0", f"x{rng.randrange(99)}"])


def _instant(rng: Random) -> datetime:
    return datetime(2026, 3, 18, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**6))


LEAVES = [
    Kind(str, _text),
    Kind(int, lambda rng: rng.choice([0, 1, -1, 2**31 - 1, -(2**31), rng.randrange(100)])),
    Kind(float, lambda rng: rng.choice([0.0, -0.5, 1e300, rng.random()])),
    Kind(bool, lambda rng: rng.random() < 0.5),
    Kind(strawberry.ID, lambda rng: f"id{rng.randrange(9)}"),
    Kind(Colour, lambda rng: rng.choice(list(Colour))),
    Kind(Size, lambda rng: rng.choice(list(Size))),
    Kind(Fen, lambda rng: rng.randrange(-(2**53), 2**53)),
    Kind(Shout, _text),
    Kind(Json, lambda rng: rng.choice([{"a": [1, None]}, [], "x", 0, False, [{"b": {}}]])),
    Kind(datetime, _instant),
    Kind(UUID, lambda rng: UUID(int=rng.getrandbits(128))),
    Kind(Decimal, lambda rng: Decimal(rng.randrange(10**6)) / 100),
]
