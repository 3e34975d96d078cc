"""Event streams: one operation each, from its first event to its end, whoever ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.kernel.auth import MemberCaller, open_session
from app.kernel.outbox import LiveEvent
from app.members import member_topic
from schema.edge import sse
from tests.conftest import Api
from tests.make.members import member
from tests.schema.edge.asking import TYPENAME, Asker, Client, asker_with

STREAM = "text/event-stream"
UPDATES = "subscription { myUpdates { kind facts } }"


def events(client: Client) -> list[tuple[str, Any]]:
    """The events that came, and what they carry; comments are left out."""
    text = b"".join(message["body"] for message in client.sent[1:]).decode()
    found: list[tuple[str, Any]] = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in fields:
            data = fields["data"]
            found.append((fields["event"], orjson.loads(data) if data else None))
    return found


@asynccontextmanager
async def following(
    api: Api, asker: Asker, query: str = UPDATES, accept: str = STREAM
) -> AsyncIterator[tuple[Client, "asyncio.Task[None]", UUID, UUID]]:
    """A member's stream that has begun: client, task, member and session."""
    async with api.resources.database.begin() as tx:
        row = await member(tx)
        pair = await open_session(tx, kind="member", subject_id=row.id)
    caller = MemberCaller(row.id, pair.session_id)
    token = api.resources.tokens.sign(caller, api.resources.database.clock())
    client = Client([orjson.dumps({"query": query})])
    task = asyncio.create_task(asker.serve(client, accept=accept, authorization=f"Bearer {token}"))
    await until(lambda: bool(client.sent))
    yield client, task, row.id, pair.session_id
    client.left.set()
    await task


async def until(true: Any) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def tell(api: Api, member_id: UUID, number: int) -> None:
    """Put a fact on a member's topic, as the relay does; the hub looks for it by itself."""
    async with api.resources.database.begin() as tx:
        row = LiveEvent(
            topic=member_topic(member_id), kind="told", payload={"number": number}, at=tx.now
        )
        tx.session.add(row)


async def ask(asker: Asker, body: bytes) -> Client:
    client = Client([body])
    await asker.serve(client, accept=STREAM)
    assert client.answer.media == STREAM
    return client


async def test_a_query_is_a_stream_of_one(asker: Asker) -> None:
    (name, answer), end = events(await ask(asker, TYPENAME))
    assert (name, answer["data"]) == ("next", {"__typename": "Query"})
    assert end == ("complete", None)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        (UPDATES, "NOT_SIGNED_IN"),
    ],
)
async def test_mistakes_in_the_operation_are_told_in_the_stream(
    asker: Asker, query: str, code: str
) -> None:
    (_, answer), end = events(await ask(asker, orjson.dumps({"query": query})))
    assert answer["errors"][0]["extensions"]["code"] == code
    assert end == ("complete", None)


async def test_what_is_no_request_is_no_stream(asker: Asker) -> None:
    assert (await asker(b"{", accept=STREAM)).status == 400
    assert (await asker(method="GET", query_string="query={a}", accept=STREAM)).status == 400
    assert (await asker(TYPENAME, accept=STREAM, content_type="text/plain")).status == 415


@pytest.mark.parametrize("accept", [STREAM, f"application/json, {STREAM}"])
async def test_facts_come_as_they_happen(api: Api, accept: str) -> None:
    asker = asker_with(api.resources)
    async with following(api, asker, accept=accept) as (client, task, member_id, _):
        for number in (1, 2):
            await tell(api, member_id, number)
            await until(lambda: len(events(client)) == number)  # noqa: B023
        told = [answer["data"]["myUpdates"]["facts"]["number"] for _, answer in events(client)]
        assert told == [1, 2]
        assert not task.done()
        assert asker.edge.fanout.active == 1
        assert asker.edge.places.running == 0
    assert asker.edge.fanout.active == 0


async def test_a_stream_ends_with_its_session(api: Api) -> None:
    asker = asker_with(api.resources)
    async with following(api, asker) as (client, task, _, session_id):
        asker.edge.resources.callers.end(session_id)
        await task
        (name, answer), end = events(client)
        assert (name, answer["errors"][0]["extensions"]["code"]) == ("next", "SESSION_ENDED")
        assert end == ("complete", None)
    assert asker.edge.fanout.active == 0


async def test_a_quiet_stream_is_kept_open_by_comments(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PING_SECONDS", 0.05)
    async with following(api, asker_with(api.resources)) as (client, _, _, _):
        await until(lambda: sum(message.get("body") == b":\n\n" for message in client.sent) > 2)
        assert not events(client)


async def test_a_server_that_stops_leaves_the_stream_to_be_resumed(api: Api) -> None:
    asker = asker_with(api.resources)
    async with following(api, asker) as (client, task, _, _):
        task.cancel()
        await asyncio.wait({task})
        assert not client.sent[-1].get("more_body")
        assert not events(client), "complete would tell the client that there is nothing more"
    assert asker.edge.fanout.active == 0
