"""Slow requests: cut off with their work in the database, and bounded in number."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import text

from app.kernel.auth import MemberCaller, open_session
from schema.edge import stints
from schema.edge.stints import DeadlinePassed, Places, Stint
from tests.conftest import Api
from tests.make.members import member
from tests.schema.edge.asking import JSON, RESPONSE, Asker, Client, asker_with

ME = "{ me { nickname } }"
CHECK_IN = """mutation { checkIn(input: {idempotencyKey: "today"}) {
  __typename ... on UserError { code } } }"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@asynccontextmanager
async def locked(api: Api, table: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A database in which whoever touches this table waits, until the block ends or lets go."""
    async with api.resources.database.engine.connect() as connection:
        await connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield connection.rollback
        await connection.rollback()


async def waiting(api: Api) -> int:
    """How many backends wait for a lock."""
    async with api.resources.database.engine.connect() as connection:
        return (await connection.execute(text(WAITING))).scalar_one()


async def until_waiting(api: Api, number: int) -> None:
    async with asyncio.timeout(60):
        while await waiting(api) != number:
            await asyncio.sleep(0.02)


def slow(api: Api, **settings: Any) -> Asker:
    """An asker whose queries all go to the database, and that waits for them unless told."""
    return asker_with(api.resources, **{"answer_cache_mb": 0, "request_seconds": 120, **settings})


async def signed_in(api: Api) -> tuple[UUID, str]:
    """A member and their Authorization header."""
    async with api.resources.database.begin() as tx:
        row = await member(tx)
        pair = await open_session(tx, kind="member", subject_id=row.id)
    caller = MemberCaller(row.id, pair.session_id)
    token = api.resources.tokens.sign(caller, api.resources.database.clock())
    return row.id, f"Bearer {token}"


async def check_ins(api: Api) -> int:
    async with api.resources.database.engine.connect() as connection:
        return (await connection.execute(text("SELECT count(*) FROM check_in"))).scalar_one()


@pytest.mark.parametrize(("media", "status"), [(JSON, 200), (RESPONSE, 504)])
async def test_a_query_over_its_time_ends_with_its_statement(
    api: Api, media: str, status: int
) -> None:
    asker, patient = slow(api, request_seconds=0.3), slow(api)
    _, authorization = await signed_in(api)
    assert "errors" not in (await patient.ask(ME, authorization=authorization)).json
    async with locked(api, "member"):
        answer = await asker.ask(ME, authorization=authorization, accept=media)
        assert (answer.status, answer.media) == (status, media)
        assert answer.json["errors"] == [
            {
                "message": "The request took too long; try again.",
                "extensions": {"code": "DEADLINE_EXCEEDED"},
            }
        ]
        assert "data" not in answer.json
        await until_waiting(api, 0)
    assert "errors" not in (await patient.ask(ME, authorization=authorization)).json
    assert asker.edge.places.running == 0


async def test_cut_off_queries_leave_no_connection_behind(api: Api) -> None:
    asker = slow(api, request_seconds=0.2)
    _, authorization = await signed_in(api)
    async with locked(api, "member"):
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(asker.ask(ME, authorization=authorization)) for _ in range(60)
            ]
        assert {task.result().code for task in asked} == {"DEADLINE_EXCEEDED"}
        await until_waiting(api, 0)
    patient = slow(api)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(patient.ask(ME, authorization=authorization)) for _ in range(60)]
    assert not [task.result().json for task in asked if "errors" in task.result().json]


async def test_a_mutation_over_its_time_is_done_wholly_or_not(api: Api) -> None:
    asker = slow(api, request_seconds=0.3)
    _, authorization = await signed_in(api)
    async with locked(api, "check_in"):
        answer = await asker.ask(CHECK_IN, authorization=authorization)
        assert answer.code == "DEADLINE_EXCEEDED"
        assert "same idempotency key" in answer.json["errors"][0]["message"]
        chinese = await asker.ask(CHECK_IN, authorization=authorization, accept_language="zh")
        assert "幂等键" in chinese.json["errors"][0]["message"]
        await until_waiting(api, 0)
    patient = slow(api)
    again = await patient.ask(CHECK_IN, authorization=authorization)
    assert again.data["checkIn"]["__typename"] == "CheckInSuccess"
    twice = await patient.ask(CHECK_IN, authorization=authorization)
    assert twice.data == again.data
    assert await check_ins(api) == 1


async def test_a_query_ends_when_its_client_leaves(api: Api) -> None:
    asker = slow(api)
    _, authorization = await signed_in(api)
    client = Client([orjson.dumps({"query": ME})])
    async with locked(api, "member"):
        task = asyncio.create_task(asker.serve(client, authorization=authorization))
        await until_waiting(api, 1)
        client.left.set()
        await task
        assert client.sent == []
        await until_waiting(api, 0)
    assert asker.edge.places.running == 0


async def test_a_mutation_goes_on_without_its_client(api: Api) -> None:
    asker = slow(api)
    _, authorization = await signed_in(api)
    client = Client([orjson.dumps({"query": CHECK_IN})])
    async with locked(api, "check_in"):
        task = asyncio.create_task(asker.serve(client, authorization=authorization))
        await until_waiting(api, 1)
        client.left.set()
        await asyncio.sleep(0.1)
        assert not task.done()
    await task
    assert await check_ins(api) == 1


async def test_more_requests_than_may_wait_are_sent_away(api: Api) -> None:
    asker = slow(api, max_concurrent=1)
    _, authorization = await signed_in(api)
    places = asker.edge.places
    async with locked(api, "member") as let_go, asyncio.TaskGroup() as group:
        asked = [group.create_task(asker.ask(ME, authorization=authorization)) for _ in range(5)]
        await until_waiting(api, 1)
        assert (places.running, places.waiting) == (1, 4)
        for media in (JSON, RESPONSE):
            answer = await asker.ask(ME, authorization=authorization, accept=media)
            assert (answer.status, answer.code) == (503, "OVERLOADED")
            assert (answer.headers["retry-after"], answer.media) == ("1", media)
        assert not any(task.done() for task in asked)
        await let_go()
    assert [task.result().json["data"]["me"] is not None for task in asked] == [True] * 5
    assert (places.running, places.waiting) == (0, 0)


async def test_who_waits_for_a_place_too_long_is_told_so() -> None:
    places = Places(1)
    await places.enter()
    with pytest.raises(stints.Overloaded):
        async with Stint(places, 0.05, asyncio.Event().wait):  # type: ignore[arg-type]
            raise AssertionError("there was no place")
    places.leave()
    assert (places.running, places.waiting) == (0, 0)
    async with Stint(places, 5, asyncio.Event().wait):  # type: ignore[arg-type]
        assert places.running == 1


async def test_work_that_takes_a_cancellation_for_its_own_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stints, "AGAIN_SECONDS", 0.01)
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        for _ in range(3):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(30)

    with pytest.raises(DeadlinePassed):
        async with Stint(Places(1), 0.01, asyncio.Event().wait):  # type: ignore[arg-type]
            await work()
    task = asyncio.current_task()
    assert task is not None
    assert (swallowed, task.cancelling()) == (3, 0)


async def test_a_cancellation_of_others_is_not_taken_for_a_deadline() -> None:
    async def work() -> None:
        async with Stint(Places(1), 30, asyncio.Event().wait):  # type: ignore[arg-type]
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
