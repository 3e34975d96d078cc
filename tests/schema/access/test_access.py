"""Every field of the schema tried as every kind of caller, against the table in expected.py."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_object_type,
)

from schema import build_schema
from schema.build import NODES
from schema.engine import Answer, Engine
from tests.conftest import Api
from tests.make.asking import Way, leaf, smallest_value, ways_from
from tests.schema.access.expected import (
    ALL,
    MUTATIONS,
    SUBSCRIPTIONS,
    TYPES,
    UNSEEN,
    WAYS,
    Who,
)
from tests.schema.access.world import World, build

SCHEMA = build_schema().core
ROOTS = {"Query", "Mutation", "Subscription"}
DENIED = {"NotSignedIn", "NotAllowed"}


def objects() -> Iterator[GraphQLObjectType]:
    """Object types that carry data: no roots, no refusals, nothing of introspection."""
    for name, kind in SCHEMA.type_map.items():
        if not is_object_type(kind) or name in ROOTS or name.startswith("__"):
            continue
        if "UserError" not in {item.name for item in kind.interfaces}:
            yield kind


def rules_of(kind: str) -> dict[str, Who]:
    """Who sees each field of a type, by the table."""
    return {field: allowed for allowed, fields in TYPES[kind].items() for field in fields.split()}


def root_type(way: str) -> GraphQLObjectType:
    name, _, kind = way.partition(":")
    found = SCHEMA.type_map[kind] if kind else get_named_type(SCHEMA.query_type.fields[name].type)
    assert isinstance(found, GraphQLObjectType)
    return found


def may_pass(way: Way, root: str, caller: str) -> bool:
    """Whether the table lets a caller come to the way's end."""
    kind = root_type(root).name
    for step in way.steps:
        if caller not in rules_of(kind)[step.field]:
            return False
        kind = step.kind
    return True


def test_every_field_stands_in_the_table_and_nothing_else_does() -> None:
    inside = {(kind.name, field) for kind in objects() for field in kind.fields}
    told = {(kind, field) for kind in TYPES for field in rules_of(kind)}
    assert inside - told == set(), "fields without a rule"
    assert told - inside == set(), "rules without a field"
    assert set(SCHEMA.query_type.fields) - {"node"} | {f"node:{kind}" for kind in NODES} == set(
        WAYS
    )
    assert set(SCHEMA.mutation_type.fields) == set(MUTATIONS)
    assert set(SCHEMA.subscription_type.fields) == set(SUBSCRIPTIONS)
    nodes = {kind.name for kind in objects() if any(i.name == "Node" for i in kind.interfaces)}
    assert nodes == set(NODES)


@pytest.fixture
async def world(api: Api) -> World:
    made = await build(api.resources.database)
    assert set(made.callers) == ALL
    return made


def asked(world: World, root: str, selection: str) -> str:
    """A document that asks a root field of the world for a selection."""
    _, _, kind = root.partition(":")
    inside = f"... on {kind} {{ {selection} }}" if kind else selection
    return f"{{ root: {world.asks[root]} {{ {inside} }} }}"


def visible(way: Way, caller: str) -> str:
    """All fields at a way's end that the table lets a caller see."""
    fields = SCHEMA.type_map[way.kind].fields
    seen = [name for name, allowed in rules_of(way.kind).items() if caller in allowed]
    return way.select(" ".join(["__typename", *(leaf(name, fields[name]) for name in seen)]))


def at(value: Any, path: list[str]) -> Iterator[Any]:
    """What lies at a path, of every item of every list on the way; nulls are left out."""
    if isinstance(value, list):
        for item in value:
            yield from at(item, path)
    elif value is not None:
        if path:
            yield from at(value.get(path[0]), path[1:])
        else:
            yield value


def empty(found: Any) -> bool:
    """True of an answer that holds no object: nothing, an empty list or page."""
    return found in (None, [], {}) or (isinstance(found, dict) and found.get("nodes") == [])


async def test_callers_get_from_every_root_what_the_table_says(api: Api, world: World) -> None:
    wrong: list[str] = []
    for root, allowed in WAYS.items():
        reached: set[str] = set()
        for name in world.callers:
            if name in allowed:
                wrong += [
                    f"{root}: {item}" for item in await shown(api, world, root, name, reached)
                ]
            elif not empty(found := await first_look(api, world, root, name)):
                wrong.append(f"{root}: {name} gets {found}")
        unseen = open_to_some(root) - reached - UNSEEN
        wrong += [f"{root}: the world shows nobody a {kind}" for kind in unseen]
    assert not wrong


