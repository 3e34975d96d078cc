"""Inputs coerced and converted by functions that are compiled once.

They know the usual case alone: whatever is odd about a value raises `Unsure`, and graphql-core or
Strawberry decides it, so that every error is theirs.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, cast

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    is_required_input_field,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.utilities.coerce_input_value import coerce_default_value
from strawberry import ID
from strawberry.schema.config import StrawberryConfig
from strawberry.types.arguments import StrawberryArgument, convert_argument
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    has_object_definition,
)
from strawberry.types.unset import UNSET

from schema.engine.leaves import check_of_input

Coerce = Callable[[Any], Any]
# What a default may be to be given to every request as it is.
_CONSTANT = (str, int, float, bool)
_REQUIRED: Any = object()


class Unsure(Exception):
    """Not the usual case: the reference decides."""


class Variables:
    """The variables of one operation."""

    __slots__ = ("_known",)

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        """Compile their types."""
        self._known: list[tuple[str, Any, Coerce | None]] = []
        for node in operation.variable_definitions or ():
            signature = get_variable_signature(schema, node)
            if isinstance(signature, GraphQLError):
                self._known = [("", None, None)]  # the reference says what is wrong with it
                return
            absent = not isinstance(signature.type, GraphQLNonNull) and node.default_value is None
            coerce = _coercion(signature.type)
            self._known.append((signature.name, signature, _or_absent(coerce, absent)))

    def coerced(self, given: Mapping[str, Any]) -> VariableValues:
        """Their values, of JSON values that were checked; raises Unsure."""
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for name, signature, coerce in self._known:
            if coerce is None:
                raise Unsure
            value = given.get(name, Undefined)
            sources[name] = VariableValueSource(signature, value)
            found = coerce(value)
            if found is not Undefined:
                coerced[name] = found
        return VariableValues(sources, coerced)


def _or_absent(coerce: Coerce, absent: bool) -> Coerce:
    def found(value: Any) -> Any:
        if value is Undefined:
            if absent:
                return Undefined
            raise Unsure
        return coerce(value)

    return found


def _coercion(kind: Any) -> Coerce:
    if isinstance(kind, GraphQLNonNull):
        return _required(_coercion(kind.of_type))
    return _nullable(_bare(kind))


def _required(inner: Coerce) -> Coerce:
    def coerce(value: Any) -> Any:
        found = inner(value)
        if found is None:
            raise Unsure
        return found

    return coerce


def _nullable(inner: Coerce) -> Coerce:
    return lambda value: None if value is None else inner(value)


def _bare(kind: Any) -> Coerce:
    if isinstance(kind, GraphQLList):
        return _listed(_coercion(kind.of_type))
    if isinstance(kind, GraphQLInputObjectType):
        return _Object(kind)
    return _leaf(kind)


def _listed(inner: Coerce) -> Coerce:
    def coerce(value: Any) -> Any:
        if value.__class__ is not list:
            raise Unsure
        return [inner(item) for item in value]

    return coerce


def _leaf(kind: "GraphQLScalarType | GraphQLEnumType") -> Coerce:
    check, parse = check_of_input(kind), kind.coerce_input_value

    def coerce(value: Any) -> Any:
        if check is not None and check(value):
            return value
        try:
            found = parse(value)
        except Exception:
            raise Unsure from None
        if found is Undefined or found is None:
            raise Unsure
        return found

    return coerce


class _Object:
    """Coerces the values of one input type."""

    __slots__ = ("_fields", "_kind")

    def __init__(self, kind: GraphQLInputObjectType) -> None:
        self._kind = kind
        # Compiled when first needed, as input types may hold themselves.
        self._fields: list[tuple[str, str, Coerce, Any]] = []

    def __call__(self, value: Any) -> Any:
        if value.__class__ is not dict or self._kind.is_one_of:
            raise Unsure
        if not self._fields:
            self._fields = [_field(name, field) for name, field in self._kind.fields.items()]
        given = cast(dict[str, Any], value)
        found: dict[str, Any] = {}
        known = 0
        for name, out_name, coerce, absent in self._fields:
            if name in given:
                known += 1
                found[out_name] = coerce(given[name])
            elif absent is _REQUIRED:
                raise Unsure
            elif absent is not Undefined:
                found[out_name] = absent
        if known != len(given):
            raise Unsure
        return self._kind.out_type(found)


def _field(name: str, field: GraphQLInputField) -> tuple[str, str, Coerce, Any]:
    """A field's name outside and inside, its coercion, and what it is where it is absent."""
    coerce, out_name = _coercion(field.type), field.out_name or name
    if is_required_input_field(field):
        return name, out_name, coerce, _REQUIRED
    default = coerce_default_value(field)
    # One that can be changed is made anew for each request by the reference.
    plain = default is None or default is Undefined or default.__class__ in _CONSTANT
    return name, out_name, coerce, default if plain else _REQUIRED


class Arguments:
    """The arguments of one field as Strawberry makes them of coerced values."""

    __slots__ = ("_known",)

    def __init__(
        self,
        arguments: list[StrawberryArgument],
        scalars: Mapping[object, Any],
        config: StrawberryConfig,
    ) -> None:
        """Compile their conversion."""
        making = _Making(scalars, config)
        self._known = [
            (config.name_converter.from_argument(item), item.python_name, making.of(item.type))
            for item in arguments
        ]

    def converted(self, values: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments of the resolver."""
        return {
            python_name: convert(values[name])
            for name, python_name, convert in self._known
            if name in values
        }


class _Making:
    """Compiles conversions; what it does not know it leaves to Strawberry at each call."""

    def __init__(self, scalars: Mapping[object, Any], config: StrawberryConfig) -> None:
        self._scalars = scalars
        self._config = config

    def of(self, kind: Any) -> Coerce:
        """What makes a value of this type."""
        if kind in (str, int, float, bool, ID) or kind in self._scalars:
            return lambda value: value
        if isinstance(kind, StrawberryOptional) and not isinstance(kind, StrawberryMaybe):
            inner = self.of(kind.of_type)
            return lambda value: value if value is None or value is UNSET else inner(value)
        if isinstance(kind, StrawberryList):
            each = self.of(kind.of_type)
            return lambda value: [each(item) for item in value]
        if has_object_definition(kind):
            definition = kind.__strawberry_definition__
            if definition.is_input and definition.from_input is None:
                return self._object(kind, definition)
        return lambda value: convert_argument(value, kind, self._scalars, self._config)

    def _object(self, made: Any, definition: StrawberryObjectDefinition) -> Coerce:
        fields: list[tuple[str, str, Coerce]] = []

        def compiled() -> None:
            for field in definition.fields:
                name = self._config.name_converter.from_field(field)
                kind = field.resolve_type(type_definition=definition)
                fields.append((name, field.python_name, self.of(kind)))

        def convert(value: Any) -> Any:
            if value is None:
                return None
            if not fields:
                compiled()
            # A nullable field without a default of its own is None where it is absent.
            given = dict(implicit)
            for name, python_name, inner in fields:
                if name in value:
                    given[python_name] = inner(value[name])
            return made(**given)

        implicit = {item.python_name: None for item in definition.fields if _has_no_default(item)}
        return convert


def _has_no_default(field: Any) -> bool:
    return field.default_value is MISSING and field.default_factory is MISSING
