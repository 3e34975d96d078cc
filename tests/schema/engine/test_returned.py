"""The actual cost: the objects in an answer, counted along the document."""

from random import Random
from typing import Any

import pytest
from graphql import GraphQLResolveInfo, execute_sync, validate
from graphql import build_schema as schema_of
from graphql.type import GraphQLList, GraphQLNonNull, is_abstract_type, is_leaf_type
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.engine.limits import Figures, measure, parsed
from tests.schema.engine.documents_at_random import SDL, RandomDocument, documents
from tests.schema.engine.test_tallies import WIDE

SCHEMA = schema_of(SDL)


def figures(text: str) -> Figures:
    document = parsed(text)
    assert validate(SCHEMA, document) == []
    return next(iter(measure(SCHEMA, document).operations.values()))


@pytest.mark.parametrize(
    ("text", "data", "actual"),
    [
        ("{ name }", {"name": "x"}, 1),
        ("{ owner { id } }", None, 1),
        ("{ owner { id } }", {"owner": None}, 1),
        ("{ owner { id } }", {"owner": {"id": 1}}, 1),
        ("{ owner { tags { id } } }", {"owner": {"tags": [{"id": 1}, {"id": 2}]}}, 3),
        ("{ owner { tags { id owner { id } } } }", {"owner": {"tags": [{"owner": {}}, {}]}}, 4),
        ("{ tags { id } }", {"tags": [None, {}, None]}, 1),
        ("{ tags { owner { id } } }", {"tags": [None, {"owner": {}}, {"owner": None}]}, 3),
        ("{ any { ... on Book { grid { id } } } }", {"any": {"grid": [[{}, None], None, []]}}, 2),
        ("{ any { ... on Book { grid { id } } } }", {"any": {"grid": [None, [{}, {}]]}}, 3),
        ("{ a: owner { id } ...f } fragment f on Query { a: owner { tags { id } } }",
         {"a": {"tags": [{}]}}, 2),
        ("mutation { owner { id } }", {"owner": {}}, 10),
        ("mutation { owner { id } }", {"owner": None}, 10),
        ("mutation { owner { tags { id } } name __typename }", {"owner": {"tags": [{}]}, "name": 1},
         10 + 1 + 10),
        ("{ __schema { types { name } } }", {"__schema": {"types": [{}, {}]}}, 1000),
        ("{ __typename }", {"__typename": "Query"}, 1),
    ],
)  # fmt: skip
def test_objects_are_counted(text: str, data: dict[str, Any] | None, actual: int) -> None:
    assert figures(text).actual(data) == actual


def objects(value: Any) -> int:
    """All of them, wherever they are."""
    if isinstance(value, dict):
        return 1 + sum(map(objects, value.values()))
    return sum(map(objects, value)) if isinstance(value, list) else 0


def value_of(random: Random, kind: Any, most: int, sizes: int) -> Any:
    """Anything of a type: nulls where they may be, lists of up to `most`."""
    if isinstance(kind, GraphQLNonNull):
        inner = kind.of_type
        return value_of(random, inner, most, sizes) or value_of(random, kind, most, sizes)
    if random.random() < 0.2:
        return None
    if isinstance(kind, GraphQLList):
        items = range(random.randint(0, most))
        return [value_of(random, kind.of_type, sizes, sizes) for _ in items] or ()
    if is_leaf_type(kind):
        return "x"
    if is_abstract_type(kind):
        kind = random.choice(SCHEMA.get_possible_types(kind))
    return {"__typename": kind.name, "page": most}


def answering(random: Random, sizes: int) -> Any:
    """A resolver of anything, whose pages are as long as was asked for."""

    def resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        given = [size for size in arguments.values() if size is not None]
        if info.parent_type.name == "ThingConnection":
            most = source["page"]
        else:
            most = max(0, *given) if given else sizes
        return value_of(random, info.return_type, most, sizes)

    return resolve


@settings(max_examples=100, deadline=None)
@given(documents(), st.integers(0, 2**32))
def test_what_comes_is_counted_and_never_more_than_was_asked(
    document: RandomDocument, seed: int
) -> None:
    parsed_document = parsed(document.text)
    found = next(iter(measure(SCHEMA, parsed_document, WIDE).operations.values()))
    result = execute_sync(
        SCHEMA,
        parsed_document,
        field_resolver=answering(Random(seed), 10),
        variable_values=document.variables,
        type_resolver=lambda value, *_: value["__typename"],
    )
    if result.data is not None:
        assert found.actual(result.data) == (objects(result.data) - 1 or 1)
    assert found.actual(result.data) <= found.cost(document.variables)