def open_to_some(root: str) -> set[str]:
    """The types that the table lets somebody come to from a root."""
    return {
        way.kind
        for way in ways_from(root_type(root))
        if any(may_pass(way, root, name) for name in WAYS[root])
    }


async def first_look(api: Api, world: World, root: str, name: str) -> Any:
    """All that the object at a root itself tells."""
    way = next(ways_from(root_type(root)))
    answer = await api(asked(world, root, visible(way, name)), caller=world.callers[name])
    return (answer["data"] or {}).get("root")


async def shown(api: Api, world: World, root: str, name: str, reached: set[str]) -> list[str]:
    """What is wrong with what a caller gets from a root, by every way that is open to them."""
    wrong: list[str] = []
    for way in ways_from(root_type(root)):
        if not may_pass(way, root, name):
            continue
        answer = await api(asked(world, root, visible(way, name)), caller=world.callers[name])
        if "errors" in answer or empty(answer["data"]["root"]):
            wrong.append(f"{name} at {way.kind}: {answer}")
        elif any(at(answer["data"]["root"], [*path(way), "__typename"])):
            reached.add(way.kind)
            wrong += await hidden_stay_hidden(api, world, root, way, name)
    return wrong


def path(way: Way) -> list[str]:
    return [step.field for step in way.steps]


async def hidden_stay_hidden(api: Api, world: World, root: str, way: Way, name: str) -> list[str]:
    """Each field that the table keeps from some is an error or null for them, and there for the
    others.
    """
    wrong: list[str] = []
    fields = SCHEMA.type_map[way.kind].fields
    for field, allowed in rules_of(way.kind).items():
        if allowed != ALL:
            document = asked(world, root, way.select(leaf(field, fields[field])))
            answer = await api(document, caller=world.callers[name])
            seen = list(at((answer["data"] or {}).get("root"), [*path(way), field]))
            if bool(seen) != (name in allowed):
                wrong.append(f"{name} and {way.kind}.{field}: {seen}")
    return wrong


async def test_mutations_let_in_whom_the_table_says(api: Api, world: World) -> None:
    for name, field in SCHEMA.mutation_type.fields.items():
        argument = field.args["input"].type
        document = f"mutation($input: {argument}) {{ {name}(input: $input) {{ __typename }} }}"
        let_in: set[str] = set()
        for kind, caller in world.callers.items():
            answer = await api(document, {"input": smallest_value(argument)}, caller=caller)
            if answer["data"][name]["__typename"] not in DENIED:
                let_in.add(kind)
        assert let_in == MUTATIONS[name], name


async def test_subscriptions_let_in_whom_the_table_says(api: Api, world: World) -> None:
    engine = Engine(SCHEMA)
    for name, allowed in SUBSCRIPTIONS.items():
        document = f"subscription {{ {world.asks[name]} {{ __typename }} }}"
        operation = engine.documents.prepare(document)
        let_in: set[str] = set()
        for kind, caller in world.callers.items():
            source = await engine.source(operation, None, api.context(caller))
            if not isinstance(source, Answer):
                let_in.add(kind)
        assert let_in == allowed, name


async def test_a_leader_finds_their_own_members_only(api: Api, world: World) -> None:
    document = "{ members(first: 100) { nodes { community { id } } } }"
    seen: dict[str, set[str]] = {}
    for name in ("leader", "far", "homeless", "owner"):
        answer = await api(document, caller=world.callers[name])
        nodes = answer["data"]["members"]["nodes"]
        seen[name] = {node["community"]["id"] for node in nodes}
    assert len(seen["owner"]) == 2
    assert (len(seen["leader"]), len(seen["far"]), len(seen["homeless"])) == (1, 1, 0)
    assert seen["leader"] | seen["far"] == seen["owner"]


def test_the_walk_comes_to_every_type_that_queries_lead_to() -> None:
    """Interfaces and unions below the roots would be walked past."""
    for kind in objects():
        for name, field in kind.fields.items():
            target = get_named_type(field.type)
            assert is_leaf_type(target) or is_object_type(target), f"{kind.name}.{name}"
