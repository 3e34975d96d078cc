"""The executor that completes root values by plans, and falls back on graphql-core's way.

Root fields are resolved by graphql-core: arguments, errors of resolvers, nulls and the order of
mutations are its doing. The value of a root field is completed by its plan. Whatever goes wrong
there, the work is thrown away and the reference executor completes the same value, so that errors,
nulls and paths in the answer are always its own.
"""

from collections.abc import Mapping
from inspect import isawaitable
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema
from graphql.execution.collect_fields import FieldDetailsList, collect_fields
from graphql.execution.executor import Executor, default_field_resolver, default_type_resolver
from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from prometheus_client import Counter
from strawberry import Schema

from schema.context import Ctx
from schema.engine.documents import Operation
from schema.engine.plans import Selecting, plan_of
from schema.engine.steps import Completer, Frame, Run, drain

# One for each combination of the variables of @skip and @include that was met.
MOST_VARIANTS = 16
# graphql-core's own two declarations of this signature differ in a type parameter.
_TYPE_RESOLVER: Any = default_type_resolver

fallbacks = Counter(
    "linli_engine_fallbacks",
    "Root values that the reference executor completed after a plan gave up",
    registry=None,
)
Plans = Mapping[str, Completer | None]


def plans_for(schema: GraphQLSchema, operation: Operation, values: VariableValues) -> Plans:
    """The plans of an operation's root fields by response key, compiled when first needed."""
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
        return {}
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
        return {}
    plans: dict[str, Completer | None] = {}
    for key, details in fields.items():
        definition = root.fields.get(details[0].node.name.value)
        plans[key] = None if definition is None else plan_of(selecting, definition.type, details)
    return plans


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
        *,
        hide_suggestions: bool,
    ) -> None:
        """Execute an operation for a caller; `root` is the event of a subscription."""
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
            hide_suggestions=hide_suggestions,
        )
        self._declared = declared
        self._ctx = ctx
        self._plans = dict(plans_for(schema, operation, values))

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
        config, scalars = self._declared.config, self._declared.schema_converter.scalar_registry
        try:
            await drain(frame, Run(self, self._ctx, path, config, dict(scalars)))
        except Exception:  # as above
            again = otherwise()
            return await again if isawaitable(again) else again
        return shown
