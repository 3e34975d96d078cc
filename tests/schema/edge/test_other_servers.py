"""Sockets where the server is not ours: by plain ASGI, as another ASGI server would serve them."""

import asyncio
from typing import Any

import pytest

from app.members import member_topic
from tests.make.members import member
from tests.schema.conftest import Server
from tests.schema.edge.talking import UPDATES, raw, talk, tell
from tests.schema.edge.test_sockets import until_followed


@pytest.fixture
def sockets_by() -> Any:
    """uvicorn's own, which knows nothing of ours."""
    return "websockets-sansio"


async def test_operations_are_answered_and_followed_in_order(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    async with talk(server, await server.token(row.id)) as talking:
        await talking.ask("q", "{ __typename }")
        assert (await talking.hear())["payload"]["data"] == {"__typename": "Query"}
        assert (await talking.hear())["type"] == "complete"
        await talking.ask("1", UPDATES)
        await until_followed(server, 1)
        for number in range(50):
            await tell(server, member_topic(row.id), number)
        heard = [(await talking.hear_data("myUpdates"))["facts"]["number"] for _ in range(50)]
        assert heard == list(range(50))
    await until_followed(server, 0)


@pytest.mark.parametrize(
    ("text", "code"), [("nonsense", 4400), ('{"type":"subscribe"}', 4400), ("x" * 300_000, 1009)]
)
async def test_bad_messages_close_the_socket(server: Server, text: str, code: int) -> None:
    async with talk(server) as talking:
        await talking.socket.send(text)
        assert (await talking.closed())[0] == code


async def test_too_many_sockets_are_sent_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schema.edge.sockets.Sockets.open", 10**9)
    with pytest.raises(Exception, match="503"):
        async with asyncio.timeout(60), raw(server):
            pass
