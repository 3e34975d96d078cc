"""GraphQL over HTTP: `/graphql` of one process, straight on ASGI.

What holds of every request is here in the order in which it is decided: method, media types, body,
parameters; then, at a place among the requests that run and under a deadline, caller, document and
execution; at last the status by media type. docs/graphql.md tells clients the same.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from graphql import OperationType
from prometheus_client import CollectorRegistry
from structlog.contextvars import bind_contextvars

from app.kernel.auth import live_by_id
from app.kernel.errors import Locale, Refusal
from app.kernel.log import logger
from app.kernel.outages import is_outage
from app.kernel.redis import Redis
from schema.build import build_schema
from schema.context import Ctx, Resources
from schema.edge.bodies import Bodies, Receive
from schema.edge.callers import NOBODY, Admission, Doubt
from schema.edge.desk import Desk, OverBudget, Served
from schema.edge.exchanges import Exchange, Scope, Send
from schema.edge.metrics import RequestMetrics
from schema.edge.negotiation import Media, is_json
from schema.edge.page import PAGE_HEADERS, page
from schema.edge.parameters import Parameters, of_json, of_query_string
from schema.edge.refusals import (
    ClientGone,
    DeadlineExceeded,
    Header,
    MutationTimedOut,
    NotServed,
    Overloaded,
)
from schema.edge.sse import Stream, answers, single
from schema.edge.stints import DeadlinePassed, Places, Stint
from schema.engine import Answer, Engine, Operation, RequestRefused, presented, refusal_of, refused
from schema.engine.fanout import Fanout
from schema.engine.running import fallbacks

# A page of another site can send a simple GET without asking; one of these makes it ask first.
PREFLIGHT_HEADERS = (b"x-linli-client", b"apollo-require-preflight", b"graphql-require-preflight")
ALLOWED = (b"allow", b"GET, POST")
RETRY: tuple[Header, ...] = ((b"retry-after", b"1"),)
# What balancers and clients act on keeps its status in either media type.
_KEPT_STATUSES = frozenset({429, 503})
_OUTCOMES = {429: "throttled", 503: "overloaded", 504: "deadline"}

log = logger(__name__)


@dataclass(slots=True)
class Reply:
    """What goes back to the client; the status is that of the newer media type."""

    answer: Served | AsyncGenerator[bytes]
    status: int = 200
    admission: Admission = NOBODY
    headers: tuple[Header, ...] = ()


class GraphQLEdge:
    """The GraphQL API of one process: its engine, and its side towards HTTP."""

    def __init__(
        self,
        resources: Resources,
        registry: CollectorRegistry | None = None,
        redis: Redis | None = None,
    ) -> None:
        """Serve the schema with these resources; figures go to the registry.

        Rates are shared with other processes by Redis.
        """
        registry = registry or CollectorRegistry()
        settings = resources.settings
        production = settings.env == "production"
        self.resources = resources
        self.engine = Engine(
            build_schema().core, introspection=not production, suggestions=not production
        )
        self.fanout = Fanout(self.engine, resources)
        # How many requests run at once, and the time that each has.
        self.seconds = settings.request_seconds
        self._bodies = Bodies()
        self.places = Places(settings.max_concurrent)
        self._page = None if production else page()
        self.desk = Desk(resources, self.engine, registry, redis)
        self._metrics = RequestMetrics(registry)
        registry.register(fallbacks)

    async def close(self) -> None:
        """End what goes on behind the requests."""
        await self.desk.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        begun = perf_counter()
        exchange = Exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except NotServed as refusal:
            exchange.outcome = "refused"
            await exchange.refuse(refusal)
        except ClientGone:
            exchange.outcome = "gone"
        except asyncio.CancelledError:
            # The server is stopping and has waited long enough.
            exchange.outcome = "stopped"
            if not exchange.begun:
                said = NotServed(503, "OVERLOADED", "The server is stopping.", headers=RETRY)
                await exchange.refuse(said)
        except Exception as error:  # a fault of ours: masked, and logged under its id
            exchange.outcome = "unavailable" if is_outage(error) else "fault"
            await _confess(exchange, error)
        self._metrics.count(exchange.kind, exchange.outcome, perf_counter() - begun)

    async def _serve(self, exchange: Exchange) -> None:
        exchange.check()
        accepted = exchange.accepted
        if exchange.method == "POST":
            if accepted.media is None:
                raise _not_acceptable()
            parameters = await self._posted(exchange)
        elif exchange.method == "GET":
            if accepted.page and self._page is not None and not exchange.scope["query_string"]:
                await exchange.answer(200, Media.PAGE, self._page, PAGE_HEADERS)
                return
            parameters = _asked(exchange)
        else:
            raise NotServed(
                405, "METHOD_NOT_ALLOWED", "Use POST, or GET for queries.", headers=[ALLOWED]
            )
        reply = await self._reply(exchange, parameters)
        await self._send(exchange, reply)

    async def _posted(self, exchange: Exchange) -> Parameters:
        given = exchange.given
        if not is_json(given.get(b"content-type", b"")):
            raise NotServed(
                415, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json in UTF-8."
            )
        if given.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise NotServed(415, "UNSUPPORTED_MEDIA_TYPE", "The body must not be encoded.")
        return of_json(await self._bodies.read(exchange.receive, given.get(b"content-length")))

    async def _reply(self, exchange: Exchange, parameters: Parameters) -> Reply:
        """Everything between a well-formed request and what is sent back."""
        try:
            async with Stint(self.places, self.seconds, exchange.receive) as stint:
                return await self._work(exchange, parameters, stint)
        except OverBudget as refusal:
            wait = str(refusal.retry_after).encode()
            headers = ((b"retry-after", wait),) if refusal.status == 429 else ()
            answer = refusal_of(refusal.errors, exchange.locale)
            answer.extensions = refusal.extensions
            return Reply(_served(answer), refusal.status, headers=headers)
        except RequestRefused as refusal:
            return Reply(_served(refusal_of(refusal.errors, exchange.locale)), refusal.status)
        except Overloaded as refusal:
            return Reply(_refusing(refusal, exchange.locale), 503, headers=RETRY)
        except DeadlinePassed:
            mutating = exchange.kind == OperationType.MUTATION.value
            refusal = MutationTimedOut() if mutating else DeadlineExceeded()
            return Reply(_refusing(refusal, exchange.locale), 504)

    async def _work(self, exchange: Exchange, parameters: Parameters, stint: Stint) -> Reply:
        admission, doubt = NOBODY, None
        if exchange.authorization is not None:
            admission, doubt = await self.resources.callers.presume(exchange.authorization)
        ctx = self._context(exchange, admission)
        # Whatever is logged on the way can be found by the id that the client was told.
        bind_contextvars(request_id=exchange.request_id)
        operation = await self.desk.operation(parameters, ctx)
        exchange.kind = operation.kind.value
        if doubt is not None:
            if operation.kind is OperationType.QUERY:
                return await self._presumed(exchange, parameters, operation, ctx, doubt)
            admission = await self.resources.callers.settle(doubt)
            ctx = self._context(exchange, admission)
        if operation.kind is OperationType.SUBSCRIPTION:
            return await self._followed(exchange, parameters, operation, ctx, admission)
        if operation.kind is OperationType.MUTATION:
            if exchange.method == "GET":
                raise NotServed(
                    405,
                    "METHOD_NOT_ALLOWED",
                    "Send mutations by POST.",
                    headers=[(b"allow", b"POST")],
                )
            stint.must_finish = True
        served = await self.desk.execute(operation, parameters.variables, ctx)
        return Reply(served, 200 if served.has_data else 400, admission)

    async def _presumed(
        self,
        exchange: Exchange,
        parameters: Parameters,
        operation: Operation,
        ctx: Ctx,
        doubt: Doubt,
    ) -> Reply:
        """A query of a member whose session is looked up while it is read.

        What was read for a session that has ended is thrown away, be it data or a refusal.
        """
        found: Served | RequestRefused
        ctx.batches.carry(live_by_id, doubt.session_id, doubt.told)
        try:
            found = await self.desk.execute(operation, parameters.variables, ctx)
        except RequestRefused as refusal:
            found = refusal
        admission = await self.resources.callers.settle(doubt)
        if admission is NOBODY:
            anyone = self._context(exchange, NOBODY)
            found = await self.desk.execute(operation, parameters.variables, anyone)
        if isinstance(found, RequestRefused):
            raise found
        return Reply(found, 200 if found.has_data else 400, admission)

    def _context(self, exchange: Exchange, admission: Admission) -> Ctx:
        return Ctx(
            resources=self.resources,
            caller=admission.caller,
            locale=exchange.locale,
            request_id=exchange.request_id,
            address=exchange.address,
        )

    async def _followed(
        self,
        exchange: Exchange,
        parameters: Parameters,
        operation: Operation,
        ctx: Ctx,
        admission: Admission,
    ) -> Reply:
        if not exchange.accepted.streams:
            raise refused(
                "Subscriptions need Accept: text/event-stream, or graphql-transport-ws.",
                "BAD_REQUEST",
            )
        await self.desk.charge(operation, parameters.variables, ctx)
        stream = await self.fanout.listen(operation, parameters.variables, ctx)
        if isinstance(stream, Answer):
            return Reply(_served(stream), 400, admission)
        return Reply(answers(stream, exchange.locale), 200, admission)

    async def _send(self, exchange: Exchange, reply: Reply) -> None:
        media, answer = exchange.accepted.media, reply.answer
        if isinstance(answer, Served):
            exchange.outcome = _outcome(answer, reply.status)
            body = answer.body
            if media is not Media.STREAM or reply.status in _KEPT_STATUSES:
                kept = media is Media.RESPONSE or reply.status in _KEPT_STATUSES
                chosen = Media.RESPONSE if media is Media.RESPONSE else Media.JSON
                await exchange.answer(reply.status if kept else 200, chosen, body, reply.headers)
                return
            answer = single(body)
        await Stream(exchange, self.resources.callers, reply.admission).write(answer)


def _asked(exchange: Exchange) -> Parameters:
    """The parameters of a GET, which must not be one that any page on the web can cause."""
    if not any(exchange.given.get(name) for name in PREFLIGHT_HEADERS):
        raise NotServed(
            400,
            "PREFLIGHT_REQUIRED",
            "Send queries by POST as application/json, or GET with a header X-Linli-Client.",
        )
    if exchange.accepted.media is None:
        raise _not_acceptable()
    return of_query_string(exchange.scope["query_string"])


def _not_acceptable() -> NotServed:
    return NotServed(
        406,
        "NOT_ACCEPTABLE",
        "Answers are application/json, application/graphql-response+json or text/event-stream.",
    )


def _served(answer: Answer) -> Served:
    return Served(answer.encode(), answer.errors, answer.has_data)


def _refusing(refusal: Refusal, locale: Locale) -> Served:
    error: Any = {"message": refusal.message(locale), "extensions": {"code": refusal.code}}
    return _served(Answer(None, [error], has_data=False))


def _outcome(answer: Served, status: int) -> str:
    if not answer.errors:
        return "ok"
    if any(error.get("extensions", {}).get("code") == "INTERNAL" for error in answer.errors):
        return "fault"
    return "errors" if answer.has_data else _OUTCOMES.get(status, "refused")


async def _confess(exchange: Exchange, error: Exception) -> None:
    answer = Answer(None, [presented(error, exchange.locale)], has_data=False)
    if not exchange.begun:
        media = Media.RESPONSE if exchange.accepted.media is Media.RESPONSE else Media.JSON
        status, headers = (503, RETRY) if is_outage(error) else (500, ())
        await exchange.answer(status, media, answer.encode(), headers)
