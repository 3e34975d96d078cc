"""graphql-transport-ws against a real uvicorn: every close code, every malformed message."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from app.kernel.auth import revoke_session
from app.members import member_topic
from schema.edge import connection
from schema.live import live_cursor
from tests.make.members import member
from tests.schema.conftest import Server
from tests.schema.edge.talking import UPDATES, raw, talk, tell

QUERY = {"query": "{ __typename }"}


def subscribe(**payload: Any) -> dict[str, Any]:
    return {"id": "1", "type": "subscribe", "payload": {**QUERY, **payload}}


MALFORMED: dict[str, Any] = {
    "no JSON": "{",
    "nothing": "",
    "a number": "5",
    "null": "null",
    "a text": '"text"',
    "a list": "[]",
    "NaN": '{"type": "ping", "payload": {"a": NaN}}',
    "deep nesting": "[" * 100_000,
    "a deep object": '{"type":"ping","payload":' + '{"a":' * 5_000 + "1" + "}" * 5_001,
    "no type": {"id": "1"},
    "a type that is a list": {"type": ["ping"]},
    "an unknown type": {"type": "start", "id": "1"},
    "a type with a long name": {"type": "x" * 1_000},
    "what only servers say": {"type": "next", "id": "1", "payload": {}},
    "an acknowledgement": {"type": "connection_ack"},
    "a ping with a text": {"type": "ping", "payload": "text"},
    "a pong with a list": {"type": "pong", "payload": []},
    "a payload that is a text": {"id": "1", "type": "subscribe", "payload": "{ __typename }"},
    "no payload": {"id": "1", "type": "subscribe"},
    "a payload that is a list": {"id": "1", "type": "subscribe", "payload": []},
    "no id": {"type": "subscribe", "payload": QUERY},
    "an empty id": {"id": "", "type": "subscribe", "payload": QUERY},
    "a list for an id": {"id": ["1"], "type": "subscribe", "payload": QUERY},
    "a number for an id": {"id": 1, "type": "subscribe", "payload": QUERY},
    "a huge id": {"id": "x" * 10_000, "type": "subscribe", "payload": QUERY},
    "no query": {"id": "1", "type": "subscribe", "payload": {}},
    "a query that is an object": subscribe(query={}),
    "a query that is null": subscribe(query=None),
    "variables that are a list": subscribe(variables=[]),
    "variables that are a text": subscribe(variables="{}"),
    "an operation name that is a number": subscribe(operationName=5),
    "extensions that are a text": subscribe(extensions="x"),
    "NUL in a query": subscribe(query="{ __typename }\0"),
    "NUL in a variable": subscribe(variables={"a": "\0"}),
    "a lone surrogate": '{"id": "\\ud800", "type": "complete"}',
    "complete without an id": {"type": "complete"},
    "complete with a list": {"type": "complete", "id": []},
    "an init payload that is a text": {"type": "connection_init", "payload": "token"},
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_message_closes_with_4400_at_once(server: Server, name: str) -> None:
    given = MALFORMED[name]
    async with talk(server) as talking:
        await talking.socket.send(given if isinstance(given, str) else json.dumps(given))
        code, reason = await talking.closed()
    assert code == 4400, reason
    assert 0 < len(reason.encode()) <= 123


async def test_malformed_messages_count_before_the_acknowledgement_too(server: Server) -> None:
    async with raw(server) as talking:
        await talking.socket.send("nonsense")
        assert (await talking.closed())[0] == 4400


async def test_binary_frames_close_with_4400(server: Server) -> None:
    async with talk(server) as talking:
        await talking.socket.send(b'{"type":"ping"}')
        assert (await talking.closed())[0] == 4400


async def test_text_that_is_not_utf8_closes_with_1007_and_without_a_traceback(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    async with talk(server) as talking:
        await talking.socket.send(b'{"type":"ping","payload":{"a":"\xff"}}', text=True)
        assert (await talking.closed())[0] == 1007
    assert "Traceback" not in "".join(capsys.readouterr())


async def test_messages_above_256_kb_close_with_1009(server: Server) -> None:
    async with talk(server) as talking:
        padding = {"a": "x" * 300_000}
        await talking.say(type="ping", payload=padding)
        assert (await talking.closed())[0] == 1009
    async with talk(server) as talking:
        await talking.say(type="ping", payload={"a": "x" * 200_000})
        assert (await talking.hear())["type"] == "pong"


async def test_a_client_that_says_nothing_is_let_go_with_4408(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "INIT_SECONDS", 0.1)
    async with raw(server) as talking:
        assert (await talking.closed())[0] == 4408


async def test_a_second_init_closes_with_4429(server: Server) -> None:
    async with talk(server) as talking:
        await talking.say(type="connection_init")
        assert (await talking.closed())[0] == 4429


async def test_asking_before_the_acknowledgement_closes_with_4401(server: Server) -> None:
    async with raw(server) as talking:
        await talking.ask("1", "{ __typename }")
        assert (await talking.closed())[0] == 4401


async def test_an_id_that_is_taken_closes_with_4409(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    async with talk(server, await server.token(row.id)) as talking:
        await talking.ask("一", UPDATES)
        await talking.ask("一", UPDATES)
        code, reason = await talking.closed()
    assert (code, reason) == (4409, "Subscriber for 一 already exists")


async def test_an_id_may_be_used_again_when_its_operation_is_over(server: Server) -> None:
    async with talk(server) as talking:
        for _ in range(2):
            await talking.ask("1", "{ __typename }")
            answer = await talking.hear()
            assert (answer["id"], answer["type"]) == ("1", "next")
            assert answer["payload"]["data"] == {"__typename": "Query"}
            assert await talking.hear() == {"id": "1", "type": "complete"}


@pytest.mark.parametrize("token", ["Bearer nonsense", "Basic abc", "x", 5, ["Bearer x"]])
async def test_a_bad_token_closes_with_4403(server: Server, token: object) -> None:
    async with raw(server) as talking:
        await talking.say(type="connection_init", payload={"authorization": token})
        assert (await talking.closed())[0] == 4403


@pytest.mark.parametrize("protocol", [None, "graphql-ws", "chat"])
async def test_other_protocols_are_not_spoken(server: Server, protocol: str | None) -> None:
    async with raw(server, protocol=protocol) as talking:
        assert (await talking.closed())[0] == 4406


async def test_pings_are_answered_and_pongs_are_taken(server: Server) -> None:
    async with talk(server) as talking:
        await talking.say(type="pong")
        await talking.say(type="ping", payload={"at": 1})
        assert await talking.hear() == {"type": "pong", "payload": {"at": 1}}
        await talking.say(type="ping")
        assert await talking.hear() == {"type": "pong"}
        await (await talking.socket.ping())


async def test_completing_what_is_not_there_is_no_mistake(server: Server) -> None:
    async with talk(server) as talking:
        await talking.say(type="complete", id="nobody")
        await talking.say(type="ping")
        assert (await talking.hear())["type"] == "pong"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"query": ""}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nope }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query a { __typename }", "operationName": "b"}, "OPERATION_RESOLUTION_FAILURE"),
        (
            {"query": "query a { __typename } query b { __typename }"},
            "OPERATION_RESOLUTION_FAILURE",
        ),
        ({"query": "subscription { myUpdates { kind } }"}, "NOT_SIGNED_IN"),
        ({"query": "subscription($a: Int!) { myUpdates { kind } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"documentId": "sha256:" + "0" * 64}, None),
    ],
)
async def test_what_cannot_be_executed_is_an_error_of_the_operation(
    server: Server, payload: dict[str, Any], code: str | None
) -> None:
    async with talk(server) as talking:
        await talking.say(id="7", type="subscribe", payload=payload)
        message = await talking.hear()
        assert (message["id"], message["type"]) == ("7", "error")
        said = message["payload"][0]["extensions"]["code"]
        assert said == code if code else said != "INTERNAL"
        assert await talking.silent(), "an error is the operation's end"


async def test_queries_and_mutations_are_answered_and_completed(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    async with talk(server, await server.token(row.id)) as talking:
        await talking.ask(
            "q", "query($n: Boolean!) { me @include(if: $n) { nickname } }", variables={"n": True}
        )
        first = await talking.hear()
        assert first["payload"]["data"] == {"me": {"nickname": row.nickname}}
        assert first["payload"]["extensions"]["cost"]["actual"] >= 1
        assert await talking.hear() == {"id": "q", "type": "complete"}
        await talking.ask("m", "mutation { logout(input: {}) { __typename } }")
        assert (await talking.hear_data("logout"))["__typename"] == "LogoutSuccess"
        assert (await talking.closed())[0] == 4403, "the session of this socket has ended"


async def test_at_most_a_hundred_operations_a_socket(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    async with talk(server, await server.token(row.id)) as talking:
        for number in range(101):
            await talking.ask(str(number), UPDATES)
        refused = await talking.hear()
        assert (refused["id"], refused["type"]) == ("100", "error")
        assert refused["payload"][0]["extensions"]["code"] == "TOO_MANY_OPERATIONS"
        await talking.say(type="complete", id="0")
        await talking.ask("101", "{ __typename }")
        assert (await talking.hear())["id"] == "101"


async def test_a_subscriber_resumes_without_a_gap_or_a_double(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    token, topic = await server.token(row.id), member_topic(row.id)
    async with talk(server, token) as talking:
        await talking.ask("1", UPDATES)
        await until_followed(server, 1)
        await tell(server, topic, 1)
        first = await talking.hear_data("myUpdates")
        assert first["facts"] == {"number": 1}
    await tell(server, topic, 2)
    async with talk(server, token) as talking:
        await talking.ask("1", UPDATES, variables={"after": first["cursor"]})
        second = await talking.hear_data("myUpdates")
        await tell(server, topic, 3)
        third = await talking.hear_data("myUpdates")
    assert [second["facts"]["number"], third["facts"]["number"]] == [2, 3]


async def test_nothing_comes_after_complete(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    async with talk(server, await server.token(row.id)) as talking:
        await talking.ask("1", UPDATES)
        await until_followed(server, 1)
        await talking.say(type="complete", id="1")
        await until_followed(server, 0)
        await tell(server, member_topic(row.id), 1)
        assert await talking.silent()


async def test_a_cursor_of_another_time_is_refused_in_the_clients_language(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    async with talk(server, await server.token(row.id), locale="zh-CN") as talking:
        await talking.ask("1", UPDATES, variables={"after": live_cursor(2**40)})
        error = (await talking.hear())["payload"][0]
    assert error["extensions"]["code"] == "CURSOR_EXPIRED"
    assert "重新订阅" in error["message"]


async def test_a_session_that_ends_takes_its_operations_and_its_socket(server: Server) -> None:
    database = server.parts.resources.database
    async with database.begin() as tx:
        row = await member(tx)
    token = await server.token(row.id)
    caller: Any = await server.parts.resources.callers.of_token(token)
    async with talk(server, token) as talking:
        await talking.ask("1", UPDATES)
        await until_followed(server, 1)
        async with database.begin() as tx:
            await revoke_session(tx, session_id=caller.session_id)
        error = await talking.hear()
        assert (error["type"], error["id"]) == ("error", "1")
        assert error["payload"][0]["extensions"]["code"] == "SESSION_ENDED"
        assert (await talking.closed())[0] == 4403


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://{host}", True),
        ("https://elsewhere.example", False),
        ("null", False),
        ("", False),
        ("http://{host}.elsewhere.example", False),
    ],
)
async def test_pages_of_other_sites_get_no_socket(
    server: Server, origin: str | None, allowed: bool
) -> None:
    host = server.url.removeprefix("http://")
    told = None if origin is None else origin.replace("{host}", host)
    if allowed:
        async with raw(server, origin=told) as talking:
            await talking.say(type="connection_init")
            assert (await talking.hear())["type"] == "connection_ack"
        return
    with pytest.raises(InvalidStatus) as refused:
        async with raw(server, origin=told):
            pass
    assert refused.value.response.status_code == 403


async def test_clients_that_vanish_leave_nothing_behind(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    async with server.parts.resources.database.begin() as tx:
        row = await member(tx)
    token = await server.token(row.id)
    for _ in range(5):
        async with talk(server, token) as talking:
            await talking.ask("1", UPDATES)
            await talking.ask("2", UPDATES)
            await until_followed(server, 2)
            talking.socket.transport.abort()
        await until_followed(server, 0)
    assert server.parts.resources.live.followers == 0
    assert server.parts.resources.callers.watched == 0
    assert "Traceback" not in "".join(capsys.readouterr())


async def until_followed(server: Server, count: int) -> None:
    """Wait until /metrics shows so many subscriptions."""
    async with httpx2.AsyncClient() as client, asyncio.timeout(60):
        while True:
            text = (await client.get(f"{server.url}/metrics")).text
            if f"graphql_subscriptions_active {count}.0" in text:
                return
            await asyncio.sleep(0.02)
