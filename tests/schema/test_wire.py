"""GraphQL over HTTP and graphql-transport-ws, as clients speak it."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.kernel.outbox import LiveEvent
from app.members import member_topic
from schema.live import live_cursor
from tests.make.members import community, member
from tests.schema.conftest import Server

WECHAT = """mutation { loginWithWechat(input: {code: "dev-amy"}) {
  __typename ... on MemberSession { session { accessToken } member { id nickname } }
  ... on UserError { code message } } }"""
UPDATES = "subscription($after: String) { myUpdates(after: $after) { cursor kind facts } }"


async def post(server: Server, document: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        return await client.post(f"{server.url}/graphql", json={"query": document}, headers=headers)


async def open_socket(server: Server, payload: dict[str, Any]) -> ClientConnection:
    socket = await connect(server.socket_url, subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    return socket


async def tell(server: Server, topic: str, number: int) -> None:
    """Put a fact on a topic, as the relay does."""
    async with server.parts.resources.database.begin() as tx:
        row = LiveEvent(topic=topic, kind="test.told", payload={"number": number}, at=tx.now)
        tx.session.add(row)
    await server.parts.redis.publish("linli:live", b'{"before":-1,"facts":[]}')


async def test_a_member_signs_in_through_the_fake_wechat(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        await community(tx)
    first = (await post(server, WECHAT)).json()["data"]["loginWithWechat"]
    again = (await post(server, WECHAT)).json()["data"]["loginWithWechat"]
    assert first["__typename"] == "MemberSession"
    assert first["member"] == again["member"]
    token = first["session"]["accessToken"]
    me = await post(server, "{ me { id } }", Authorization=f"Bearer {token}")
    assert me.json()["data"]["me"]["id"] == first["member"]["id"]
    bad = (await post(server, WECHAT.replace("dev-amy", "nonsense"))).json()
    assert bad["data"]["loginWithWechat"]["code"] == "WECHAT_REFUSED"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ tiers { nope } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ members(first: true) { nodes { id } } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ node { id } }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_mistakes_in_documents_are_shown_with_a_code(
    server: Server, document: str, code: str
) -> None:
    body = (await post(server, document)).json()
    assert body["errors"][0]["extensions"]["code"] == code


async def test_a_signed_out_token_is_nobodys(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    token = await server.token(row.id)
    bearer = f"Bearer {token}"
    out = await post(
        server,
        "mutation { logout(input: {}) { ... on LogoutSuccess { ended } } }",
        Authorization=bearer,
    )
    assert out.json()["data"]["logout"] == {"ended": True}
    me = (await post(server, "{ me { id } }", Authorization=bearer)).json()
    assert me["errors"][0]["extensions"]["code"] == "NOT_SIGNED_IN"


@pytest.mark.parametrize(
    ("text", "status"), [(r"\u0000", 400), (r"a\\\u0000", 400), (r"C:\\u0000", 200)]
)
async def test_nul_in_variables_is_refused_by_name(server: Server, text: str, status: int) -> None:
    document = "query ($text: ID!) { node(id: $text) { id } }"
    body = f'{{"query": "{document}", "variables": {{"text": "{text}"}}}}'
    async with httpx2.AsyncClient() as client:
        answer = await client.post(
            f"{server.url}/graphql", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == status, answer.text
    assert ("NUL" in answer.text) is (status == 400)


async def test_a_subscription_over_post_is_told_where_to_go(server: Server) -> None:
    answer = await post(server, "subscription { myUpdates { kind } }")
    assert answer.status_code == 200
    assert "text/event-stream" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "payload",
    [
        {"query": ""},
        {"query": "query a { tiers { code } }", "operationName": "b"},
        {"query": "fragment a on Query { tiers { code } }"},
    ],
)
async def test_no_operation_over_a_socket_is_the_clients_mistake(
    server: Server, payload: dict[str, str]
) -> None:
    socket = await open_socket(server, {})
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    async with asyncio.timeout(20):
        message = json.loads(await socket.recv())
    assert message["payload"][0]["extensions"]["code"] == "BAD_REQUEST", message
    await socket.close()


@pytest.mark.parametrize("text", ["[]", "5", "null"])
async def test_a_socket_message_that_is_no_object_closes_with_4400(
    server: Server, text: str
) -> None:
    socket = await open_socket(server, {})
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    await socket.send(text)
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400


async def test_a_subscriber_resumes_without_a_gap_or_a_double(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    token = await server.token(row.id)
    topic = member_topic(row.id)
    hello = {"authorization": f"Bearer {token}"}

    async def listen(socket: ClientConnection, after: str | None) -> None:
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": UPDATES, "variables": {"after": after}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))

    async def update(socket: ClientConnection) -> dict[str, Any]:
        async with asyncio.timeout(20):
            message = json.loads(await socket.recv())
        assert message["type"] == "next", message
        return message["payload"]["data"]["myUpdates"]

    async with await open_socket(server, hello) as socket:
        await listen(socket, None)
        while not server.parts.resources.live.followers:
            await asyncio.sleep(0.01)
        await tell(server, topic, 1)
        first = await update(socket)
        assert first["facts"] == {"number": 1}
    await tell(server, topic, 2)
    async with await open_socket(server, hello) as socket:
        await listen(socket, first["cursor"])
        second = await update(socket)
        await tell(server, topic, 3)
        third = await update(socket)
    assert [second["facts"]["number"], third["facts"]["number"]] == [2, 3]


async def test_a_cursor_of_another_time_is_refused_in_the_clients_language(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    hello = {"authorization": f"Bearer {await server.token(row.id)}", "locale": "zh-CN"}
    async with await open_socket(server, hello) as socket:
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": UPDATES, "variables": {"after": live_cursor(2**40)}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        async with asyncio.timeout(20):
            message = json.loads(await socket.recv())
    error = (message["payload"].get("errors") or message["payload"])[0]
    assert error["extensions"]["code"] == "CURSOR_EXPIRED"
    assert "重新订阅" in error["message"]


async def test_a_bad_token_closes_the_socket_with_4403(server: Server) -> None:
    socket = await open_socket(server, {"authorization": "Bearer nonsense"})
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_an_anonymous_subscription_is_an_error_with_a_code(server: Server) -> None:
    async with await open_socket(server, {}) as socket:
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": "subscription { myUpdates { kind } }"}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        async with asyncio.timeout(20):
            message = json.loads(await socket.recv())
    text = json.dumps(message)
    assert "NOT_SIGNED_IN" in text


async def test_health_readiness_and_metrics(server: Server) -> None:
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"{server.url}/healthz")).text == "ok"
        ready = (await client.get(f"{server.url}/readyz")).json()
        assert ready == {"ready": True, "database": "ok", "migrations": "ok", "redis": "ok"}
        metrics = (await client.get(f"{server.url}/metrics")).text
        assert "graphql_subscriptions_active 0.0" in metrics
        page = await client.get(f"{server.url}/graphql", headers={"Accept": "text/html"})
        assert "/graphiql/page.js" in page.text
        assert (await client.get(f"{server.url}/graphiql/graphiql.min.js")).status_code == 200
