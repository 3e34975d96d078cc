"""Figures against an oracle that expands every fragment, on random documents."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from graphql import build_schema as schema_of
from hypothesis import given, settings

from schema.engine.limits import Limits, measure, parsed
from tests.schema.engine.documents_at_random import (
    FIELDS,
    POSSIBLE,
    SDL,
    RandomDocument,
    Written,
    documents,
)

SCHEMA = schema_of(SDL)
# Wide enough for whatever is generated.
WIDE = Limits(
    depth=99, fields=10**6, aliases=10**6, root_fields=10**6, cost=10**12, directives=10**6
)
LISTS = {("Owner", "tags"): 1, ("Book", "tags"): 1, ("Book", "grid"): 2, ("Query", "tags"): 1}
DEFAULTS = {("Owner", "things"): 3}


@dataclass
class Oracle:
    """The same figures by walking everything, again and again."""

    document: RandomDocument

    def fields(self, selections: list[Written]) -> list[Written]:
        """The fields of a level with every fragment expanded."""
        found: list[Written] = []
        for item in selections:
            found += [item] if item.name else self.fields(self.inside(item))
        return found

    def inside(self, item: Written) -> list[Written]:
        if item.spread:
            return self.document.fragments[item.spread][1]
        return item.inside or []

    def depth(self, selections: list[Written]) -> int:
        below = [1 + self.depth(item.inside or []) for item in self.fields(selections)]
        return max(below, default=0)

    def count(self, selections: list[Written]) -> int:
        return sum(1 + self.count(item.inside or []) for item in self.fields(selections))

    def aliases(self, selections: list[Written]) -> int:
        fields = self.fields(selections)
        return sum((f.alias is not None) + self.aliases(f.inside or []) for f in fields)

    def cost(self, parent: str, selections: list[Written], page: int = 10) -> int:
        """The objects below; `page` is how many a connection's lists hold."""
        found = 0
        cases: dict[str, int] = defaultdict(int)
        for item in selections:
            if item.name:
                found += self.of_field(parent, item, page)
                continue
            on = item.on or parent
            inner = self.cost(on, self.inside(item), page)
            if parent in POSSIBLE and on not in POSSIBLE:
                cases[on] += inner
            else:
                found += inner
        return found + max(cases.values(), default=0)

    def of_field(self, parent: str, item: Written, page: int) -> int:
        unit = 10 if parent == "Mutation" and item.name != "__typename" else 0
        if item.inside is None:
            return unit
        kind = FIELDS[parent][item.name]
        assert kind is not None
        if item.name in ("things", "tags") and (parent, item.name) != ("Owner", "tags"):
            size = self.size(parent, item)
        else:
            size = 10
        if kind == "ThingConnection":
            return 1 + self.cost(kind, item.inside, size)
        one = 1 + self.cost(kind, item.inside)
        if parent == "ThingConnection" and item.name in ("edges", "nodes"):
            return page * one
        lists = LISTS.get((parent, item.name), 0)
        if not lists:
            return (unit or 1) + one - 1
        return size * 10 ** (lists - 1) * one

    def size(self, parent: str, item: Written) -> int:
        default = DEFAULTS.get((parent, item.name), 10)
        if (parent, item.name) == ("Book", "tags"):
            return 10
        sizes = [self.value(value, default) for value in item.arguments.values()]
        return max(sizes) if sizes else default

    def value(self, value: str | int | None, default: int) -> int:
        if isinstance(value, str):
            given = {**self.document.defaults, **self.document.variables}.get(value)
            value = default if given is None else given
        return max(0, value or 0)


def expected(document: RandomDocument) -> dict[str, Any]:
    oracle, top = Oracle(document), document.operation
    root = document.kind.title()
    return {
        "depth": oracle.depth(top),
        "fields": oracle.count(top),
        "aliases": oracle.aliases(top),
        "root_fields": len(oracle.fields(top)),
        "cost": oracle.cost(root, top) or 1,
    }


def check(document: RandomDocument) -> None:
    found = measure(SCHEMA, parsed(document.text), WIDE)
    assert found.errors == []
    (figures,) = found.operations.values()
    assert {
        "depth": figures.depth,
        "fields": figures.fields,
        "aliases": figures.aliases,
        "root_fields": figures.root_fields,
        "cost": figures.cost(document.variables),
    } == expected(document)


@settings(max_examples=150, deadline=None)
@given(documents())
def test_figures_of_queries_are_the_oracles(document: RandomDocument) -> None:
    check(document)


@settings(max_examples=50, deadline=None)
@given(documents(kind="mutation"))
def test_figures_of_mutations_are_the_oracles(document: RandomDocument) -> None:
    check(document)
