"""Steps: the fields of a plan that wait for something, of many objects at once.

While values are projected, objects whose fields need a resolver are noted in a frame with their
plan; `waves.py` serves them. A field either says what it wants (by `loaded`, or by a resolver that
answers `Wanted`), or is resolved, once for each object.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Visitor,
    visit,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import Path, gather_with_cancel, is_awaitable
from graphql.type.definition import GraphQLResolveInfoHelpers
from strawberry import Info, Schema
from strawberry.types.field import StrawberryField

from schema.context import Ctx
from schema.engine.coercing import Arguments, Unsure
from schema.engine.documents import Operation
from schema.engine.literals import UNCHANGING, Literals
from schema.fields import LOADS, SELECTED, WANTS, Loads, Selected

Pairs = list[tuple[Any, dict[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectPlan:
    """The steps of one object type in one place of a selection."""

    steps: "tuple[Step, ...]"


Frame = dict[ObjectPlan, Pairs]
Completer = Callable[[Any, Frame], Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One execution: who asks, with which variables, and where in the answer a root value is."""

    schema: GraphQLSchema
    operation: Operation
    variables: VariableValues
    ctx: Ctx
    declared: Schema
    path: Path | None = None
    root: object = None


_ASYNC = GraphQLResolveInfoHelpers(
    gather=lambda values: gather_with_cancel(*values), track=lambda _: None
)
_SHARED = (*UNCHANGING, Info, Selected)


def _holds_variable(node: FieldNode) -> bool:
    found: list[bool] = []

    class Looking(Visitor):
        def enter_variable(self, *_: Any) -> None:
            found.append(True)

    for argument in node.arguments or ():
        visit(argument, Looking())
    return bool(found)


class Resolver:
    """A field's resolver with the arguments of one selection."""

    def __init__(
        self,
        declared: StrawberryField,
        definition: GraphQLField,
        details: FieldDetailsList,
        parent: GraphQLObjectType,
        key: str,
        selected: Selected,
    ) -> None:
        """Take the field as Strawberry declares it and as it was selected."""
        base = declared.base_resolver
        if base is None:
            raise TypeError(f"{declared.python_name} has no resolver")
        self._declared = declared
        self._definition = definition
        self._details = details
        self._parent = parent
        self._key = key
        # A resolver that says what it wants is called instead of the one that awaits it.
        wants: Any = declared.metadata.get(WANTS)
        function: Any = wants or base.wrapped_func
        self.wants = wants is not None
        # The loader that the field declares, if it does.
        self.loads: Loads | None = declared.metadata.get(LOADS)
        self._function: Callable[..., Any] = function
        self._takes_self = base.self_parameter is not None
        sources = (base.parent_parameter, base.root_parameter)
        self._source_names = [item.name for item in sources if item is not None]
        self._info_name = base.info_parameter.name if base.info_parameter else None
        self._selected = selected if SELECTED in signature(function).parameters else None
        self._varies = _holds_variable(details[0].node)
        self._literals: Literals | None = None
        self._conversion: Arguments | None = None
        self._fixed: dict[str, Any] | None = None
        self.is_async = declared.is_async
        self.is_plain = not (self.is_async or definition.args or self._info_name)

    def call(self, source: object, given: "dict[str, Any] | None" = None) -> Any:
        """What the resolver answers for one object."""
        named = dict(given) if given else {}
        for name in self._source_names:
            named[name] = source
        return self._function(source, **named) if self._takes_self else self._function(**named)

    def givens(self, run: Run, count: int) -> list[dict[str, Any]]:
        """The arguments for each of so many objects.

        They are equal, and one where no resolver can change them for the others.
        """
        given = self.given(run)
        if count == 1 or all(isinstance(value, _SHARED) for value in given.values()):
            return [given] * count
        return [given, *(self.given(run) for _ in range(count - 1))]

    def given(self, run: Run) -> dict[str, Any]:
        """The arguments of this execution."""
        named = self._arguments(run)
        if self._info_name is not None:
            named[self._info_name] = self._info(run)
        if self._selected is not None:
            named[SELECTED] = self._selected
        return named

    def _arguments(self, run: Run) -> dict[str, Any]:
        if not self._definition.args:
            return {}
        if self._fixed is not None:
            return dict(self._fixed)
        values = self._values(run)
        if self._conversion is None:
            scalars = dict(run.declared.schema_converter.scalar_registry)
            self._conversion = Arguments(self._declared.arguments, scalars, run.declared.config)
        named = self._conversion.converted(values)
        if not self._varies and all(isinstance(value, UNCHANGING) for value in named.values()):
            self._fixed = dict(named)
        return named

    def _values(self, run: Run) -> dict[str, Any]:
        node = self._details[0].node
        if self._literals is None:
            self._literals = Literals(self._definition.args, tuple(node.arguments or ()))
        try:
            return self._literals.values(run.variables.coerced)
        except Unsure:
            return get_argument_values(self._definition, node, run.variables, None)

    def _info(self, run: Run) -> "Info[Any, Any]":
        parent = self._parent.name
        raw = GraphQLResolveInfo(
            field_name=self._details[0].node.name.value,
            field_nodes=[item.node for item in self._details],
            return_type=self._definition.type,
            parent_type=self._parent,
            # Without the places in lists: resolvers do not look, and errors are the reference's.
            path=Path(run.path, self._key, parent),
            schema=run.schema,
            fragments=run.operation.fragment_definitions,
            root_value=run.root,
            operation=run.operation.definition,
            variable_values=run.variables,
            context=run.ctx,
            is_awaitable=is_awaitable,
            abort_signal=None,
            async_helpers=_ASYNC,
        )
        return run.declared.config.info_class(_raw_info=raw, _field=self._declared)


# A field's place in the answer, with what it wants or is.
Place = tuple["Step", dict[str, Any], Any]


class Step:
    """One field that waits, of all objects of one place in the selection."""

    __slots__ = ("below", "completer", "key", "loads", "resolver", "says")

    def __init__(self, key: str, resolver: Resolver, completer: Completer) -> None:
        """Fill in that key of the answer with what the resolver's value is completed to."""
        self.key = key
        self.resolver = resolver
        self.completer = completer
        self.loads = resolver.loads
        # True where the field says what it wants instead of awaiting it.
        self.says = self.loads is not None or resolver.wants
        # The plan of the one object that the value is, if it is one.
        self.below: ObjectPlan | None = getattr(completer, "plan", None)

    def say(self, pairs: Pairs, run: Run) -> "list[Place]":
        """What the field wants for every object, or what it is already."""
        if self.loads is not None:
            said = map(self.loads.say, (source for source, _ in pairs))
            return [(self, shown, item) for item, (_, shown) in zip(said, pairs, strict=True)]
        givens, call = self.resolver.givens(run, len(pairs)), self.resolver.call
        return [
            (self, shown, call(source, given))
            for (source, shown), given in zip(pairs, givens, strict=True)
        ]

    async def resolved(self, pairs: Pairs, run: Run) -> list[Any]:
        """What the field is for every object, where it does not say what it wants."""
        givens, call = self.resolver.givens(run, len(pairs)), self.resolver.call
        sources = [source for source, _ in pairs]
        if not self.resolver.is_async:
            return [call(source, given) for source, given in zip(sources, givens, strict=True)]
        if len(pairs) == 1:
            return [await call(sources[0], givens[0])]
        return await together(
            [call(source, given) for source, given in zip(sources, givens, strict=True)]
        )


async def together(waiting: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results of all; when one fails the others are ended before it is told."""
    tasks = [asyncio.ensure_future(item) for item in waiting]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
