"""From what a caller asks to the bytes they are answered: what HTTP and sockets have in common.

A document is one that is trusted; its cost is charged before anything is done; a member's answer
may be a remembered one; `extensions.cost` says what it came to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import GraphQLFormattedError
from prometheus_client import CollectorRegistry

from app import staff
from app.kernel.auth import StaffCaller
from app.kernel.errors import Locale
from app.kernel.redis import Redis
from app.kernel.versions import version_by_member, version_of
from schema.context import Ctx, Resources
from schema.edge.parameters import Parameters
from schema.engine import Answer, Engine, Operation, RequestRefused, presented
from schema.engine.answers import Answers, Question
from schema.engine.limits import too_dear
from schema.engine.throttle import Throttle, Throttler, extension, refusal_of
from schema.engine.trusted import Trusted

MEGABYTE = 2**20
# Reading a text that turns out to be no good is work too.
MISTAKE = 5
Variables = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """An answer as bytes; without `has_data` the request was refused before it was executed."""

    body: bytes
    errors: list[GraphQLFormattedError]
    has_data: bool = True


class OverBudget(RequestRefused):
    """The caller asks for more than they have left; 429 unless no waiting will help."""

    def __init__(self, throttle: Throttle, locale: Locale) -> None:
        """Refuse with the figures of the bucket that is too empty."""
        status = 400 if throttle.retry_after is None else 429
        super().__init__([refusal_of(throttle, locale)], status=status)
        self.retry_after = throttle.retry_after
        self.extensions = {"cost": extension(throttle)}


class Desk:
    """Where the operations of one process are taken in and handed out."""

    def __init__(
        self,
        resources: Resources,
        engine: Engine,
        registry: CollectorRegistry,
        redis: Redis | None = None,
    ) -> None:
        """Serve by the settings; buckets of cost are shared by Redis.

        Raises BadSettings for a manifest of trusted documents that is none.
        """
        settings = resources.settings
        self._engine = engine
        self._resources = resources
        self._trusted = Trusted.load(settings.trusted_documents)
        self._exempt_staff = settings.trusted_documents_exempt_staff
        self._throttler = Throttler(settings, redis, self._named)
        self._answers = Answers(
            engine.schema,
            most_bytes=settings.answer_cache_mb * MEGABYTE,
            seconds=settings.answer_cache_seconds,
        )
        registry.register(self._answers)

    async def close(self) -> None:
        """Tell the shared buckets what was spent."""
        await self._throttler.close()

    async def operation(self, parameters: Parameters, ctx: Ctx) -> Operation:
        """What a request asks for; raises RequestRefused, and charges for that."""
        try:
            text = parameters.query
            if text is None or self._trusted.is_restricted or parameters.is_named:
                exempt = self._exempt_staff and isinstance(ctx.caller, StaffCaller)
                text = self._trusted.asked_text(parameters.naming, exempt=exempt)
            return self._engine.documents.prepare(text, parameters.operation_name)
        except RequestRefused:
            await self._charge(MISTAKE, ctx)
            raise

    async def charge(self, operation: Operation, variables: Variables | None, ctx: Ctx) -> Throttle:
        """Take an operation's cost from its caller's bucket.

        Raises OverBudget, and RequestRefused for what asks for too much at once.
        """
        requested = operation.figures.cost(variables)
        dear = too_dear(requested)
        if dear is not None:
            await self._charge(MISTAKE, ctx)
            raise RequestRefused([dear])
        return await self._charge(requested, ctx)

    async def _charge(self, requested: int, ctx: Ctx) -> Throttle:
        throttle = await self._throttler.take(ctx.caller, ctx.address, requested)
        if not throttle.allowed:
            raise OverBudget(throttle, ctx.locale)
        return throttle

    async def execute(self, operation: Operation, variables: Variables | None, ctx: Ctx) -> Served:
        """Answer a query or mutation; raises OverBudget."""
        throttle = await self.charge(operation, variables, ctx)
        question = self._answers.question(operation, variables, ctx.caller, ctx.locale)
        if question is None:
            answer, body = await self._executed(operation, variables, ctx)
            actual = _spent(operation, answer, throttle)
            return self._served(answer, body, throttle, actual)
        return await self._remembered(question, operation, variables, ctx, throttle)

    async def _remembered(
        self,
        question: Question,
        operation: Operation,
        variables: Variables | None,
        ctx: Ctx,
        throttle: Throttle,
    ) -> Served:
        """The answer that was given before if it still holds, else one that will be kept."""
        member_id = question.key[0]
        if not self._answers.holds(question):
            return await self._first(question, operation, variables, ctx, throttle)
        async with self._resources.database.read() as read:
            version = await version_of(read, member_id)
        found = self._answers.fresh(question, version)
        if found is not None:
            settled = self._throttler.settle(throttle, int(found.actual))
            return Served(_with_cost(found.payload, settled), [])
        answer, body = await self._executed(operation, variables, ctx)
        actual = _spent(operation, answer, throttle)
        self._answers.keep(question, version, body, flawless=not answer.errors, actual=actual)
        return self._served(answer, body, throttle, actual)

    async def _first(
        self,
        question: Question,
        operation: Operation,
        variables: Variables | None,
        ctx: Ctx,
        throttle: Throttle,
    ) -> Served:
        """An answer of which none is remembered: its version is read by its own first statement."""
        versions: list[str] = []

        def told(version: str | None, first: bool) -> None:
            if version is not None and first:
                versions.append(version)

        ctx.batches.carry(version_by_member, question.key[0], told)
        answer, body = await self._executed(operation, variables, ctx)
        actual = _spent(operation, answer, throttle)
        for version in versions:
            self._answers.keep(question, version, body, flawless=not answer.errors, actual=actual)
        return self._served(answer, body, throttle, actual)

    async def _executed(
        self, operation: Operation, variables: Variables | None, ctx: Ctx
    ) -> tuple[Answer, bytes]:
        answer = await self._engine.execute(operation, variables, ctx)
        try:
            return answer, answer.encode()
        except Exception as error:  # a resolver's value that JSON has no word for
            masked = Answer(None, [presented(error, ctx.locale)])
            return masked, masked.encode()

    def _served(self, answer: Answer, body: bytes, throttle: Throttle, actual: int) -> Served:
        settled = self._throttler.settle(throttle, actual)
        return Served(_with_cost(body, settled), answer.errors, answer.has_data)

    async def _named(self, logins: frozenset[str], keys: frozenset[str]) -> set[str]:
        async with self._resources.database.read() as read:
            return await staff.callers_named(read, logins=logins, keys=keys)


def _spent(operation: Operation, answer: Answer, throttle: Throttle) -> int:
    """What an answer has cost of what was asked for.

    Of one with errors nothing is given back: what came of it is no measure of the work, for an
    error takes everything above it along, up to the first that may be null, and had the reference
    executor do the plan's work over again. Else a document that fails on purpose, last of all,
    would be free.
    """
    if answer.errors and answer.has_data:
        return throttle.requested
    return operation.figures.actual(answer.data)


def _with_cost(body: bytes, throttle: Throttle) -> bytes:
    """A response with its cost put in at its end: the rest of it may be a remembered one."""
    return body[:-1] + b',"extensions":{"cost":' + orjson.dumps(extension(throttle)) + b"}}"
