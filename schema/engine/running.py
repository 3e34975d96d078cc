"""How plans run, and how graphql-core takes over where they give up.

A query, which changes nothing, runs by its plan as a whole; whatever goes wrong, the reference
executor answers it from the start. The root fields of mutations and events are resolved by
graphql-core, once and in its order, and their values completed by plans; whatever goes wrong there,
it completes the same value. So errors, nulls and paths in an answer are always its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
    OperationType,
)
from graphql.execution.collect_fields import FieldDetailsList, collect_fields
from graphql.execution.executor import Executor, default_field_resolver, default_type_resolver
from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from prometheus_client import Counter
from strawberry import Schema

from schema.context import Ctx
from schema.engine.documents import Operation
from schema.engine.plans import Selecting, plan_of, root_plan_of, whole_plan_of
from schema.engine.steps import Completer, Frame, Run, Step
from schema.engine.waves import drain

# One for each combination of the variables of @skip and @include that was met.
MOST_VARIANTS = 16
# graphql-core's own two declarations of this signature differ in a type parameter.
_TYPE_RESOLVER: Any = default_type_resolver

fallbacks = Counter(
    "linli_engine_fallbacks",
    "Root values that the reference executor completed after a plan gave up",
    registry=None,
)


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of an operation: of a query as a whole, of the one root field of a mutation, and of
    each root field's value.
    """

    whole: Completer | None
    fields: Mapping[str, Completer | None]
    root: Step | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the one root field of a mutation came to; it is resolved once, whoever completes it."""

    value: Any = None
    error: Exception | None = None
    # What was awaited is not awaited once more, be it awaitable again.
    was_awaited: bool = False

    def middleware(self) -> MiddlewareManager:
        """Tells graphql-core, which would resolve the field again, what it came to."""

        # It must be a function: graphql-core passes over methods without a word.
        def told(resolve: Any, source: Any, info: "GraphQLResolveInfo[Any]", **given: Any) -> Any:
            if info.path.prev is not None:
                return resolve(source, info, **given)
            if self.error is not None:
                raise self.error
            return _awaitable(self.value) if self.was_awaited else self.value

        return MiddlewareManager(told)


NONE = Plans(None, {})


async def _awaitable(value: Any) -> Any:
    return value


def plans_for(schema: GraphQLSchema, operation: Operation, values: VariableValues) -> Plans:
    """The plans of an operation under these variables, compiled when first needed."""
    variant = tuple(values.coerced.get(name) for name in operation.conditions)
    found = operation.plans.get(variant)
    if found is None:
        found = _compile(schema, operation, values)
        if len(operation.plans) < MOST_VARIANTS:
            operation.plans[variant] = found
    return found


def _compile(schema: GraphQLSchema, operation: Operation, values: VariableValues) -> Plans:
    root = schema.get_root_type(operation.kind)
    if root is None:
        return NONE
    conditions = VariableValues(
        {name: source for name, source in values.sources.items() if name in operation.conditions},
        {name: value for name, value in values.coerced.items() if name in operation.conditions},
    )
    selecting = Selecting(schema, operation.fragments, operation.definition, conditions)
    try:
        fields = collect_fields(
            schema, operation.fragments, conditions, root, operation.definition
        ).grouped_field_set
    except GraphQLError:  # a condition that is null; the executor finds it and answers so
        return NONE
    if operation.kind is OperationType.QUERY:
        whole = whole_plan_of(selecting, root, fields)
        if whole is not None:
            return Plans(whole, {})
    if operation.kind is OperationType.MUTATION:
        one = root_plan_of(selecting, root, fields)
        if one is not None:
            return Plans(None, {}, one)
    plans: dict[str, Completer | None] = {}
    for key, details in fields.items():
        definition = root.fields.get(details[0].node.name.value)
        plans[key] = None if definition is None else plan_of(selecting, definition.type, details)
    return Plans(None, plans)


async def by_plan(
    schema: GraphQLSchema,
    declared: Schema,
    operation: Operation,
    values: VariableValues,
    ctx: Ctx,
) -> dict[str, Any] | None:
    """The data of a query that its plan answers whole and without a fault; else None."""
    whole = plans_for(schema, operation, values).whole
    if whole is None:
        return None
    frame: Frame = {}
    try:
        data = whole(None, frame)
        if frame:
            await drain(frame, _run_of(schema, declared, operation, values, ctx))
    except Exception:  # whatever it was, the reference executor finds the same and says it
        fallbacks.inc()
        return None
    return data


async def by_root(
    schema: GraphQLSchema,
    declared: Schema,
    operation: Operation,
    values: VariableValues,
    ctx: Ctx,
) -> tuple[dict[str, Any] | None, Outcome | None]:
    """The data of a mutation whose one root field a plan completes without a fault.

    Else None, and what the field came to if it was resolved: it is never resolved again.
    """
    step = plans_for(schema, operation, values).root
    if step is None:
        return None, None
    run = _run_of(schema, declared, operation, values, ctx)
    resolver, key = step.resolver, step.key
    try:
        given = resolver.given(run)
    except Exception:  # an argument that is none: nothing was done yet
        return None, None
    try:
        value = resolver.call(None, given)
        if resolver.is_async:
            value = await value
    except Exception as error:
        fallbacks.inc()
        return None, Outcome(error=error)
    frame: Frame = {}
    try:
        shown = {key: step.completer(value, frame)}
        if frame:
            await drain(
                frame, _run_of(schema, declared, operation, values, ctx, Path(None, key, ""))
            )
    except Exception:  # whatever it was, the reference executor finds the same and says it
        fallbacks.inc()
        return None, Outcome(value, was_awaited=resolver.is_async)
    return shown, None


def _run_of(
    schema: GraphQLSchema,
    declared: Schema,
    operation: Operation,
    values: VariableValues,
    ctx: Ctx,
    path: Path | None = None,
    root: object = None,
) -> Run:
    return Run(schema, operation, values, ctx, declared, path, root)


class PlannedExecutor(Executor[Any]):
    """graphql-core's executor with plans for the values of root fields."""

    def __init__(
        self,
        schema: GraphQLSchema,
        declared: Schema,
        operation: Operation,
        values: VariableValues,
        ctx: Ctx,
        root: object,
        outcome: Outcome | None = None,
        *,
        hide_suggestions: bool,
    ) -> None:
        """Execute an operation for a caller; `root` is the event of a subscription.

        Where the `outcome` of its root field is known, that is only completed.
        """
        super().__init__(
            schema,
            operation.fragment_definitions,
            operation.fragments,
            root,
            ctx,
            operation.definition,
            values,
            default_field_resolver,
            _TYPE_RESOLVER,
            default_field_resolver,
            middleware_manager=None if outcome is None else outcome.middleware(),
            hide_suggestions=hide_suggestions,
        )
        self._declared = declared
        self._ctx = ctx
        self._plans = dict(plans_for(schema, operation, values).fields)
        self._prepared = operation

    def complete_value(
        self,
        return_type: Any,
        field_details_list: FieldDetailsList,
        info: "GraphQLResolveInfo[Any]",
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Complete a value: that of a root field by its plan, once."""
        plan = self._plans.pop(str(path.key), None) if path.prev is None else None
        if plan is None or isinstance(result, Exception):
            return super().complete_value(
                return_type, field_details_list, info, path, result, position_context
            )

        def otherwise() -> Any:
            fallbacks.inc()
            return super(PlannedExecutor, self).complete_value(
                return_type, field_details_list, info, path, result, position_context
            )

        frame: Frame = {}
        try:
            shown = plan(result, frame)
        except Exception:  # whatever it was, the reference executor finds the same and says it
            return otherwise()
        return self._drained(shown, frame, path, otherwise) if frame else shown

    async def _drained(self, shown: Any, frame: Frame, path: Path, otherwise: Any) -> Any:
        run = _run_of(
            self.schema,
            self._declared,
            self._prepared,
            self.variable_values,
            self._ctx,
            path,
            self.root_value,
        )
        try:
            await drain(frame, run)
        except Exception:  # as above
            again = otherwise()
            return await again if isawaitable(again) else again
        return shown
