"""A client of graphql-transport-ws that says exactly what it is told to say."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from app.kernel.outbox import LiveEvent
from tests.schema.conftest import Server

PROTOCOL = "graphql-transport-ws"
PATIENCE = 60
UPDATES = "subscription($after: String) { myUpdates(after: $after) { cursor kind facts } }"


class Talk:
    """One socket, message by message."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def ask(self, id: str, query: str, **payload: Any) -> None:
        await self.say(id=id, type="subscribe", payload={"query": query, **payload})

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.socket.recv())

    async def hear_data(self, field: str) -> Any:
        message = await self.hear()
        assert message["type"] == "next", message
        return message["payload"]["data"][field]

    async def closed(self) -> tuple[int, str]:
        """The code and the reason that the server closes with."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionClosed):
                async for _ in self.socket:
                    pass
            await self.socket.wait_closed()
        code, reason = self.socket.close_code, self.socket.close_reason
        assert code is not None
        assert code != 1006, "the connection was dropped"
        return code, reason or ""

    async def silent(self, seconds: float = 0.3) -> bool:
        """True when nothing comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def raw(
    server: Server, *, protocol: str | None = PROTOCOL, origin: str | None = None
) -> AsyncGenerator[Talk]:
    """A socket that has said nothing yet."""
    chosen = [Subprotocol(protocol)] if protocol else None
    async with connect(
        server.socket_url,
        subprotocols=chosen,
        origin=cast(Origin | None, origin),
        max_size=None,
        ping_interval=None,
    ) as socket:
        yield Talk(socket)


@asynccontextmanager
async def talk(server: Server, token: str | None = None, **init: Any) -> AsyncGenerator[Talk]:
    """A socket that has been acknowledged."""
    async with raw(server) as talking:
        bearer = {} if token is None else {"authorization": f"Bearer {token}"}
        await talking.say(type="connection_init", payload={**bearer, **init})
        assert await talking.hear() == {"type": "connection_ack"}
        yield talking


async def tell(server: Server, topic: str, number: int) -> int:
    """Put a fact on a topic, as the relay does; answers its number in the log."""
    async with server.parts.resources.database.begin() as tx:
        row = LiveEvent(topic=topic, kind="test.told", payload={"number": number}, at=tx.now)
        tx.session.add(row)
    await server.parts.redis.publish("linli:live", b'{"before":-1,"facts":[]}')
    return row.seq
