"""How many objects an answer holds: the actual cost, counted along the document's selections.

The count follows only the fields that have selections of their own, so a page of a hundred flat
objects is one step. It goes by what is in the answer and not by its types; of fields with equal
response keys GraphQL's validation makes certain that they are one in shape.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
)

from schema.engine.costs import INTROSPECTION, Rates

# The response keys under which there are objects, each with those below it.
Shape = tuple[tuple[str, "Shape"], ...]
Fragments = dict[str, FragmentDefinitionNode]


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts the objects of one operation's answers."""

    shape: Shape
    # Costs that do not go by the objects that come back: of mutations, introspection and root
    # fields that are heavy.
    flat: dict[str, int]

    def count(self, data: dict[str, Any] | None) -> int:
        """The objects below the root, at least 1.

        A field with a flat sum costs that even where its object is a refusal: the work was done.
        """
        if data is None:
            return 1
        found = 0
        for key, inner in self.shape:
            value = data.get(key)
            found += _objects(value, inner)
            if key in self.flat and type(value) is dict:
                found -= 1  # part of the flat sum
        for key, cost in self.flat.items():
            found += cost if key in data else 0
        return found or 1


def counter_of(
    document: DocumentNode, definition: OperationDefinitionNode, rates: Rates
) -> Counter:
    """The counter of an operation of a valid document within the limits."""
    fragments: Fragments = {
        item.name.value: item
        for item in document.definitions
        if isinstance(item, FragmentDefinitionNode)
    }
    roots = _collected([definition.selection_set], fragments)
    is_mutation = definition.operation is OperationType.MUTATION
    flat: dict[str, int] = {}
    for key, nodes in roots.items():
        name = nodes[0].name.value
        if name in INTROSPECTION:
            flat[key] = rates.introspection
        elif is_mutation and name != "__typename":
            flat[key] = rates.mutation
        elif not is_mutation and name in rates.heavy:
            flat[key] = rates.heavy[name]
    plain = {key: nodes for key, nodes in roots.items() if nodes[0].name.value not in INTROSPECTION}
    return Counter(_shape(plain, fragments), flat)


def _shape(fields: dict[str, list[FieldNode]], fragments: Fragments) -> Shape:
    """Recursive: the depth of a document that was measured is small."""
    shape: list[tuple[str, Shape]] = []
    for key, nodes in fields.items():
        below = [node.selection_set for node in nodes if node.selection_set is not None]
        if below:
            shape.append((key, _shape(_collected(below, fragments), fragments)))
    return tuple(shape)


def _collected(
    selections: Iterable[SelectionSetNode], fragments: Fragments
) -> dict[str, list[FieldNode]]:
    """The fields of some selections by response key, each fragment taken in once."""
    fields: dict[str, list[FieldNode]] = {}
    seen: set[str] = set()
    waiting = list(selections)
    for selection in waiting:
        for node in selection.selections:
            if isinstance(node, FieldNode):
                key = (node.alias or node.name).value
                fields.setdefault(key, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                if node.name.value in fragments:
                    waiting.append(fragments[node.name.value].selection_set)
    return fields


def _objects(value: Any, shape: Shape) -> int:
    """The objects of a value: itself or its items, and those below."""
    if type(value) is dict:
        found = 1
        for key, inner in shape:
            below = value.get(key)
            if below is not None:
                found += _objects(below, inner)
        return found
    if type(value) is not list:
        return 0
    if not shape:
        for item in value:
            if type(item) is dict:
                # Flat objects need no look at each, and lists hold lists or objects, not both.
                return len(value) - value.count(None)
    return sum([_objects(item, shape) for item in value])
