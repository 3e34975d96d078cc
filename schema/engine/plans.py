"""Plans: the selections of one operation compiled into functions from values to answers.

A plan follows graphql-core's own collection of fields, so that fragments, aliases, directives and
the order of keys are its doing and not ours. Whatever a plan cannot express makes `plan_of` answer
None, and the reference executor runs that root field as if there were no plans.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    is_leaf_type,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails, collect_subfields
from graphql.execution.values import VariableValues
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_snake_case

from schema.engine.leaves import NAMES, GiveUp, Met, check_of, coercion
from schema.engine.steps import Completer, Frame, ObjectPlan, Resolver, Step
from schema.fields import Selected
from schema.rows import OF_ROW, OfRow

DEFINITION = "strawberry-definition"
# A GraphQL output type: graphql-core's own alias is partly unknown to type checkers.
Kind = Any


class NotPlanned(Exception):
    """Something that plans do not express."""


@dataclass(frozen=True, slots=True)
class Selecting:
    """What the collection of fields needs besides a type and its field nodes."""

    schema: GraphQLSchema
    fragments: dict[str, FragmentDetails]
    operation: OperationDefinitionNode
    # Only the variables of @skip and @include matter here; a plan is kept per their values.
    variables: VariableValues

    def fields(
        self, kind: GraphQLObjectType, nodes: FieldDetailsList
    ) -> dict[str, FieldDetailsList]:
        """The fields of a selection on an object of this type, in the order of the answer."""
        collected = collect_subfields(
            self.schema, self.fragments, self.variables, self.operation, kind, nodes
        )
        if collected.new_defer_usages:
            raise NotPlanned
        return collected.grouped_field_set


def plan_of(selecting: Selecting, kind: Kind, nodes: FieldDetailsList) -> Completer | None:
    """What completes the value of a root field, or None where the reference executor must."""
    try:
        return _completer(selecting, kind, nodes)
    except (NotPlanned, GraphQLError):  # the latter of a condition that is null
        return None


def whole_plan_of(
    selecting: Selecting, root: GraphQLObjectType, fields: dict[str, FieldDetailsList]
) -> Completer | None:
    """What answers a whole query, or None where graphql-core must resolve its root fields."""
    try:
        return _projection(selecting, root, fields, None)
    except (NotPlanned, GraphQLError):  # as above
        return None


def root_plan_of(
    selecting: Selecting, root: GraphQLObjectType, fields: dict[str, FieldDetailsList]
) -> Step | None:
    """The one root field of a mutation, or None where graphql-core must resolve it."""
    if len(fields) != 1:
        return None
    ((key, details),) = fields.items()
    definition = root.fields.get(details[0].node.name.value)
    declared = None if definition is None else definition.extensions.get(DEFINITION)
    if definition is None or not isinstance(declared, StrawberryField) or declared.extensions:
        return None
    if declared.base_resolver is None:
        return None
    try:
        completer = _completer(selecting, definition.type, details)
    except (NotPlanned, GraphQLError):  # as above
        return None
    selected = selected_below(selecting.fragments, details)
    step = Step(key, Resolver(declared, definition, details, root, key, selected), completer)
    # What a field says it wants, the engine asks as often as it likes: no mutation is that.
    return None if step.says else step


def _completer(selecting: Selecting, kind: Kind, nodes: FieldDetailsList) -> Completer:
    if isinstance(kind, GraphQLNonNull):
        return _present(_completer(selecting, kind.of_type, nodes))
    return _nullable(_bare(selecting, kind, nodes))


def _bare(selecting: Selecting, kind: Kind, nodes: FieldDetailsList) -> Completer:
    if isinstance(kind, GraphQLList):
        return _listed(_completer(selecting, kind.of_type, nodes))
    if isinstance(kind, GraphQLObjectType):
        return _object(selecting, kind, nodes)
    if isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
        return _abstract(selecting, kind, nodes)
    if not is_leaf_type(kind):
        raise NotPlanned
    coerce = coercion(kind)
    return lambda value, _: coerce(value)


def _present(inner: Completer) -> Completer:
    def complete(value: Any, frame: Frame) -> Any:
        if value is None:
            raise GiveUp
        return inner(value, frame)

    return _with_plan_of(inner, complete)


def _nullable(inner: Completer) -> Completer:
    return _with_plan_of(inner, lambda value, frame: None if value is None else inner(value, frame))


def _with_plan_of(inner: Completer, outer: Completer) -> Completer:
    # What is wanted for an object may be asked for before the object is there: its step knows it.
    setattr(outer, "plan", getattr(inner, "plan", None))  # noqa: B010  # of functions' attributes
    return outer


def _listed(inner: Completer) -> Completer:
    def complete(value: Any, frame: Frame) -> Any:
        if value.__class__ is not list and value.__class__ is not tuple:
            raise GiveUp
        return [inner(item, frame) for item in value]

    return complete


def _abstract(
    selecting: Selecting, kind: "GraphQLInterfaceType | GraphQLUnionType", nodes: FieldDetailsList
) -> Completer:
    if isinstance(kind, GraphQLInterfaceType) and kind.extensions[DEFINITION].resolve_type:
        raise NotPlanned
    by_class: dict[type, Completer] = {}
    for possible in selecting.schema.get_possible_types(kind):
        definition = possible.extensions.get(DEFINITION)
        if definition is None or definition.concrete_of is not None:
            raise NotPlanned
        by_class[definition.origin] = _object(selecting, possible, nodes)

    def complete(value: Any, frame: Frame) -> Any:
        project = by_class.get(value.__class__)
        if project is None:
            raise GiveUp
        return project(value, frame)

    return complete


def _object(selecting: Selecting, kind: GraphQLObjectType, nodes: FieldDetailsList) -> Completer:
    definition = kind.extensions.get(DEFINITION)
    if definition is None or definition.is_type_of:
        raise NotPlanned
    owner = definition.origin if kind.is_type_of else None
    return _projection(selecting, kind, selecting.fields(kind, nodes), owner)


def _projection(
    selecting: Selecting,
    kind: GraphQLObjectType,
    fields: dict[str, FieldDetailsList],
    owner: type | None,
) -> Completer:
    writing = _Writing(owner)
    for key, details in fields.items():
        name = details[0].node.name.value
        if name == "__typename":
            writing.entry(key, repr(kind.name))
            continue
        found = kind.fields.get(name)
        if found is None:
            raise NotPlanned
        _field(selecting, writing, kind, key, found, details)
    return writing.compiled()


def _field(
    selecting: Selecting,
    writing: "_Writing",
    kind: GraphQLObjectType,
    key: str,
    definition: GraphQLField,
    details: FieldDetailsList,
) -> None:
    declared = definition.extensions.get(DEFINITION)
    if not isinstance(declared, StrawberryField) or declared.extensions:
        raise NotPlanned
    if declared.base_resolver is None:
        value = f"o.{declared.python_name}"
        writing.value(key, value, definition.type, _of(selecting, definition, details))
        return
    read = declared.metadata.get(OF_ROW)
    if isinstance(read, OfRow):
        value = f"o.row.{read.attribute}"
        if read.make is not None:
            value = f"(None if (r := {value}) is None else {writing.named(read.make)}(r))"
        writing.value(key, value, definition.type, _of(selecting, definition, details))
        return
    selected = selected_below(selecting.fragments, details)
    resolver = Resolver(declared, definition, details, kind, key, selected)
    if resolver.is_plain:
        value = f"{writing.named(resolver.call)}(o)"
        writing.value(key, value, definition.type, _of(selecting, definition, details))
        return
    completer = _completer(selecting, definition.type, details)
    writing.step(key, Step(key, resolver, completer))


def selected_below(fragments: dict[str, FragmentDetails], details: FieldDetailsList) -> Selected:
    """The names of all fields below a field, in Python's spelling, whatever their conditions."""
    names: set[str] = set()
    spread: set[str] = set()
    sets = [item.node.selection_set for item in details]
    for found in sets:
        for node in found.selections if found else ():
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name not in spread and name in fragments:
                    spread.add(name)
                    sets.append(fragments[name].definition.selection_set)
                continue
            if isinstance(node, FieldNode):
                names.add(to_snake_case(node.name.value))
            if isinstance(node, FieldNode | InlineFragmentNode):
                sets.append(node.selection_set)
    return Selected(frozenset(names))


