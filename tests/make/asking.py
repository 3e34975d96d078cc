"""Documents made from the schema: the shortest way from a root field to every field it leads to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
)

SCALARS: dict[str, Any] = {
    "Boolean": True,
    "Date": "2026-03-18",
    "DateTime": "2026-03-18T12:00:00Z",
    "Fen": 1,
    "Float": 1.0,
    "ID": "x",
    "Int": 1,
    "JSON": {},
    "Points": 1,
    "String": "x",
}


def smallest_value(kind: Any) -> Any:
    """The smallest JSON value that an input type takes."""
    if isinstance(kind, GraphQLNonNull):
        return smallest_value(kind.of_type)
    if isinstance(kind, GraphQLList):
        return []
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: smallest_value(field.type)
            for name, field in kind.fields.items()
            if isinstance(field.type, GraphQLNonNull) and field.default is None
        }
    return SCALARS[kind.name]


@dataclass(frozen=True, slots=True)
class Step:
    """A field on the way and the type it leads to."""

    field: str
    kind: str


@dataclass(frozen=True, slots=True)
class Way:
    """The shortest way from a root field's object to objects of a type."""

    steps: tuple[Step, ...]
    kind: str

    def select(self, selection: str) -> str:
        """The selection at the way's beginning that comes to one at its end."""
        for step in reversed(self.steps):
            selection = f"{step.field} {{ {selection} }}"
        return selection


def ways_from(kind: GraphQLObjectType) -> Iterator[Way]:
    """A way to every object type that a type leads to, itself included, shortest first."""
    seen = {kind.name}
    waiting: list[tuple[GraphQLObjectType, tuple[Step, ...]]] = [(kind, ())]
    while waiting:
        here, steps = waiting.pop(0)
        yield Way(steps, here.name)
        for name, field in here.fields.items():
            target = get_named_type(field.type)
            if isinstance(target, GraphQLObjectType) and target.name not in seen:
                seen.add(target.name)
                waiting.append((target, (*steps, Step(name, target.name))))


def leaf(name: str, field: GraphQLField) -> str:
    """A field as the end of a document."""
    return name if is_leaf_type(get_named_type(field.type)) else f"{name} {{ __typename }}"
