"""Arguments as a document writes them: variables, objects that hold variables, and constants.

Compiled once for a field of a document. Like `coercing`, it knows the usual case alone: for lists
that hold variables there is no reader, and a variable that is absent raises `Unsure`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from enum import Enum
from types import NoneType
from typing import Any, Final
from uuid import UUID

from graphql import (
    ArgumentNode,
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLNonNull,
    ObjectFieldNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    is_required_argument,
    is_required_input_field,
)
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal

from schema.engine.coercing import Unsure

Coerced = Mapping[str, Any]
Read = Callable[[Coerced], Any]
Reads = list[tuple[str, Read]]

UNCHANGING: Final = (str, int, float, bool, Enum, NoneType, date, UUID)
"""Values that no resolver can change, so that one may be given to all."""


class _NoReader(Exception):
    """Something that the reference reads."""


class Literals:
    """The arguments of one field."""

    __slots__ = ("_reads",)

    def __init__(self, known: Mapping[str, GraphQLArgument], nodes: tuple[ArgumentNode, ...]):
        """Compile their readers."""
        self._reads: Reads | None = None
        with suppress(_NoReader):
            self._reads = _reads(known, {node.name.value: node for node in nodes})

    def values(self, variables: Coerced) -> dict[str, Any]:
        """Their values by coerced variables; raises Unsure."""
        if self._reads is None:
            raise Unsure
        return {name: read(variables) for name, read in self._reads}


def _reads(
    known: "Mapping[str, GraphQLArgument] | Mapping[str, GraphQLInputField]",
    nodes: "dict[str, ArgumentNode] | dict[str, ObjectFieldNode]",
) -> Reads:
    """Readers of what is written and of the defaults of what is not."""
    found: Reads = []
    for name, item in known.items():
        node = nodes.get(name)
        out_name = item.out_name or name
        if node is not None:
            found.append((out_name, _of(node.value, item.type)))
            continue
        is_argument = isinstance(item, GraphQLArgument)
        if is_required_argument(item) if is_argument else is_required_input_field(item):
            raise _NoReader
        if coerce_default_value(item) is not Undefined:
            found.append((out_name, _default(item)))
    return found


def _default(item: GraphQLArgument | GraphQLInputField) -> Read:
    value = coerce_default_value(item)
    if isinstance(value, UNCHANGING):
        return lambda _: value
    return lambda _: coerce_default_value(item)


def _of(node: ValueNode, kind: Any) -> Read:
    if isinstance(node, VariableNode):
        return _variable(node.name.value, isinstance(kind, GraphQLNonNull))
    bare = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if isinstance(node, ObjectValueNode) and isinstance(bare, GraphQLInputObjectType):
        return _object(node, bare)
    # Whatever holds a variable further in is not coerced without it.
    value = coerce_input_literal(node, kind, None, None)
    if not isinstance(value, UNCHANGING):
        raise _NoReader
    return lambda _: value


def _variable(name: str, required: bool) -> Read:
    def read(variables: Coerced) -> Any:
        value = variables.get(name, Undefined)
        if value is Undefined or (required and value is None):
            raise Unsure
        return value

    return read


def _object(node: ObjectValueNode, kind: GraphQLInputObjectType) -> Read:
    nodes = {field.name.value: field for field in node.fields}
    if kind.is_one_of or not nodes.keys() <= kind.fields.keys():
        raise _NoReader
    reads, made = _reads(kind.fields, nodes), kind.out_type

    def read(variables: Coerced) -> Any:
        return made({name: read(variables) for name, read in reads})

    return read
