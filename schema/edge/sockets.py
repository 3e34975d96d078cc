"""graphql-transport-ws at `/graphql` of one process, straight on ASGI.

What is decided before a socket is accepted stands here, and what concerns all sockets together:
how many there are and of whom, and the one timer by which dead ones are found.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.kernel.auth import Anonymous, Caller
from schema.edge.callers import NOBODY, Admission, Ended
from schema.edge.connection import TRY_LATER, Connection, Receive
from schema.edge.exchanges import locale_of
from schema.edge.messages import PROTOCOL
from schema.edge.wire import Send, wire_of
from schema.engine.throttle import network_of

if TYPE_CHECKING:
    from schema.edge.http import GraphQLEdge

# Each socket is pinged once in so many seconds, and dropped when it has not answered two pings.
PING_SECONDS = 20
MOST_MISSED = 2
# A peer that reads nothing for so long is let go; it resumes from its cursor.
STUCK_SECONDS = 30.0
BAD_PROTOCOL = 4406

Scope = MutableMapping[str, Any]


class Sockets:
    """The sockets of one process."""

    def __init__(self, edge: "GraphQLEdge") -> None:
        """Serve what an edge serves over HTTP."""
        self.edge = edge
        settings = edge.resources.settings
        self._origins = settings.origins
        self._most = settings.max_sockets
        self._most_of_one = settings.max_sockets_per_caller
        self._parties: Counter[object] = Counter()
        # A turn of the timer looks after one of these.
        self._rounds: list[set[Connection]] = [set() for _ in range(PING_SECONDS)]
        self._next_round = itertools.cycle(range(PING_SECONDS))
        self._beat: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = itertools.count()
        self._homes: dict[Connection, int] = {}

    @property
    def open(self) -> int:
        """How many sockets there are."""
        return len(self._homes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket."""
        if (await receive())["type"] != "websocket.connect":
            return
        headers = dict(scope["headers"])
        if not self._may_come_from(headers.get(b"origin"), headers.get(b"host")):
            await send({"type": "websocket.close", "code": 1008, "reason": "Origin"})
            return
        if self.open >= self._most:
            await _deny(scope, send)
            return
        if PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            reason = "Subprotocol not acceptable"
            await send({"type": "websocket.close", "code": BAD_PROTOCOL, "reason": reason})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        client = scope.get("client")
        locale = locale_of(headers.get(b"accept-language", b"").decode("latin-1"))
        del headers
        connection = Connection(self, wire_of(scope, send), client[0] if client else None, locale)
        self._welcome(connection)
        await connection.serve(receive)

    async def admit(self, authorization: object) -> Admission:
        """Who a token speaks for; nobody for what is no token."""
        if not isinstance(authorization, str):
            return NOBODY
        return await self.edge.resources.callers.admit(authorization)

    def watch(self, admission: Admission, told: Callable[[Ended], None]) -> Callable[[], None]:
        """Be told when a caller's session ends."""
        callers = self.edge.resources.callers
        return callers.watch(admission.caller, admission.expires_at, told)

    def count_in(self, connection: Connection, caller: Caller, address: str | None) -> bool:
        """Count a socket under its caller; False if they have too many."""
        # An address of IPv6 is no more than a name that its owner gives themselves.
        party = address and network_of(address) if isinstance(caller, Anonymous) else caller.id
        if self._parties[party] >= self._most_of_one:
            return False
        self._parties[party] += 1
        connection.party = party
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that ends by itself."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def discard(self, connection: Connection) -> None:
        """Look after a socket no longer."""
        home = self._homes.pop(connection, None)
        if home is None:
            return
        self._rounds[home].discard(connection)
        if connection.party is not None:
            self._parties[connection.party] -= 1
            if not self._parties[connection.party]:
                del self._parties[connection.party]

    def _welcome(self, connection: Connection) -> None:
        home = next(self._arrived) % PING_SECONDS
        self._homes[connection] = home
        self._rounds[home].add(connection)
        if self._beat is None:
            self._beat = asyncio.get_running_loop().call_later(1.0, self._look_after)

    def _look_after(self) -> None:
        """Ping a part of the sockets, and let go of those that are dead or stuck."""
        loop = asyncio.get_running_loop()
        self._beat = loop.call_later(1.0, self._look_after) if self._homes else None
        now = loop.time()
        for connection in tuple(self._rounds[next(self._next_round)]):
            self._look_at(connection, now)

    def _look_at(self, connection: Connection, now: float) -> None:
        wire = connection.wire
        if wire.paused_since is not None:
            # A ping would only wait with the rest; whether the peer reads is what counts.
            if now - wire.paused_since >= STUCK_SECONDS:
                connection.close(TRY_LATER, "The socket is not read.")
            return
        connection.missed = 0 if wire.is_alive() else connection.missed + 1
        if connection.missed >= MOST_MISSED:
            wire.abort()
        else:
            wire.ping()

    def _may_come_from(self, origin: bytes | None, host: bytes | None) -> bool:
        """True for apps, which send no Origin, pages of this host, and those that are allowed.

        Browsers open sockets to anywhere: only the Origin says which page did.
        """
        if origin is None:
            return True
        told = origin.decode("latin-1")
        if told in self._origins:
            return True
        return host is not None and urlsplit(told).netloc.lower() == host.decode("latin-1").lower()


async def _deny(scope: Scope, send: Send) -> None:
    """Refuse a socket before it is accepted because there are too many."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": TRY_LATER, "reason": ""})
        return
    headers = [(b"content-type", b"text/plain"), (b"retry-after", b"5")]
    await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"Too many sockets."})
