"""One pass over a document: what each operation and fragment comes to, each looked at once.

A fragment is tallied once however often it is spread, and every loop keeps its own stack, so that
neither bombs of fragments nor nesting nor cycles cost more than the document is long.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    ExecutableDefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    TypeNameMetaFieldDef,
    get_named_type,
    is_interface_type,
    is_object_type,
    is_union_type,
)

from schema.engine.costs import (
    INTROSPECTION,
    MOST,
    Cost,
    Rates,
    dearest,
    is_paged,
    metadata_of,
    page_size,
    times,
    total,
)
from schema.fields import SENSITIVE, SIZE

_META = {
    "__schema": SchemaMetaFieldDef,
    "__type": TypeMetaFieldDef,
    "__typename": TypeNameMetaFieldDef,
}
Parent = GraphQLNamedType | None


@dataclass(slots=True)
class Tally:
    """What a selection comes to, fragments expanded."""

    depth: int = 0
    # Below `__schema` and `__type`, which have a depth of their own.
    introspection_depth: int = 0
    # Selection sets within each other, those of fragments included: what recursion goes by.
    nesting: int = 0
    fields: int = 0
    aliases: int = 0
    roots: int = 0
    sensitive: int = 0
    cost: Cost = 0
    # Of a connection: the cost of what its lists hold, for one item each.
    an_item: Cost = 0

    def add(self, other: "Tally") -> None:
        """Take in a selection at the same level; costs are added by whoever knows the types."""
        self.depth = max(self.depth, other.depth)
        self.introspection_depth = max(self.introspection_depth, other.introspection_depth)
        self.nesting = max(self.nesting, other.nesting)
        self.fields = min(self.fields + other.fields, MOST)
        self.aliases = min(self.aliases + other.aliases, MOST)
        self.roots = min(self.roots + other.roots, MOST)
        self.sensitive = min(self.sensitive + other.sensitive, MOST)


_NOTHING = Tally()


@dataclass(slots=True)
class _Level:
    """A selection set, and the type it is on as far as that is known."""

    selection: SelectionSetNode
    parent: Parent


@dataclass(slots=True)
class Tallies:
    """The tallies of a document; raises nothing, whatever the document holds."""

    schema: GraphQLSchema
    document: DocumentNode
    rates: Rates
    directives: int = 0
    # The name of a fragment that spreads itself, which validation refuses too.
    cycle: str | None = None
    operations: list[tuple[OperationDefinitionNode, Tally]] = field(default_factory=list)
    _fragments: dict[str, FragmentDefinitionNode] = field(default_factory=dict)
    _levels: dict[str, list[_Level]] = field(default_factory=dict)
    _spreads: dict[str, list[str]] = field(default_factory=dict)
    _done: dict[str, Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look at every definition, the used fragments before their users."""
        for item in self.document.definitions:
            if isinstance(item, FragmentDefinitionNode):
                self._fragments.setdefault(item.name.value, item)
        for name, item in self._fragments.items():
            parent = self.schema.get_type(item.type_condition.name.value)
            self._levels[name], self._spreads[name] = self._walk(item, parent)
        for name in self._fragments:
            self._settle(name)
        for item in self.document.definitions:
            if isinstance(item, OperationDefinitionNode):
                levels, _ = self._walk(item, self.schema.get_root_type(item.operation))
                self.operations.append((item, self._tallied(levels)))

    def _settle(self, name: str) -> None:
        """Tally a fragment after those it spreads."""
        waiting: list[tuple[str, Iterator[str]]] = []
        begun: set[str] = set()

        def begin(fragment: str) -> None:
            begun.add(fragment)
            waiting.append((fragment, iter(self._spreads[fragment])))

        if name not in self._done:
            begin(name)
        while waiting:
            fragment, spreads = waiting[-1]
            for spread in spreads:
                if spread in self._done or spread not in self._fragments:
                    continue
                if spread in begun:
                    self.cycle = spread
                    continue
                begin(spread)
                break
            else:
                self._done[fragment] = self._tallied(self._levels.pop(fragment))
                waiting.pop()

    def _walk(
        self, definition: ExecutableDefinitionNode, parent: Parent
    ) -> tuple[list[_Level], list[str]]:
        """Every selection set of a definition, outer ones first, and the fragments it spreads."""
        self._count(definition)
        for variable in definition.variable_definitions or ():
            self._count(variable)
        levels = [_Level(definition.selection_set, parent)]
        spreads: list[str] = []
        for level in levels:
            for node in level.selection.selections:
                self._count(node)
                if isinstance(node, FragmentSpreadNode):
                    spreads.append(node.name.value)
                elif isinstance(node, InlineFragmentNode):
                    levels.append(_Level(node.selection_set, self._condition(node, level.parent)))
                elif isinstance(node, FieldNode) and node.selection_set is not None:
                    kind = self._field(level.parent, node)
                    inner = get_named_type(kind.type) if kind else None
                    levels.append(_Level(node.selection_set, inner))
        return levels, spreads

    def _count(self, node: object) -> None:
        self.directives += len(getattr(node, "directives", None) or ())

    def _condition(self, node: InlineFragmentNode, parent: Parent) -> Parent:
        named = node.type_condition
        return parent if named is None else self.schema.get_type(named.name.value)

    def _field(self, parent: Parent, node: FieldNode) -> GraphQLField | None:
        name = node.name.value
        if name in _META:
            return _META[name]
        if is_object_type(parent) or is_interface_type(parent):
            return parent.fields.get(name)
        return None

    def _tallied(self, levels: list[_Level]) -> Tally:
        """The tally of the first level; inner levels are done first."""
        done: dict[int, Tally] = {}
        for level in reversed(levels):
            done[id(level.selection)] = self._level(level, done)
        return done[id(levels[0].selection)]

    def _level(self, level: _Level, done: Mapping[int, Tally]) -> Tally:
        tally = Tally()
        costs: list[Cost] = []
        items: list[Cost] = []
        # By concrete type: an object is of one only.
        cases: dict[str, list[Cost]] = defaultdict(list)
        for node in level.selection.selections:
            if isinstance(node, FieldNode):
                inside = done[id(node.selection_set)] if node.selection_set else _NOTHING
                part, case = self._field_tally(level.parent, node, inside), None
            else:
                part, case = self._part(node, done), self._case(node, level.parent)
            tally.add(part)
            items.append(part.an_item)
            (costs if case is None else cases[case]).append(part.cost)
        costs.append(dearest([total(case) for case in cases.values()]))
        tally.nesting += 1
        tally.cost, tally.an_item = total(costs), total(items)
        return tally

    def _part(self, node: object, done: Mapping[int, Tally]) -> Tally:
        if isinstance(node, InlineFragmentNode):
            return done[id(node.selection_set)]
        name = node.name.value if isinstance(node, FragmentSpreadNode) else ""
        # Nothing of a fragment that is unknown, or that this one is part of.
        return self._done.get(name, _NOTHING)

    def _case(self, node: object, parent: Parent) -> str | None:
        """The concrete type that a fragment on an abstract one is for."""
        if not (is_interface_type(parent) or is_union_type(parent)):
            return None
        if isinstance(node, FragmentSpreadNode):
            fragment = self._fragments.get(node.name.value)
            named = fragment.type_condition if fragment else None
        else:
            named = node.type_condition if isinstance(node, InlineFragmentNode) else None
        kind = self.schema.get_type(named.name.value) if named else None
        return kind.name if is_object_type(kind) else None

    def _field_tally(self, parent: Parent, node: FieldNode, inside: Tally) -> Tally:
        found = self._field(parent, node)
        tally = Tally(
            depth=1 + inside.depth,
            introspection_depth=inside.introspection_depth,
            nesting=0 if node.selection_set is None else inside.nesting,
            fields=1 + inside.fields,
            aliases=(node.alias is not None) + inside.aliases,
            roots=1,
            sensitive=inside.sensitive,
        )
        if node.name.value in INTROSPECTION:
            tally.depth, tally.introspection_depth = 1, tally.depth
            tally.cost = self.rates.introspection
        else:
            self._price(tally, parent, node, found, inside)
        if found is not None and metadata_of(found).get(SENSITIVE):
            tally.sensitive += 1
        return tally

    def _price(
        self,
        tally: Tally,
        parent: Parent,
        node: FieldNode,
        field: GraphQLField | None,
        inside: Tally,
    ) -> None:
        """Set what one field costs, by its type and the caller's page size."""
        name, unit = node.name.value, 0
        if parent is not None and parent is self.schema.mutation_type and name != "__typename":
            unit = self.rates.mutation
        elif parent is not None and parent is self.schema.query_type:
            unit = self.rates.heavy.get(name, 0)
        if node.selection_set is None:
            tally.cost = unit
            return
        lists = 0 if field is None else _lists(field.type)
        usual = self.rates.list_size
        if field is not None and is_paged(field):
            size = page_size(node, field, usual)
        else:
            size = metadata_of(field).get(SIZE, usual) if field else usual
        if not lists:
            tally.cost = total([unit or 1, inside.cost, times(size, inside.an_item)])
            return
        one = total([1, inside.cost, times(usual, inside.an_item)])
        many = times(usual ** (lists - 1), one)
        if _is_connection(parent) and field is not None and not is_paged(field):
            tally.an_item = many
        else:
            tally.cost = total([unit, times(size, many)])


def _lists(kind: object) -> int:
    """How many lists are wrapped around a type."""
    depth = 0
    while isinstance(kind, GraphQLNonNull | GraphQLList):
        depth += isinstance(kind, GraphQLList)
        kind = kind.of_type
    return depth


def _is_connection(kind: Parent) -> bool:
    """By Relay's rule of names."""
    return kind is not None and kind.name.endswith("Connection")
