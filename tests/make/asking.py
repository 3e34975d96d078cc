"""Documents made from the schema: the shortest way from a root field to every field it leads to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
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
    """A field on the way, as it is written, and the type it leads to."""

    field: str
    written: str
    kind: str


@dataclass(frozen=True, slots=True)
class Way:
    """The shortest way from a root field's object to objects of a type."""

    steps: tuple[Step, ...]
    kind: str

    def ask(self, root: str, leaf: str) -> str:
        """The selection that asks for one field at the way's end."""
        selection = leaf
        for step in reversed(self.steps):
            selection = f"{step.written} {{ {selection} }}"
        return f"{root} {{ {selection} }}"


def ways_from(schema: GraphQLSchema, kind: GraphQLObjectType) -> Iterator[Way]:
    """A way to every object type that a type leads to, itself included, shortest first."""
    seen = {kind.name}
    waiting: list[tuple[GraphQLObjectType, tuple[Step, ...]]] = [(kind, ())]
    while waiting:
        here, steps = waiting.pop(0)
        yield Way(steps, here.name)
        for name, field in here.fields.items():
            for target in _objects(schema, field):
                if target.name not in seen:
                    seen.add(target.name)
                    waiting.append((target, (*steps, _step(name, field, target))))


def leaf(name: str, field: GraphQLField) -> str:
    """A field as the end of a document."""
    return name if is_leaf_type(get_named_type(field.type)) else f"{name} {{ __typename }}"


def _objects(schema: GraphQLSchema, field: GraphQLField) -> list[GraphQLObjectType]:
    named = get_named_type(field.type)
    if isinstance(named, GraphQLUnionType | GraphQLInterfaceType):
        return list(schema.get_possible_types(named))
    return [named] if isinstance(named, GraphQLObjectType) else []


def _step(name: str, field: GraphQLField, target: GraphQLObjectType) -> Step:
    named = get_named_type(field.type)
    written = name if named is target else f"{name} {{ ... on {target.name}"
    return Step(name, written, target.name)
