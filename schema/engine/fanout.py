"""Live updates for many: what happens is made into bytes once for all who are sent the same.

Subscriptions are one group when they have the same operation, variables and language, and either
nothing in their selection depends on the caller or the caller is the same. The cursor that a
client resumes by is no part of it.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from typing import Any

import orjson
from graphql import GraphQLFormattedError

from app.kernel.auth import ANONYMOUS
from app.kernel.errors import Locale, Refusal
from schema.batching import Batches
from schema.context import Ctx, Resources
from schema.engine.answering import Answer, Engine, presented
from schema.engine.audiences import Audience, audience_of
from schema.engine.documents import Operation
from schema.engine.groups import Sink
from schema.engine.inbox import Inbox, enter, group_of
from schema.errors import refused_query
from schema.streams import Stream

# Audiences are cheap to work out anew; only the busiest operations' are kept.
KEPT = 1_024
# Frames of one payload that are kept for the next subscriber whose operation has the same id.
FRAMES = 64

Variables = Mapping[str, Any]


class Payload:
    """One encoded answer, and the frames it was put into, for all who number operations alike."""

    __slots__ = ("body", "frames")

    def __init__(self, body: bytes) -> None:
        """An answer's JSON."""
        self.body = body
        self.frames: dict[bytes, bytes] = {}

    def framed(self, prefix: bytes, frame: Callable[[bytes, bytes], bytes]) -> bytes:
        """The frame of a message that begins with a prefix, made once for equal prefixes."""
        found = self.frames.get(prefix)
        if found is None:
            found = frame(prefix, self.body)
            if len(self.frames) < FRAMES:
                self.frames[prefix] = found
        return found


class SubscriptionFailed(Exception):
    """A subscription has ended with errors, as the client may see them."""

    def __init__(self, errors: list[GraphQLFormattedError]) -> None:
        """End with these."""
        super().__init__("the subscription has failed")
        self.errors = errors


class Fanout:
    """The groups of one process."""

    def __init__(self, engine: Engine, resources: Resources) -> None:
        """Nobody follows anything yet."""
        self._engine = engine
        self._resources = resources
        self._groups: dict[Hashable, Any] = {}
        self._audiences: OrderedDict[str, Audience] = OrderedDict()
        # What subscribers ask for while they join is read for all of them together.
        self._batches = Batches(resources.database)
        self.active = 0

    @property
    def groups(self) -> int:
        """How many groups there are, for the metrics."""
        return len(self._groups)

    async def join(
        self, operation: Operation, variables: Variables | None, ctx: Ctx, sink: Sink[Payload]
    ) -> Answer | Callable[[], None]:
        """Send a subscription's answers to a sink; answers what ends that, or why it did not begin.

        The first answer may come before this returns. A sink that fails or finishes still has to
        be taken out by what was answered.
        """
        ctx.share(self._batches)
        stream = await self._engine.source(operation, variables, ctx)
        if isinstance(stream, Answer):
            return stream
        if not isinstance(stream, Stream):
            raise TypeError(f"{operation.name} answers no Stream")
        await self._resources.live.started()
        group = self._group(operation, variables or {}, ctx, stream)
        subscriber = enter(stream, group, sink)
        self.active += 1
        is_in = True

        def leave() -> None:
            nonlocal is_in
            if is_in:
                is_in = False
                self.active -= 1
                group.leave(subscriber)

        return leave

    async def listen(
        self, operation: Operation, variables: Variables | None, ctx: Ctx
    ) -> Answer | AsyncGenerator[bytes]:
        """A subscription's encoded answers, for a reader in a task of its own (close it).

        Raises SubscriptionFailed on the way when the subscription ends with errors.
        """
        inbox: Inbox[Payload] = Inbox()
        leave = await self.join(operation, variables, ctx, inbox)
        return leave if isinstance(leave, Answer) else _bodies(inbox, leave)

    def _group(
        self, operation: Operation, variables: Variables, ctx: Ctx, stream: Stream[Any]
    ) -> Any:
        audience = self._audience(operation)
        is_everyone = audience.is_everyone and stream.shared
        given = {name: variables[name] for name in audience.variables if name in variables}
        key = (
            operation.key,
            orjson.dumps(given, option=orjson.OPT_SORT_KEYS),
            ctx.locale,
            stream.topic,
            None if is_everyone else ctx.caller,
        )
        group = self._groups.get(key)
        if group is None:
            group = self._made(key, operation, variables, stream, is_everyone, ctx)
        return group

    def _made(
        self,
        key: Hashable,
        operation: Operation,
        variables: Variables,
        stream: Stream[Any],
        is_everyone: bool,
        joining: Ctx,
    ) -> Any:
        # Nobody's context: a field that says `shared` and is not shows nobody anything personal.
        ctx = Ctx(
            resources=self._resources,
            caller=ANONYMOUS if is_everyone else joining.caller,
            locale=joining.locale,
        )

        async def payload(event: object) -> Payload:
            answer = await self._engine.complete(operation, variables, ctx, event)
            return Payload(answer.encode())

        group = group_of(stream, self._resources.live, ctx, payload)
        group.shown = _shown(ctx.locale)
        self._groups[key] = group

        def forget() -> None:
            if self._groups.get(key) is group:
                del self._groups[key]

        group.on_empty = forget
        return group

    def _audience(self, operation: Operation) -> Audience:
        found = self._audiences.get(operation.key)
        if found is None:
            found = audience_of(operation, self._engine.schema)
            self._audiences[operation.key] = found
            if len(self._audiences) > KEPT:
                self._audiences.popitem(last=False)
        return found


def _shown(locale: Locale) -> Callable[[Exception], Exception]:
    """What clients are told of an exception: masked and logged once for the whole group."""

    def shown(error: Exception) -> Exception:
        if isinstance(error, Refusal):
            error = refused_query(error, locale)
        return SubscriptionFailed([presented(error, locale)])

    return shown


async def _bodies(inbox: Inbox[Payload], leave: Callable[[], None]) -> AsyncGenerator[bytes]:
    try:
        async for payload in inbox.read():
            yield payload.body
    finally:
        leave()