def _of(
    selecting: Selecting, definition: GraphQLField, details: FieldDetailsList
) -> Callable[[], Completer]:
    return lambda: _completer(selecting, definition.type, details)


@dataclass(slots=True)
class _Writing:
    """The source of one object's projection while it is written."""

    owner: type | None
    entries: list[str] = field(default_factory=list[str])
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    steps: list[Step] = field(default_factory=list[Step])

    def named(self, value: object) -> str:
        """A name in the source for an object of ours."""
        name = f"n{len(self.names)}"
        self.names[name] = value
        return name

    def entry(self, key: str, expression: str) -> None:
        """One key of the answer. Keys are GraphQL names, so that `repr` is a Python text."""
        self.entries.append(f"{key!r}: {expression}")

    def step(self, key: str, step: Step) -> None:
        """One key that is filled in later; it keeps its place."""
        self.entry(key, "None")
        self.steps.append(step)

    def value(self, key: str, value: str, kind: Kind, completer: Callable[[], Completer]) -> None:
        """One key from an expression over the object `o`."""
        required = isinstance(kind, GraphQLNonNull)
        leaf: Any = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if not is_leaf_type(leaf):
            self.entry(key, f"{self.named(completer())}({value}, frame)")
            return
        slow = self.named(coercion(leaf) if required else _unless_none(coercion(leaf)))
        if required:
            # None is no value of any leaf, and must not reach a coercion that takes it.
            slow = self.named(_required(self.names[slow]))
        check = check_of(leaf)
        fast = f"v if (v := {value}) is not None and {check} else {slow}(v)"
        self.entry(key, fast if check else f"{slow}({value})")

    def compiled(self) -> Completer:
        """The function; its object's steps are noted in the frame."""
        lines = ["def project(o, frame):"]
        if self.owner is not None:
            lines += [
                f" if o.__class__ is not {self.named(self.owner)}:",
                f"  raise {self.named(GiveUp)}",
            ]
        else:
            met = Met()
            lines += [
                f" if o.__class__ not in {self.named(met.classes)}:",
                f"  {self.named(met.meet)}(o)",
            ]
        lines.append(" d = {" + ", ".join(self.entries) + "}")
        plan = ObjectPlan(tuple(self.steps))
        if self.steps:
            name = self.named(plan)
            lines += [
                f" p = frame.get({name})",
                " if p is None:",
                f"  frame[{name}] = [(o, d)]",
                " else:",
                "  p.append((o, d))",
            ]
        lines.append(" return d")
        scope: dict[str, Any] = {**NAMES, **self.names}
        # Only names of our schema and GraphQL names stand in the source.
        exec("\n".join(lines), scope)
        scope["project"].plan = plan
        return scope["project"]


def _required(coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def complete(value: Any) -> Any:
        if value is None:
            raise GiveUp
        return coerce(value)

    return complete


def _unless_none(coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else coerce(value)
