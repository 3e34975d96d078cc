"""What an operation costs: a formula over its variables, worked out once for each document.

Every object of an answer costs 1 and a leaf nothing, whatever the object is: a connection, its
`pageInfo`, an edge and its node are four. A connection's lists hold `first` (or `last`) objects, a
plain list what its field's metadata says under `SIZE`, else `Rates.list_size`. A root field of a
mutation costs 10 in place of 1, one that `Rates.heavy` names what that says, introspection a flat
sum. Of selections that only one concrete type
can match, the dearest counts. What `@skip` or `@include` may leave out counts: a cost asked for is
never less than what comes, unless a plain list is longer than was reckoned.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    IntValueNode,
    ValueNode,
    VariableNode,
)

Variables = Mapping[str, Any]
Formula = Callable[[Variables], int]
# A number where no variable has a say.
Cost = int | Formula
# Sums and products stop here, so that absurd numbers stay cheap to reckon with.
MOST = 1_000_000_000
INTROSPECTION = frozenset({"__schema", "__type"})
PAGE_ARGUMENTS = ("first", "last")
_DIGITS = len(str(MOST))
# Where strawberry keeps its own field in graphql-core's.
_STRAWBERRY = "strawberry-definition"


@dataclass(frozen=True, slots=True)
class Rates:
    """What is reckoned where neither the document nor the schema says a number."""

    # Objects of a plain list, and of a page whose size neither a value nor a default gives.
    list_size: int = 10
    # A root field of a mutation: it writes, and often waits for a lock.
    mutation: int = 10
    # Root fields of queries whose work is in reckoning, not in objects: a basket's best price tries
    # thousands of combinations.
    heavy: Mapping[str, int] = field(default_factory=lambda: {"priceBasket": 250})
    # `__schema` or `__type` with all that is below: outside production only.
    introspection: int = 1_000


def metadata_of(field: GraphQLField) -> Mapping[Any, Any]:
    """What the field's decorator noted down for the machinery."""
    return getattr(field.extensions.get(_STRAWBERRY), "metadata", None) or {}


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    fixed = 0
    formulas: list[Formula] = []
    for cost in costs:
        if isinstance(cost, int):
            fixed += cost
        else:
            formulas.append(cost)
    fixed = min(fixed, MOST)
    if not formulas:
        return fixed
    if len(formulas) == 1:
        only = formulas[0]
        return only if not fixed else lambda variables: min(fixed + only(variables), MOST)
    return lambda variables: min(fixed + sum([one(variables) for one in formulas]), MOST)


def times(size: Cost, cost: Cost) -> Cost:
    """A cost, `size` times."""
    if isinstance(size, int):
        if isinstance(cost, int):
            return min(size * cost, MOST)
        if size == 0:
            return 0
        return lambda variables: min(size * cost(variables), MOST)
    if isinstance(cost, int):
        return (lambda variables: min(size(variables) * cost, MOST)) if cost else 0
    return lambda variables: min(size(variables) * cost(variables), MOST)


def dearest(costs: Sequence[Cost]) -> Cost:
    """The greatest of costs of which only one can come about; 0 of none."""
    fixed = max((cost for cost in costs if isinstance(cost, int)), default=0)
    formulas = [cost for cost in costs if not isinstance(cost, int)]
    if not formulas:
        return fixed
    return lambda variables: max(fixed, *(one(variables) for one in formulas))


def evaluate(cost: Cost, variables: Variables) -> int:
    """The number that a cost comes to."""
    return cost if isinstance(cost, int) else cost(variables)


def is_paged(field: GraphQLField) -> bool:
    """True when the caller says how many objects the field answers."""
    return "first" in field.args or "last" in field.args


def page_size(node: FieldNode, field: GraphQLField, assumed: int) -> Cost:
    """How many objects a paged field asks for: its argument, the argument's default, or `assumed`.

    Of `first` and `last` together the greater counts. Numbers below 0 count as 0: the resolver
    refuses them.
    """
    given = {item.name.value: item.value for item in node.arguments or ()}
    sizes = [
        size
        for name in PAGE_ARGUMENTS
        if name in field.args
        and (size := _size(given.get(name), field.args[name], assumed)) is not None
    ]
    return dearest(sizes) if sizes else assumed


def _size(value: ValueNode | None, argument: GraphQLArgument, assumed: int) -> Cost | None:
    default = _default(argument)
    if isinstance(value, IntValueNode):
        return literal_int(value)
    if isinstance(value, VariableNode):
        return _of_variable(value.name.value, assumed if default is None else default)
    return default


def _default(argument: GraphQLArgument) -> int | None:
    # Of graphql-core's two forms strawberry gives the older one, a schema read from text the other.
    given = argument.default
    if given is None:
        value = argument.default_value
    elif isinstance(given.literal, IntValueNode):
        return literal_int(given.literal)
    else:
        value = given.value
    return bounded(value, 0) if type(value) is int else None


def literal_int(node: IntValueNode) -> int:
    """An integer of a document within 0 and MOST."""
    text = node.value
    if text.startswith("-"):
        return 0
    # Python refuses to read numbers of thousands of digits.
    return min(int(text), MOST) if len(text) <= _DIGITS else MOST


def _of_variable(name: str, fallback: int) -> Formula:
    def size(variables: Variables) -> int:
        value = variables.get(name)
        if type(value) is int and 0 <= value <= MOST:
            return value
        return bounded(value, fallback)

    return size


def bounded(value: object, fallback: int) -> int:
    """A number of a request within 0 and MOST; `fallback` for what is no integer.

    JSON's 5.0 is an integer to GraphQL; what is none fails when variables are coerced.
    """
    if type(value) is float and isfinite(value):
        value = int(value)
    if type(value) is not int:
        return fallback
    return 0 if value < 0 else min(value, MOST)
