"""The engine: prepared operations executed for a caller, answers ready for the wire."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLFormattedError,
    GraphQLSchema,
    OperationType,
)
from graphql.execution.execute import create_source_event_stream
from graphql.execution.executor import Executor
from graphql.execution.values import VariableValues, get_variable_values
from strawberry import Schema

from app.kernel.errors import Locale
from schema.context import Ctx
from schema.engine.coercing import Unsure
from schema.engine.documents import Documents, Operation
from schema.engine.inputs import BadVariable, check_variables
from schema.engine.running import Outcome, PlannedExecutor, by_plan, by_root
from schema.errors import MOST_ERRORS, present

MOST_COERCION_ERRORS = 8


@dataclass(slots=True)
class Answer:
    """A GraphQL response; without `has_data` the request was refused before it was executed.

    Instants in its data may be `datetime`s in UTC yet: `encode` writes them.
    """

    data: dict[str, Any] | None
    errors: list[GraphQLFormattedError]
    extensions: dict[str, Any] | None = None
    has_data: bool = True

    def shown(self) -> dict[str, Any]:
        """The response as the specification orders it: errors, data, extensions."""
        shown: dict[str, Any] = {}
        if self.errors:
            shown["errors"] = self.errors
        if self.has_data:
            shown["data"] = self.data
        if self.extensions:
            shown["extensions"] = self.extensions
        return shown

    def encode(self) -> bytes:
        """The response as JSON."""
        return orjson.dumps(self.shown(), default=_plain, option=orjson.OPT_UTC_Z)


def refusal_of(errors: list[GraphQLError], locale: Locale) -> Answer:
    """The answer to a request that is not executed."""
    return Answer(None, presented_all(errors, locale), has_data=False)


def presented(error: Exception, locale: Locale) -> GraphQLFormattedError:
    """An exception as the client may see it: masked and logged unless it is the client's own."""
    if not isinstance(error, GraphQLError):
        error = GraphQLError(str(error), original_error=error)
    return present(error, locale).formatted


def presented_all(errors: list[GraphQLError], locale: Locale) -> list[GraphQLFormattedError]:
    """Errors as the client may see them, at most eight."""
    return [presented(error, locale) for error in errors[:MOST_ERRORS]]


class Engine:
    """Executes prepared operations of one schema; one a process."""

    def __init__(
        self, schema: GraphQLSchema, *, introspection: bool = True, suggestions: bool = True
    ) -> None:
        """Execute a schema; production hides its introspection and the suggestions."""
        self._schema = schema
        # Strawberry leaves itself there; its converter knows how arguments become Python values.
        self._declared: Schema = getattr(schema, "_strawberry_schema")  # noqa: B009
        self._suggestions = suggestions
        self.documents = Documents(schema, introspection=introspection, suggestions=suggestions)

    @property
    def schema(self) -> GraphQLSchema:
        """The schema that operations are of."""
        return self._schema

    async def execute(
        self, operation: Operation, variables: Mapping[str, Any] | None, ctx: Ctx
    ) -> Answer:
        """Execute a query or mutation."""
        values = self._coerced(operation, variables)
        if isinstance(values, list):
            return refusal_of(values, ctx.locale)
        if operation.kind is OperationType.QUERY:
            data = await by_plan(self._schema, self._declared, operation, values, ctx)
            if data is not None:
                return Answer(data, [])
        elif operation.kind is OperationType.MUTATION:
            data, outcome = await by_root(self._schema, self._declared, operation, values, ctx)
            if data is not None:
                return Answer(data, [])
            return await self._run(self._executor(operation, values, ctx, outcome=outcome), ctx)
        return await self._run(self._executor(operation, values, ctx), ctx)

    async def subscribe(
        self, operation: Operation, variables: Mapping[str, Any] | None, ctx: Ctx
    ) -> Answer | AsyncGenerator[object]:
        """The events of a subscription, or why there are none.

        Each event is completed by `complete`; what the stream raises is shown by `presented`.
        """
        source = await self.source(operation, variables, ctx)
        return source if isinstance(source, Answer) else _events(source)

    async def source(
        self, operation: Operation, variables: Mapping[str, Any] | None, ctx: Ctx
    ) -> Answer | AsyncIterable[object]:
        """What a subscription's resolver answered (a `Stream`), or why it did not."""
        values = self._coerced(operation, variables)
        if isinstance(values, list):
            return refusal_of(values, ctx.locale)
        executor = self._executor(operation, values, ctx)
        source: Any = create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            return refusal_of(source.errors or [], ctx.locale)
        return source

    async def complete(
        self, operation: Operation, variables: Mapping[str, Any] | None, ctx: Ctx, event: object
    ) -> Answer:
        """A subscription's selection, executed on one of its events."""
        values = self._coerced(operation, variables)
        if isinstance(values, list):
            return refusal_of(values, ctx.locale)
        return await self._run(self._executor(operation, values, ctx, event), ctx)

    async def _run(self, executor: "Executor[Any]", ctx: Ctx) -> Answer:
        result: Any = executor.execute_operation()
        if isawaitable(result):
            result = await result
        return Answer(result.data, presented_all(result.errors or [], ctx.locale))

    def _executor(
        self,
        operation: Operation,
        values: VariableValues,
        ctx: Ctx,
        root: object = None,
        outcome: Outcome | None = None,
    ) -> "Executor[Any]":
        return PlannedExecutor(
            self._schema,
            self._declared,
            operation,
            values,
            ctx,
            root,
            outcome,
            hide_suggestions=not self._suggestions,
        )

    def _coerced(
        self, operation: Operation, variables: Mapping[str, Any] | None
    ) -> VariableValues | list[GraphQLError]:
        try:
            check_variables(variables or {})
        except BadVariable as error:
            return [error]
        try:
            return operation.variables.coerced(variables or {})
        except Unsure:
            pass
        values = get_variable_values(
            self._schema,
            operation.definition.variable_definitions or (),
            dict(variables or {}),
            max_errors=MOST_COERCION_ERRORS,
            hide_suggestions=not self._suggestions,
        )
        if isinstance(values, list):
            for error in values:
                error.extensions = {"code": "BAD_USER_INPUT", **(error.extensions or {})}
        return values


async def _events(source: AsyncIterable[object]) -> AsyncGenerator[object]:
    iterator: Any = aiter(source)
    async with aclosing(iterator) as events:
        async for event in events:
            yield event


def _plain(value: Any) -> Any:
    if isinstance(value, set | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
