"""One operation of a socket: where its answers go, and how it ends."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from graphql import GraphQLFormattedError

from app.kernel.errors import Refusal
from schema.edge.messages import complete, error, next_prefix
from schema.edge.outbox import Letter, Overflow
from schema.engine import presented
from schema.engine.fanout import Payload, SubscriptionFailed
from schema.live import ConsumerTooSlow

if TYPE_CHECKING:
    from schema.edge.connection import Connection


class SocketOperation:
    """A sink for answers until it is over; after that nothing more is sent under its id."""

    __slots__ = (
        "_behind",
        "_connection",
        "_prefix",
        "id",
        "is_over",
        "leave",
        "must_finish",
        "task",
    )

    def __init__(self, connection: "Connection", id: str) -> None:
        """An operation that a socket's client has begun."""
        self.id = id
        self.is_over = False
        # What ends a subscription.
        self.leave: Callable[[], None] | None = None
        # What may be cancelled when nobody waits for the answer.
        self.task: asyncio.Task[None] | None = None
        # A mutation's answer is owed, even if it ended the session.
        self.must_finish = False
        self._connection = connection
        self._prefix = next_prefix(id)
        self._behind: Letter | None = None

    def offer(self, made: Payload, *, replaces: bool) -> None:
        """Send an answer; a client too far behind has the operation ended."""
        if self.is_over:
            return
        behind = self._behind if replaces else None
        try:
            self._behind = self._connection.outbox.next(self._prefix, made, behind)
        except Overflow:
            self._connection.outbox.drop(self._prefix)
            self.refuse([refusal_error(ConsumerTooSlow(), self._connection)])

    def fail(self, error: Exception) -> None:
        """Send why it failed."""
        if isinstance(error, SubscriptionFailed):
            self.refuse(error.errors)
        else:
            self.refuse([presented(error, self._connection.locale)])

    def refuse(self, errors: list[GraphQLFormattedError]) -> None:
        """Send errors, which end it."""
        if not self.is_over:
            self.end()
            self._connection.send(error(self.id, errors))

    def finish(self) -> None:
        """Send that it is complete."""
        if not self.is_over:
            self.end()
            self._connection.send(complete(self.id))

    def answer(self, payload: Payload) -> None:
        """Send its only answer."""
        self.offer(payload, replaces=False)
        self.finish()

    async def room(self) -> None:
        """Wait until the client has read what was sent."""
        await self._connection.outbox.room()

    def end(self) -> None:
        """Send nothing more under this id."""
        self.is_over = True
        self._connection.forget(self)
        if self.leave is not None:
            self.leave()
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


def refusal_error(refusal: Refusal, connection: "Connection") -> GraphQLFormattedError:
    """A refusal as an error of an operation, in the socket's language."""
    return {
        "message": refusal.message(connection.locale),
        "extensions": {"code": refusal.code},
    }
