"""How much one document may ask for: a cap for each way of making a short text dear.

`parsed` bounds the text, `measure` everything that one pass over the syntax tree can tell. Both
stand before validation, whose rules compare fields with each other and take their time over long
documents. Counts are of one operation with its fragments expanded, since one operation of a
document is executed; directives and operations are counted in the document as it is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    IntValueNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    TypeNode,
    VariableDefinitionNode,
    parse,
)

from schema.engine.costs import MOST, Cost, Formula, Rates, Variables, literal_int
from schema.engine.returned import Counter, counter_of
from schema.engine.tallies import Tallies, Tally


@dataclass(frozen=True, slots=True)
class Limits:
    """The caps; the defaults are what the documentation promises."""

    # Characters of a document: comments, blanks and literals are read one by one.
    characters: int = 100_000
    # Comments are counted as well.
    tokens: int = 2_000
    depth: int = 12
    # The depth below `__schema` and `__type` is its own, since every client's introspection goes
    # to 15; production refuses it altogether.
    introspection_depth: int = 20
    # Selection sets within each other, fragments included: what later passes recurse by.
    nesting: int = 50
    fields: int = 400
    aliases: int = 30
    root_fields: int = 20
    operations: int = 5
    variables: int = 50
    directives: int = 50
    # Log-ins, claims, redemptions: what guessing or racing would repeat (`sensitive=True`).
    sensitive: int = 2
    cost: int = 25_000
    rates: Rates = field(default_factory=Rates)


LIMITS = Limits()
# Of one operation.
KEPT_COSTS = 64


@dataclass(frozen=True, eq=False)
class Figures:
    """What one operation of a document comes to."""

    document: DocumentNode
    definition: OperationDefinitionNode
    depth: int
    fields: int
    aliases: int
    root_fields: int
    sensitive: int
    formula: Cost
    # The variables that may be page sizes, with the operation's own defaults where it has any.
    sizes: dict[str, int | None]
    rates: Rates
    # Costs by the values of those variables: clients ask for the same pages again and again.
    _known: dict[tuple[Any, ...], int] = field(default_factory=dict[tuple[Any, ...], int])

    def cost(self, variables: Variables | None = None) -> int:
        """How many objects are asked for with these variables, raw or coerced; at least 1."""
        if isinstance(self.formula, int):
            return self.formula or 1
        given = variables or {}
        values = tuple([given.get(name, default) for name, default in self.sizes.items()])
        try:
            found = self._known.get(values)
        except TypeError:  # a list or an object, which coercion will refuse
            return self._reckoned(self.formula, values)
        if found is None:
            if len(self._known) >= KEPT_COSTS:
                self._known.clear()
            found = self._known[values] = self._reckoned(self.formula, values)
        return found

    def _reckoned(self, formula: Formula, values: tuple[Any, ...]) -> int:
        return formula(dict(zip(self.sizes, values, strict=True))) or 1

    def actual(self, data: dict[str, Any] | None) -> int:
        """How many objects an answer holds, by the rules of `cost`; at least 1."""
        return self._counter.count(data)

    @cached_property
    def _counter(self) -> Counter:
        # Not before the first answer: only a valid document may be expanded.
        return counter_of(self.document, self.definition, self.rates)


@dataclass(frozen=True, slots=True)
class Measured:
    """What `measure` found: why the document is refused, or the figures of its operations."""

    errors: list[GraphQLError]
    operations: dict[int, Figures]

    def of(self, definition: OperationDefinitionNode) -> Figures:
        """The figures of an operation of a document that has no errors."""
        return self.operations[id(definition)]


def parsed(text: str, limits: Limits = LIMITS) -> DocumentNode:
    """The document of a text.

    Raises GraphQLError: DOCUMENT_TOO_LONG, TOO_MANY_TOKENS, or GRAPHQL_PARSE_FAILED for what is no
    GraphQL or nests beyond the parser's 200 levels.
    """
    if len(text) > limits.characters:
        raise _exceeded("DOCUMENT_TOO_LONG", "characters", limits.characters, len(text))
    try:
        return parse(text, max_tokens=limits.tokens)
    except GraphQLSyntaxError as error:
        if f"more than {limits.tokens} tokens" in error.message:
            error.extensions = {"code": "TOO_MANY_TOKENS", "limit": limits.tokens}
        else:
            error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
        raise
    except RecursionError:
        said = "The document nests too deeply."
        raise GraphQLError(said, extensions={"code": "GRAPHQL_PARSE_FAILED"}) from None


def measure(schema: GraphQLSchema, document: DocumentNode, limits: Limits = LIMITS) -> Measured:
    """Hold a parsed document against the limits, in time linear in its length.

    It need not be valid: what the schema does not know counts as one plain object a field. Each
    error has `code`, `limit` and `found` in its extensions. A cost that depends on variables is
    held against the limit by `too_dear` when they are known.
    """
    tallies = Tallies(schema, document, limits.rates)
    errors = list(_of_document(tallies, limits))
    figures: dict[int, Figures] = {}
    for definition, tally in tallies.operations:
        figures[id(definition)] = _figures(document, definition, tally, limits)
        errors += _of_operation(definition, tally, limits)
    return Measured(errors, {} if errors else figures)


def too_dear(requested: int, limit: int = LIMITS.cost) -> GraphQLError | None:
    """The error of a request that asks for too many objects at once; None within the limit."""
    if requested <= limit:
        return None
    return _exceeded("COST_EXCEEDED", "objects", limit, requested)


def _of_document(tallies: Tallies, limits: Limits) -> Iterator[GraphQLError]:
    if tallies.cycle is not None:
        said = f'The fragment "{tallies.cycle}" spreads itself.'
        yield GraphQLError(said, extensions={"code": "GRAPHQL_VALIDATION_FAILED"})
    for code, what, limit, found in (
        ("TOO_MANY_OPERATIONS", "operations", limits.operations, len(tallies.operations)),
        ("TOO_MANY_DIRECTIVES", "directives", limits.directives, tallies.directives),
    ):
        if found > limit:
            yield _exceeded(code, what, limit, found)


def _of_operation(
    definition: OperationDefinitionNode, tally: Tally, limits: Limits
) -> Iterator[GraphQLError]:
    variables = len(definition.variable_definitions or ())
    for code, what, limit, found in (
        ("TOO_DEEP", "levels", limits.depth, tally.depth),
        (
            "TOO_DEEP",
            "levels of introspection",
            limits.introspection_depth,
            tally.introspection_depth,
        ),
        ("TOO_DEEP", "nested selections", limits.nesting, tally.nesting),
        ("TOO_MANY_FIELDS", "fields", limits.fields, tally.fields),
        ("TOO_MANY_ALIASES", "aliases", limits.aliases, tally.aliases),
        ("TOO_MANY_ROOT_FIELDS", "root fields", limits.root_fields, tally.roots),
        ("TOO_MANY_VARIABLES", "variables", limits.variables, variables),
        ("TOO_MANY_SENSITIVE_FIELDS", "sensitive fields", limits.sensitive, tally.sensitive),
        ("COST_EXCEEDED", "objects", limits.cost, tally.cost),
    ):
        # A cost that depends on variables waits for them.
        if isinstance(found, int) and found > limit:
            yield _exceeded(code, what, limit, found)


def _exceeded(code: str, what: str, limit: int, found: int) -> GraphQLError:
    said = f"{found:,}" if found < MOST else f"over {MOST:,}"
    return GraphQLError(
        f"The document asks for {said} {what}; at most {limit:,} are allowed.",
        extensions={"code": code, "limit": limit, "found": found},
    )


def _figures(
    document: DocumentNode, definition: OperationDefinitionNode, tally: Tally, limits: Limits
) -> Figures:
    sizes = {
        item.variable.name.value: _default(item)
        for item in definition.variable_definitions or ()
        if _is_integer(item.type)
    }
    return Figures(
        document=document,
        definition=definition,
        depth=tally.depth,
        fields=tally.fields,
        aliases=tally.aliases,
        root_fields=tally.roots,
        sensitive=tally.sensitive,
        formula=tally.cost,
        sizes=sizes,
        rates=limits.rates,
    )


def _default(variable: VariableDefinitionNode) -> int | None:
    value = variable.default_value
    return literal_int(value) if isinstance(value, IntValueNode) else None


def _is_integer(kind: TypeNode) -> bool:
    named = kind.type if isinstance(kind, NonNullTypeNode) else kind
    return isinstance(named, NamedTypeNode) and named.name.value == "Int"
