"""For whom a subscription's selection is worked out: for everyone at once, or for each caller.

Safe by default: a selection is for everyone only if each of its fields is a plain attribute of a
value that is made once for all, or a resolver whose `field(...)` says `shared=True`. A rule of its
own, or a resolver that says nothing, makes the whole selection each caller's own.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    ArgumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    Node,
    SelectionSetNode,
    VariableNode,
    Visitor,
    get_named_type,
    is_composite_type,
    visit,
)

from schema.engine.documents import Operation
from schema.fields import SHARED

# The argument of a subscription's root field that says what a client has seen.
RESUME = "after"


@dataclass(frozen=True, slots=True)
class Audience:
    """What decides which subscriptions of an operation are one group."""

    # Nothing in the selection depends on who reads it.
    is_everyone: bool
    # The variables by which answers may differ: all that it declares but the cursor.
    variables: tuple[str, ...]


def audience_of(operation: Operation, schema: GraphQLSchema) -> Audience:
    """For whom an operation that is a subscription can be worked out."""
    root = schema.subscription_type
    assert root is not None, "the operation is a valid subscription"
    selection = operation.definition.selection_set
    shared = all(
        _is_shared(root_field, node, operation, schema)
        for node, root_field in _roots(selection, root, operation)
    )
    declared = [
        item.variable.name.value for item in operation.definition.variable_definitions or ()
    ]
    cursors = _cursors(operation, root)
    return Audience(shared, tuple(sorted(name for name in declared if name not in cursors)))


def _roots(
    selection: SelectionSetNode, root: GraphQLObjectType, operation: Operation
) -> Iterator[tuple[FieldNode, GraphQLField]]:
    for node in _fields(selection, operation):
        name = node.name.value
        if name in root.fields:
            yield node, root.fields[name]


def _is_shared(
    field: GraphQLField, node: FieldNode, operation: Operation, schema: GraphQLSchema
) -> bool:
    """True when everything below a field is the same for all."""
    waiting = [(field, node.selection_set)]
    seen: set[tuple[str, int]] = set()
    while waiting:
        parent, selection = waiting.pop()
        kind = get_named_type(parent.type)
        if selection is None or (kind.name, id(selection)) in seen:
            continue
        seen.add((kind.name, id(selection)))
        for child in _fields(selection, operation):
            name = child.name.value
            if name == "__typename":
                continue
            found = _definitions(name, kind, schema)
            if not found or not all(_says_shared(item) for item in found):
                return False
            waiting += [(item, child.selection_set) for item in found]
    return True


def _definitions(name: str, kind: object, schema: GraphQLSchema) -> list[GraphQLField]:
    """Every definition that a name may stand for on a type, or below an abstract one.

    Fragments are not narrowed by their type conditions: a name is looked up wherever it might be.
    """
    kinds = [kind]
    if is_composite_type(kind) and not isinstance(kind, GraphQLObjectType):
        kinds += schema.get_possible_types(kind)  # pyright: ignore[reportArgumentType]  # an abstract type
    return [
        item.fields[name]
        for item in kinds
        if isinstance(item, GraphQLObjectType | GraphQLInterfaceType) and name in item.fields
    ]


def _says_shared(field: GraphQLField) -> bool:
    definition = field.extensions.get("strawberry-definition")
    if definition is None:
        return False
    if definition.base_resolver is None:
        return True
    return bool((definition.metadata or {}).get(SHARED))


def _fields(selection: SelectionSetNode, operation: Operation) -> Iterator[FieldNode]:
    """The fields of a selection, those of its fragments included."""
    for node in selection.selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set, operation)
        elif isinstance(node, FragmentSpreadNode):
            fragment = operation.fragment_definitions[node.name.value]
            yield from _fields(fragment.selection_set, operation)


class _Uses(Visitor):
    """Counts where variables stand."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: Counter[str] = Counter()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        """Count one."""
        self.uses[node.name.value] += 1


def _cursors(operation: Operation, root: GraphQLObjectType) -> set[str]:
    """The variables that stand nowhere but as the root fields' cursor."""
    counted = _Uses()
    visit(operation.document, counted)
    uses = counted.uses
    for item in operation.definition.variable_definitions or ():
        uses[item.variable.name.value] -= 1
    cursors: Counter[str] = Counter()
    for node, _ in _roots(operation.definition.selection_set, root, operation):
        for argument in node.arguments or ():
            if _is_cursor(argument):
                cursors[_variable(argument.value)] += 1
    return {name for name, count in cursors.items() if uses[name] == count}


def _is_cursor(argument: ArgumentNode) -> bool:
    return argument.name.value == RESUME and isinstance(argument.value, VariableNode)


def _variable(node: Node) -> str:
    return node.name.value if isinstance(node, VariableNode) else ""
