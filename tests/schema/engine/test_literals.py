"""Arguments that a document writes out, read as graphql-core reads them."""

from typing import Any

import pytest
from graphql import FieldNode, GraphQLSchema, OperationDefinitionNode, build_schema, parse
from graphql.execution.values import get_argument_values, get_variable_values

from schema.engine.coercing import Unsure
from schema.engine.literals import Literals

SCHEMA = build_schema("""
    type Query { find(by: By!, first: Int = 20, ids: [ID!]): Int }
    input By { id: ID!, text: String, size: Size! = LARGE, tags: [String!]! = ["a"], of: By }
    enum Size { SMALL LARGE }
""")


def read(document: str, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of the one field of a document, by a reader of ours and by graphql-core."""
    literals, node, values = prepared(SCHEMA, document, given)
    definition = SCHEMA.query_type.fields["find"]  # type: ignore[union-attr]
    return literals.values(values.coerced), get_argument_values(definition, node, values)


def prepared(
    schema: GraphQLSchema, document: str, given: dict[str, Any]
) -> tuple[Literals, FieldNode, Any]:
    """A reader, the field and the coerced variables."""
    (operation,) = parse(document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    (node,) = operation.selection_set.selections
    assert isinstance(node, FieldNode)
    assert schema.query_type
    values = get_variable_values(schema, operation.variable_definitions or (), given)
    assert not isinstance(values, list), values
    return (
        Literals(schema.query_type.fields["find"].args, tuple(node.arguments or ())),
        node,
        values,
    )


@pytest.mark.parametrize(
    "document",
    [
        "query ($id: ID!, $t: String) { find(by: { id: $id, text: $t }) }",
        "query ($id: ID!, $t: String) { find(by: { id: $id, of: { id: 7, text: $t } }, first: 3) }",
        "query ($by: By!) { find(by: $by) }",
        '{ find(by: { id: "x", text: null, size: SMALL }, first: null) }',
    ],
)
def test_what_is_usual_is_read_as_graphql_core_reads_it(document: str) -> None:
    given: dict[str, Any] = {"id": "a", "t": "b", "by": {"id": "c", "of": {"id": "d"}}}
    ours, theirs = read(document, given)
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_no_two_executions_share_what_a_resolver_could_change() -> None:
    document = "query ($id: ID!) { find(by: { id: $id }) }"
    literals, _, values = prepared(SCHEMA, document, {"id": "a"})
    first, second = (literals.values(values.coerced)["by"] for _ in range(2))
    first["id"] = "changed"
    assert second["id"] == "a"


@pytest.mark.parametrize(
    "document",
    [
        "query ($t: String) { find(by: { id: 1, text: $t }) }",
        "query ($n: Int) { find(by: { id: 1 }, first: $n) }",
        "query ($id: ID!) { find(by: { id: 1 }, ids: [$id]) }",
    ],
)
def test_what_is_unusual_is_left_to_graphql_core(document: str) -> None:
    with pytest.raises(Unsure):
        read(document, {"id": "x"})
