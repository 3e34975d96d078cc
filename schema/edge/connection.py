"""One socket: the messages of its client, its operations, its end."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from graphql import GraphQLFormattedError, OperationType

from app.kernel.auth import Anonymous
from app.kernel.errors import Locale, Refusal
from schema.context import Ctx
from schema.edge.callers import NOBODY, Ended
from schema.edge.exchanges import locale_of
from schema.edge.messages import (
    ACK,
    Complete,
    Init,
    Malformed,
    Message,
    Ping,
    Subscribe,
    pong,
    read_message,
)
from schema.edge.operations import SocketOperation, refusal_error
from schema.edge.outbox import Outbox, Overflow
from schema.edge.parameters import Parameters
from schema.edge.refusals import (
    DeadlineExceeded,
    MutationTimedOut,
    SessionOver,
    TooManyOperations,
)
from schema.edge.stints import DeadlinePassed, Stint
from schema.edge.wire import LARGEST_MESSAGE, AsgiWire, DirectWire
from schema.engine import Answer, Operation, RequestRefused, presented
from schema.engine.fanout import Payload

if TYPE_CHECKING:
    from schema.edge.sockets import Sockets

INIT_SECONDS = 10.0
MOST_OPERATIONS = 100
LONGEST_REASON = 123

NORMAL = 1000
TOO_BIG = 1009
TRY_LATER = 1013
BAD_MESSAGE = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
INIT_TIMEOUT = 4408
DUPLICATE = 4409
TOO_MANY = 4429

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Connection:
    """A client's socket, from its acceptance to its end."""

    __slots__ = (
        "_address",
        "_admission",
        "_closed",
        "_hurry",
        "_is_known",
        "_operations",
        "_over",
        "_sockets",
        "_unwatch",
        "locale",
        "missed",
        "outbox",
        "party",
        "wire",
    )

    def __init__(
        self, sockets: "Sockets", wire: DirectWire | AsgiWire, address: str | None, locale: Locale
    ) -> None:
        """Wait for connection_init."""
        self.wire = wire
        self.outbox = Outbox(wire)
        self.locale: Locale = locale
        # Heart-beats that were not answered.
        self.missed = 0
        # Under whom the socket counts: the account, or the address of who has none.
        self.party: object = None
        self._sockets = sockets
        self._address = address
        self._admission = NOBODY
        self._is_known = False
        self._closed = False
        # Why nothing more is begun: the session has ended.
        self._over: GraphQLFormattedError | None = None
        self._operations: dict[str, SocketOperation] = {}
        self._unwatch: Callable[[], None] | None = None
        loop = asyncio.get_running_loop()
        self._hurry: asyncio.TimerHandle | None = loop.call_later(INIT_SECONDS, self._overdue)

    async def serve(self, receive: Receive) -> None:
        """Take messages until the socket is closed, by whomever."""
        try:
            while True:
                event = await receive()
                if event["type"] == "websocket.disconnect":
                    return
                if not self._closed:
                    await self._take(event.get("text"))
        finally:
            self._clear()

    def send(self, message: bytes) -> None:
        """Send a message; a client for whom nothing more can be kept is let go."""
        if self._closed:
            return
        try:
            self.outbox.send(message)
        except Overflow:
            self.close(TRY_LATER, "The socket is not read.")

    def close(self, code: int, reason: str) -> None:
        """Close with a reason of at most 123 bytes; what was sent before goes out first."""
        if self._closed:
            return
        self._clear()
        short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
        self._sockets.spawn(self.wire.close(code, short))

    def forget(self, operation: SocketOperation) -> None:
        """Free an operation's id."""
        if self._operations.get(operation.id) is operation:
            del self._operations[operation.id]

    def _clear(self) -> None:
        """Leave nothing behind."""
        self._closed = True
        if self._hurry is not None:
            self._hurry.cancel()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        for operation in tuple(self._operations.values()):
            operation.end()
        self.outbox.clear()
        self._sockets.discard(self)

    async def _take(self, text: str | None) -> None:
        if isinstance(self.wire, AsgiWire):
            self.wire.hear()
        if text is None:
            self.close(BAD_MESSAGE, "Binary messages are not understood.")
            return
        if len(text) > LARGEST_MESSAGE:
            self.close(TOO_BIG, "The message is too big.")
            return
        try:
            message = read_message(text)
        except Malformed as mistake:
            self.close(BAD_MESSAGE, str(mistake))
            return
        await self._heed(message)

    async def _heed(self, message: Message) -> None:
        match message:
            case Init():
                await self._begin(message)
            case Ping(payload):
                self.send(pong(payload))
            case Subscribe():
                self._subscribe(message)
            case Complete(id):
                operation = self._operations.get(id)
                if operation is not None:
                    operation.end()
            case _:
                pass

    async def _begin(self, message: Init) -> None:
        if self._hurry is None:
            self.close(TOO_MANY, "Too many initialisation requests")
            return
        self._hurry.cancel()
        self._hurry = None
        given = message.payload
        token = given.get("authorization") or given.get("Authorization")
        if isinstance(given.get("locale"), str):
            self.locale = locale_of(given["locale"])
        try:
            admission = await self._sockets.admit(token)
        except Exception as error:  # the database may be away; the fault is logged by its id
            presented(error, self.locale)
            self.close(TRY_LATER, "Try again later")
            return
        if self._closed:
            return
        if token and isinstance(admission.caller, Anonymous):
            self.close(FORBIDDEN, "Forbidden")
            return
        self._admission = admission
        if not self._sockets.count_in(self, admission.caller, self._address):
            self.close(TOO_MANY, "Too many sockets of one caller")
            return
        self._is_known = True
        self._unwatch = self._sockets.watch(admission, self._ended)
        self.send(ACK)

    def _overdue(self) -> None:
        self._hurry = None
        self.close(INIT_TIMEOUT, "Connection initialisation timeout")

    def _ended(self, reason: Ended) -> None:
        """The session has ended or its token expired: so do its operations, and the socket."""
        self._over = {
            "message": SessionOver().message(self.locale),
            "extensions": {"code": reason.value},
        }
        for operation in tuple(self._operations.values()):
            if not operation.must_finish:
                operation.refuse([self._over])
        self._leave_if_over()

    def _leave_if_over(self) -> None:
        """Close when the session has ended and the last mutation was answered."""
        if self._over is not None and not self._operations:
            self.close(FORBIDDEN, "Forbidden")

    def _subscribe(self, message: Subscribe) -> None:
        if not self._is_known:
            self.close(UNAUTHORIZED, "Unauthorized")
            return
        if message.id in self._operations:
            self.close(DUPLICATE, f"Subscriber for {message.id} already exists")
            return
        operation = SocketOperation(self, message.id)
        if self._over is not None:
            operation.refuse([self._over])
            return
        if len(self._operations) >= MOST_OPERATIONS:
            operation.refuse([refusal_error(TooManyOperations(), self)])
            return
        self._operations[message.id] = operation
        self._sockets.spawn(self._work(operation, message.parameters))

    async def _work(self, operation: SocketOperation, parameters: Parameters) -> None:
        """Answer an operation, or put it among those that are answered live."""
        edge = self._sockets.edge
        try:
            ctx = Ctx(
                resources=edge.resources,
                caller=self._admission.caller,
                locale=self.locale,
                request_id=uuid4().hex,
                address=self._address,
            )
            prepared = await edge.desk.operation(parameters, ctx)
            if prepared.kind is OperationType.SUBSCRIPTION:
                await self._follow(operation, prepared, parameters, ctx)
            else:
                await self._answer(operation, prepared, parameters, ctx)
        except RequestRefused as refusal:
            operation.refuse([presented(error, self.locale) for error in refusal.errors])
        except Refusal as refusal:
            operation.refuse([refusal_error(refusal, self)])
        except Exception as error:  # a fault of ours: masked, and logged under its id
            operation.refuse([presented(error, self.locale)])
        self._leave_if_over()

    async def _follow(
        self, operation: SocketOperation, prepared: Operation, parameters: Parameters, ctx: Ctx
    ) -> None:
        edge = self._sockets.edge
        await edge.desk.charge(prepared, parameters.variables, ctx)
        operation.task = asyncio.current_task()
        leave = await edge.fanout.join(prepared, parameters.variables, ctx, operation)
        operation.task = None
        if isinstance(leave, Answer):
            operation.refuse(leave.errors)
        elif operation.is_over:
            leave()
        else:
            operation.leave = leave

    async def _answer(
        self, operation: SocketOperation, prepared: Operation, parameters: Parameters, ctx: Ctx
    ) -> None:
        """Execute a query or mutation within the time that requests have."""
        edge = self._sockets.edge
        mutates = prepared.kind is OperationType.MUTATION
        operation.must_finish = mutates
        if not mutates:
            operation.task = asyncio.current_task()
        try:
            async with Stint(edge.places, edge.seconds, _never) as stint:
                stint.must_finish = mutates
                served = await edge.desk.execute(prepared, parameters.variables, ctx)
        except DeadlinePassed:
            raise (MutationTimedOut() if mutates else DeadlineExceeded()) from None
        if served.has_data:
            operation.answer(Payload(served.body))
        else:
            operation.refuse(served.errors)


async def _never() -> MutableMapping[str, Any]:
    """Whether the client is there is known without asking."""
    return await asyncio.get_running_loop().create_future()
