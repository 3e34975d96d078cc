"""Prepared operations: from a request's text to a parsed, validated, selected operation, once.

Parsing and validating cost more than most answers, and depend on nothing but the text. What a text
turned out to be, mistakes included, is remembered by the text itself: the stock caches hash the
whole syntax tree at every request.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    print_ast,
    specified_rules,
    validate,
    visit,
)
from graphql.execution.collect_fields import FragmentDetails

from schema.engine.coercing import Variables
from schema.engine.inputs import SoundLiterals
from schema.engine.limits import LIMITS, Figures, Limits, measure, parsed

MOST_ERRORS = 8
# Longer texts are prepared anew each time: the memory of the cache stays bounded.
LONGEST_KEPT = 64 * 1024
KEPT = 1_024


class RequestRefused(Exception):
    """A request that is not executed at all; its errors are for the client as they are."""

    def __init__(self, errors: Sequence[GraphQLError], *, status: int = 400) -> None:
        """Refuse with these errors; `status` is for `application/graphql-response+json`."""
        super().__init__(errors[0].message)
        self.errors = list(errors)
        self.status = status


def refused(message: str, code: str, *, status: int = 400) -> RequestRefused:
    """A refusal of a request with one error."""
    return RequestRefused([GraphQLError(message, extensions={"code": code})], status=status)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a valid document, ready to be executed any number of times."""

    text: str
    key: str
    document: DocumentNode
    definition: OperationDefinitionNode
    kind: OperationType
    name: str | None
    fragment_definitions: dict[str, FragmentDefinitionNode]
    fragments: dict[str, FragmentDetails]
    figures: Figures
    # The variables that @skip and @include go by, and the plans compiled for their values.
    conditions: tuple[str, ...]
    variables: Variables
    plans: dict[tuple[object, ...], Any] = field(default_factory=dict[tuple[object, ...], Any])


class Documents:
    """The cache from texts to operations of one schema."""

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        introspection: bool = True,
        suggestions: bool = True,
        limits: Limits = LIMITS,
    ) -> None:
        """Prepare for a schema; production hides its introspection and the suggestions."""
        self._schema = schema
        self._limits = limits
        self._suggestions = suggestions
        self._rules = [*specified_rules, SoundLiterals]
        if not introspection:
            self._rules.append(NoSchemaIntrospectionCustomRule)
        self._kept: OrderedDict[tuple[str, str | None], Operation | RequestRefused] = OrderedDict()

    def prepare(self, text: str, operation_name: str | None = None) -> Operation:
        """The operation of a document.

        Raises RequestRefused for whatever cannot be executed: a text that does not parse or is not
        valid, or an operation name that is missing or names nothing.
        """
        key = (text, operation_name)
        found = self._kept.get(key)
        if found is None:
            try:
                found = self._prepare(text, operation_name)
            except RequestRefused as refusal:
                found = refusal
            self._keep(key, found)
        else:
            self._kept.move_to_end(key)
        if isinstance(found, RequestRefused):
            raise RequestRefused(found.errors, status=found.status)
        return found

    def _keep(self, key: tuple[str, str | None], found: Operation | RequestRefused) -> None:
        if len(key[0]) + len(key[1] or "") > LONGEST_KEPT:
            return
        self._kept[key] = found
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _prepare(self, text: str, operation_name: str | None) -> Operation:
        document = self._parsed(text)
        # The limits first: validation compares fields with fields, and must not be made to work.
        measured = measure(self._schema, document, self._limits)
        errors = measured.errors or validate(
            self._schema,
            document,
            self._rules,
            max_errors=MOST_ERRORS,
            hide_suggestions=not self._suggestions,
        )
        if errors:
            raise RequestRefused(_coded(errors[:MOST_ERRORS], "GRAPHQL_VALIDATION_FAILED"))
        definition = _selected(document, operation_name)
        fragments = {
            item.name.value: item
            for item in document.definitions
            if isinstance(item, FragmentDefinitionNode)
        }
        name = definition.name.value if definition.name else None
        digest = hashlib.sha256(text.encode(errors="surrogatepass"))
        digest.update(b"\0" + (name or "").encode(errors="surrogatepass"))
        return Operation(
            text=text,
            key=digest.hexdigest(),
            document=document,
            definition=definition,
            kind=definition.operation,
            name=name,
            fragment_definitions=fragments,
            fragments={key: FragmentDetails(item, None) for key, item in fragments.items()},
            figures=measured.of(definition),
            conditions=_conditions(document, definition),
            variables=Variables(self._schema, definition),
        )

    def _parsed(self, text: str) -> DocumentNode:
        try:
            return parsed(text, self._limits)
        except GraphQLError as error:
            raise RequestRefused([error]) from None


class _Conditions(Visitor):
    """Gathers the variables in the arguments of directives."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        """Look at one directive."""
        for item in node.arguments or ():
            if isinstance(item.value, VariableNode):
                self.names.add(item.value.name.value)


def _conditions(document: DocumentNode, definition: OperationDefinitionNode) -> tuple[str, ...]:
    """The operation's variables that conditions go by; of other operations' it takes none."""
    found = _Conditions()
    visit(document, found)
    declared = {
        item.variable.name.value
        for item in definition.variable_definitions or ()
        if print_ast(item.type).rstrip("!") == "Boolean"
    }
    return tuple(sorted(found.names & declared))


def _selected(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [
        item for item in document.definitions if isinstance(item, OperationDefinitionNode)
    ]
    if name is None:
        if len(operations) == 1:
            return operations[0]
        said = (
            "Must provide operation name if query contains multiple operations."
            if operations
            else "Must provide an operation."
        )
        raise refused(said, "OPERATION_RESOLUTION_FAILURE")
    for item in operations:
        if item.name is not None and item.name.value == name:
            return item
    raise refused("Unknown operation named by operationName.", "OPERATION_RESOLUTION_FAILURE")


def _coded(errors: Sequence[GraphQLError], code: str) -> list[GraphQLError]:
    for error in errors:
        error.extensions = {"code": code, **(error.extensions or {})}
    return list(errors)
