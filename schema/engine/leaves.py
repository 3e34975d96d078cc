"""How scalars and enums are completed: the usual case in the generated code, the rest by a call.

A leaf's `check` is a Python condition over `v` under which the value is already what the answer
holds; where it is false, the type's own `coerce_output_value` decides, as graphql-core would.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from graphql import GraphQLEnumType, GraphQLScalarType, Undefined

from schema.scalars import show_instant

# What a value of exactly this class needs no coercion for.
_BUILT_IN = {
    "String": "v.__class__ is str",
    "ID": "v.__class__ is str",
    "Boolean": "v.__class__ is bool",
    "Int": "v.__class__ is int and -2147483648 <= v <= 2147483647",
    # Neither infinite nor not a number.
    "Float": "v.__class__ is float and v - v == 0.0",
}
# The same of scalars that are coerced by these. An instant stays one: the encoder writes it the
# same way, and many times as fast.
_BY_COERCION: dict[Callable[[Any], Any], str] = {
    int: "v.__class__ is int",
    show_instant: "v.__class__ is datetime and v.tzinfo is UTC",
}
# What those conditions name.
NAMES = {"datetime": datetime, "UTC": UTC}


def check_of(kind: "GraphQLScalarType | GraphQLEnumType") -> str | None:
    """The condition over `v`, if there is one for this leaf."""
    found = _BUILT_IN.get(kind.name)
    if found is not None or isinstance(kind, GraphQLEnumType):
        return found
    return _BY_COERCION.get(kind.coerce_output_value)


def check_of_input(kind: "GraphQLScalarType | GraphQLEnumType") -> Callable[[Any], bool] | None:
    """Whether an input of a built-in scalar is already what it is coerced to."""
    found = _BUILT_IN.get(kind.name)
    return None if found is None else eval(f"lambda v: {found}")  # our own text


class GiveUp(Exception):
    """The fast path does not know this case; the reference executor does it all over."""


class Met:
    """The classes of values that were met and may be completed as they are.

    An error or something to wait for may stand where a value does; Undefined is no value. The
    reference executor knows what to do with them.
    """

    __slots__ = ("classes",)

    def __init__(self) -> None:
        """None was met."""
        self.classes: set[type] = set()

    def meet(self, value: Any) -> None:
        """Let a value's class pass from now on; raises GiveUp for what is none of a value's."""
        if value is Undefined or isinstance(value, Exception) or hasattr(value, "__await__"):
            raise GiveUp
        self.classes.add(value.__class__)


def coercion(kind: "GraphQLScalarType | GraphQLEnumType") -> Callable[[Any], Any]:
    """The value of a leaf in the answer; raises whatever the type does, or GiveUp."""
    if isinstance(kind, GraphQLEnumType):
        return _enum(kind)
    coerce, met = kind.coerce_output_value, Met()
    meet, classes = met.meet, met.classes

    def complete(value: Any) -> Any:
        if value.__class__ not in classes:
            meet(value)
        completed = coerce(value)
        if completed is None or completed is Undefined:
            raise GiveUp
        return completed

    return complete


def _enum(kind: GraphQLEnumType) -> Callable[[Any], Any]:
    coerce = kind.coerce_output_value
    known: dict[Any, str] = {}

    def complete(value: Any) -> Any:
        # Members of an enum are few and hashable; anything else is coerced each time.
        name = known.get(value)
        if name is None:
            name = coerce(value)
            known[value] = name
        return name

    return complete
