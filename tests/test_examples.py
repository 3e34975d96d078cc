"""Every document under examples/graphql, valid and run against real data as its sender."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import (
    FieldNode,
    GraphQLObjectType,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    print_ast,
    validate,
)
from graphql.language import NameNode, OperationType

from app.kernel.auth import Caller
from schema import build_schema
from tests.conftest import Api
from tests.make.examples import FOLDER
from tests.make.scenes import SCENES, STAFF
from tests.schema.engine.answered_twice import taken

FILES = sorted(FOLDER.glob("*.graphql"))
# Where one scene serves members and staff: what staff send.
BY_STAFF = {"CloseBallot", "VerifyEcoAction"}
FIRST_UPDATE_SECONDS = 60

Relay = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a document."""

    file: str
    node: OperationDefinitionNode

    @property
    def name(self) -> str:
        return self.node.name.value if self.node.name else ""

    @property
    def text(self) -> str:
        """The operation as it stands, with `__typename` added below each root field."""
        typename = FieldNode(name=NameNode(value="__typename"), directives=(), arguments=())
        selections: list[Any] = []
        for field in self.node.selection_set.selections:
            assert isinstance(field, FieldNode)
            inner = field.selection_set
            if inner is not None:
                inner = SelectionSetNode(selections=(typename, *inner.selections))
            keys = {
                key: getattr(field, key) for key in ("name", "alias", "arguments", "directives")
            }
            selections.append(FieldNode(**keys, selection_set=inner))
        node = OperationDefinitionNode(
            operation=self.node.operation,
            name=self.node.name,
            variable_definitions=self.node.variable_definitions,
            selection_set=SelectionSetNode(selections=tuple(selections)),
        )
        return print_ast(node)

    def variables(self, given: dict[str, Any]) -> dict[str, Any]:
        """Of what the scene has, the declared variables; an input that is given by operation."""
        declared = {item.variable.name.value for item in self.node.variable_definitions or ()}
        chosen = {name: value for name, value in given.items() if name in declared}
        if self.name in chosen.get("input", {}):
            chosen["input"] = chosen["input"][self.name]
        return chosen


def operations() -> Iterator[Operation]:
    for file in FILES:
        for node in parse(file.read_text(encoding="utf-8")).definitions:
            if isinstance(node, OperationDefinitionNode):
                yield Operation(file.stem, node)


OPERATIONS = list(operations())
SUBSCRIPTIONS = [item for item in OPERATIONS if item.node.operation is OperationType.SUBSCRIPTION]
REQUESTS = [item for item in OPERATIONS if item.node.operation is not OperationType.SUBSCRIPTION]


def pages(value: Any) -> Iterator[list[Any]]:
    """Every page of a list, wherever it is in an answer."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("nodes", "edges"):
                yield inner
            yield from pages(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pages(inner)


def verdicts_of(value: Any) -> list[dict[str, Any]]:
    return value.get("verdicts", []) if isinstance(value, dict) else []


def refusals() -> set[str]:
    kinds = build_schema()._schema.type_map.values()
    return {
        kind.name
        for kind in kinds
        if isinstance(kind, GraphQLObjectType)
        and any(i.name == "UserError" for i in kind.interfaces)
    }


def require_success(data: dict[str, Any] | None) -> None:
    """There is an answer for each root field, no refusal, and something on each page."""
    assert data is not None
    assert None not in data.values()
    typenames = {value["__typename"] for value in data.values() if isinstance(value, dict)}
    assert not typenames & refusals(), data
    assert [] not in pages(data), data
    verdicts = [row for value in data.values() for row in verdicts_of(value)]
    assert "REJECTED" not in {row["status"] for row in verdicts}, verdicts


async def ready(api: Api, operation: Operation) -> tuple[Caller, dict[str, Any]]:
    scene = await SCENES[operation.name](api)
    caller = STAFF if operation.name in BY_STAFF else scene.caller
    return caller, operation.variables(scene.variables)


def test_operations_have_names_of_their_own_and_a_scene() -> None:
    names = [item.name for item in OPERATIONS]
    assert len(names) == len(set(names))
    assert set(names) <= set(SCENES), "set their scene in tests/make/scenes.py"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_document_fits_the_schema(file: Any) -> None:
    document = parse(file.read_text(encoding="utf-8"))
    assert validate(build_schema()._schema, document) == []


def test_the_table_of_documents_names_each() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in FILES if f"({file.name})" not in table] == []


@pytest.mark.parametrize("operation", REQUESTS, ids=lambda item: f"{item.file}-{item.name}")
async def test_a_request_is_answered(api: Api, relay: Relay, operation: Operation) -> None:
    caller, variables = await ready(api, operation)
    before = taken()
    answer = await api(operation.text, variables, caller=caller)
    assert "errors" not in answer, answer
    assert taken() == before, "a plan gave up"
    require_success(answer["data"])


@pytest.mark.parametrize("operation", SUBSCRIPTIONS, ids=lambda item: f"{item.file}-{item.name}")
async def test_a_subscription_brings_its_first_update(
    api: Api, relay: Relay, operation: Operation
) -> None:
    caller, variables = await ready(api, operation)
    await relay()
    stream = await api.subscribe(operation.text, variables, caller=caller)
    try:
        result = await asyncio.wait_for(anext(stream), FIRST_UPDATE_SECONDS)
    finally:
        await stream.aclose()
    assert not result.errors
    require_success(result.data)
    (update,) = result.data.values()
    assert all(update.values())
