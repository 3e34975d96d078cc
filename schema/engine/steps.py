"""Steps: the fields of a plan that wait for something, run for many objects at once.

While values are projected, objects whose fields need a resolver are noted in a frame; when the
projection is through, the frame's steps run side by side, each for all of its objects. A field that
declares its loader is one query whatever the number of objects; any other resolver is called for
each.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

from graphql import FieldNode, GraphQLField, GraphQLObjectType, Visitor, visit
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.executor import Executor
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path
from strawberry import Info
from strawberry.schema.config import StrawberryConfig
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from schema.context import Ctx
from schema.fields import LOADS, Loads

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

    executor: "Executor[Any]"
    ctx: Ctx
    path: Path
    config: StrawberryConfig
    scalars: dict[object, Any]


# Values that no resolver can change, so that one may be given to all.
_PLAIN = (str, int, float, bool, Enum, NoneType, date, UUID)
_SHARED = (*_PLAIN, Info)


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
        function: Any = base.wrapped_func
        self._function: Callable[..., Any] = function
        self._takes_self = base.self_parameter is not None
        sources = (base.parent_parameter, base.root_parameter)
        self._source_names = [item.name for item in sources if item is not None]
        self._info_name = base.info_parameter.name if base.info_parameter else None
        self._varies = _holds_variable(details[0].node)
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
        return named

    def _arguments(self, run: Run) -> dict[str, Any]:
        if not self._definition.args:
            return {}
        if self._fixed is not None:
            return dict(self._fixed)
        values = get_argument_values(
            self._definition, self._details[0].node, run.executor.variable_values, None
        )
        named = convert_arguments(values, self._declared.arguments, run.scalars, run.config)
        if not self._varies and all(isinstance(value, _PLAIN) for value in named.values()):
            self._fixed = dict(named)
        return named

    def _info(self, run: Run) -> "Info[Any, Any]":
        raw = run.executor.build_resolve_info(
            self._definition,
            [item.node for item in self._details],
            self._parent,
            run.path.add_key(self._key, self._parent.name),
        )
        return run.config.info_class(_raw_info=raw, _field=self._declared)


def loads_of(declared: StrawberryField) -> Loads | None:
    """The loader that a field declares, if it does."""
    return declared.metadata.get(LOADS)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One field that waits, of all objects of one place in the selection."""

    key: str
    resolver: Resolver
    loads: Loads | None
    completer: Completer

    async def run(self, pairs: Pairs, run: Run) -> None:
        """Fill the field in for every object, and whatever its values wait for in their turn."""
        values = (
            await self._loaded(self.loads, pairs, run)
            if self.loads
            else (await self._resolved(pairs, run))
        )
        frame: Frame = {}
        key, completer = self.key, self.completer
        for (_, shown), value in zip(pairs, values, strict=True):
            shown[key] = completer(value, frame)
        if frame:
            await drain(frame, run)

    async def _loaded(self, loads: Loads, pairs: Pairs, run: Run) -> list[Any]:
        sources = [source for source, _ in pairs]
        ready = [None] * len(sources) if loads.ready is None else list(map(loads.ready, sources))
        of, make = loads.key, loads.make
        keys = [
            of(source) if row is None else None for source, row in zip(sources, ready, strict=True)
        ]
        asked = [key for key in keys if key is not None]
        get = (await run.ctx.batches.found(loads.query, asked)).get if asked else {}.get
        return [
            make(row if key is None else get(key)) for row, key in zip(ready, keys, strict=True)
        ]

    async def _resolved(self, pairs: Pairs, run: Run) -> list[Any]:
        givens, call = self.resolver.givens(run, len(pairs)), self.resolver.call
        sources = [source for source, _ in pairs]
        if not self.resolver.is_async:
            return [call(source, given) for source, given in zip(sources, givens, strict=True)]
        if len(pairs) == 1:
            return [await call(sources[0], givens[0])]
        return await together(
            [call(source, given) for source, given in zip(sources, givens, strict=True)]
        )


async def drain(frame: Frame, run: Run) -> None:
    """Run every step of a frame, side by side."""
    waiting = [step.run(pairs, run) for plan, pairs in frame.items() for step in plan.steps]
    if len(waiting) == 1:
        await waiting[0]
    else:
        await together(waiting)


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
