"""Live answers are made once for all who are sent the same, and never for anybody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from app import drops
from app.kernel.auth import ANONYMOUS, MemberCaller, StaffCaller
from app.kernel.db import Database
from app.members import member_topic
from schema.engine import facts
from schema.engine.audiences import audience_of
from schema.live import live_cursor
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import drops as make
from tests.make.examples import operation
from tests.make.members import member
from tests.schema.engine.listening import Audience, Listener, audience, tell

WATCH = """subscription ($dropId: ID!, $after: String) {
  dropUpdated(dropId: $dropId, after: $after) { cursor drop { title state remaining } } }"""
MINE = """subscription ($dropId: ID!, $after: String) {
  dropUpdated(dropId: $dropId, after: $after) { drop { remaining myClaim { claimedAt } } } }"""
UPDATES = "subscription ($after: String) { myUpdates(after: $after) { cursor facts } }"
CLAIM = operation("claim-drop.graphql", "ClaimDrop")

Relay = Callable[[], Awaitable[int]]
AsMember = Callable[[UUID], MemberCaller]


@pytest.fixture
async def gathered(api: Api) -> AsyncIterator[Audience]:
    async with audience(api) as found:
        yield found


@pytest.fixture
async def members(database: Database, as_member: AsMember) -> list[MemberCaller]:
    async with database.begin() as tx:
        rows = [await member(tx) for _ in range(4)]
    return [as_member(row.id) for row in rows]


async def open_drop(api: Api, stock: int = 50) -> UUID:
    async with api.resources.database.begin() as tx:
        return (await make.open_drop(tx, stock=stock)).id


def of(drop_id: UUID, after: str | None = None) -> dict[str, Any]:
    return {"dropId": global_id("Drop", drop_id), "after": after}


async def claim(api: Api, drop_id: UUID, caller: MemberCaller) -> None:
    given = {"dropId": global_id("Drop", drop_id), "idempotencyKey": "tap"}
    answer = await api(CLAIM, given, caller=caller)
    assert "claim" in answer["data"]["claimDrop"], answer


async def test_two_hundred_who_join_at_once_cost_one_read_and_one_answer(
    api: Api,
    gathered: Audience,
    members: list[MemberCaller],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drop_id, reads, read_by_id = await open_drop(api), [0], drops.by_id

    async def counting(*args: Any) -> Any:
        reads[0] += 1
        return await read_by_id(*args)

    monkeypatch.setattr(drops, "by_id", counting)
    joining = [gathered.join(WATCH, of(drop_id), members[n % 4]) for n in range(200)]
    listeners = await asyncio.gather(*joining)
    for listener in listeners:
        (data,) = await listener.has(1)
        assert data["dropUpdated"]["drop"]["remaining"] == 50
    late = await gathered.join(WATCH, of(drop_id), members[0])
    assert len(late.payloads) == 1, "the latest answer is sent at once"
    assert len({id(one.payloads[0]) for one in [*listeners, late]}) == 1
    assert gathered.fanout.groups == 1
    assert reads == [1]


async def test_subscriptions_that_differ_are_groups_of_their_own(
    api: Api, gathered: Audience, members: list[MemberCaller]
) -> None:
    drop_id, other = await open_drop(api), await open_drop(api)
    await gathered.join(WATCH, of(drop_id), members[0])
    assert gathered.fanout.groups == 1
    await gathered.join(WATCH, of(drop_id) | {"unknown": 1}, members[1])
    assert gathered.fanout.groups == 1, "what the operation does not declare changes nothing"
    await gathered.join(WATCH, of(other), members[1])
    await gathered.join(WATCH.replace("title", "id"), of(drop_id), members[1])
    await gathered.join(WATCH, of(drop_id), members[1], locale="zh-CN")
    assert gathered.fanout.groups == 4


async def test_what_is_personal_is_seen_by_its_owner_alone(
    api: Api, gathered: Audience, relay: Relay, members: list[MemberCaller]
) -> None:
    drop_id = await open_drop(api)
    claimer, idle, *_ = members
    theirs = await gathered.join(MINE, of(drop_id), claimer)
    again = await gathered.join(MINE, of(drop_id), claimer)
    others = await gathered.join(MINE, of(drop_id), idle)
    assert gathered.fanout.groups == 2
    await claim(api, drop_id, claimer)
    await relay()
    for listener, has_claim in ((theirs, True), (again, True), (others, False)):
        last = (await listener.has(2))[-1]["dropUpdated"]["drop"]
        assert last["remaining"] == 49
        assert (last["myClaim"] is not None) is has_claim


PERSONAL = {
    "a resolver that says nothing": "dropUpdated(dropId: $id) { drop { myClaim { claimedAt } } }",
    "under another name": "dropUpdated(dropId: $id) { drop { a: myClaim { claimedAt } } }",
    "in a fragment": "dropUpdated(dropId: $id) { ...F }",
    "in an inline fragment": "dropUpdated(dropId: $id) { drop { ... { myClaim { claimedAt } } } }",
    "in a fragment on an interface": (
        "dropUpdated(dropId: $id) { drop { ... on Node { ... on Drop { batch { id } } } } }"
    ),
    "under @include": "dropUpdated(dropId: $id) { drop { myClaim @skip(if: $on) { __typename } } }",
    "with a rule of its own": "dropUpdated(dropId: $id) { drop { batch { id } } }",
    "a tally": "ballotTally(ballotId: $id) { ballot { tally { turnout } } }",
    "a vote": "ballotTally(ballotId: $id) { ballot { myVote { castAt } } }",
    "a right": "ballotTally(ballotId: $id) { ballot { mayVote } }",
    "deep below what is shared": "churnAlertRaised { alert { member { risk { probability } } } }",
}
SHARED = {
    "attributes": "dropUpdated(dropId: $id) { __typename cursor drop { id remaining __typename } }",
    "a shared resolver": "dropUpdated(dropId: $id) { drop { template { name } } }",
    "a root's own tally": "ballotTally(ballotId: $id) { tally { options { votes } } }",
    "a member's attributes": "churnAlertRaised { alert { reasons member { nickname } } }",
    "the clock": "serverTime { time }",
}
FRAGMENT = "fragment F on DropUpdate { drop { myClaim { claimedAt } } }"


@pytest.mark.parametrize(
    ("selection", "shared"),
    [(text, False) for text in PERSONAL.values()] + [(text, True) for text in SHARED.values()],
)
async def test_a_selection_is_for_everyone_only_where_each_field_is(
    gathered: Audience, selection: str, shared: bool
) -> None:
    declared = [
        f"${name}: {kind}"
        for name, kind in (("id", "ID!"), ("on", "Boolean!"))
        if f"${name}" in selection
    ]
    head = f"subscription ({', '.join(declared)})" if declared else "subscription"
    document = f"{head} {{ {selection} }}" + (FRAGMENT if "...F" in selection else "")
    prepared = gathered.engine.documents.prepare(document)
    assert audience_of(prepared, gathered.engine.schema).is_everyone is shared


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (WATCH, ("dropId",)),
        ("subscription ($a: String) { myUpdates(after: $a) { kind } }", ()),
        ("subscription ($a: String = null) { x: myUpdates(after: $a) { kind } }", ()),
        (
            "subscription ($id: ID!, $on: Boolean!) { dropUpdated(dropId: $id) "
            "{ drop { id @skip(if: $on) } } }",
            ("id", "on"),
        ),
    ],
)
async def test_only_the_cursor_may_differ_within_a_group(
    gathered: Audience, document: str, variables: tuple[str, ...]
) -> None:
    prepared = gathered.engine.documents.prepare(document)
    assert audience_of(prepared, gathered.engine.schema).variables == variables


async def test_a_burst_is_merged_and_its_end_is_seen(
    api: Api, gathered: Audience, relay: Relay, database: Database, as_member: AsMember
) -> None:
    drop_id = await open_drop(api, stock=30)
    async with database.begin() as tx:
        callers = [as_member((await member(tx)).id) for _ in range(30)]
    listener = await gathered.join(WATCH, of(drop_id), callers[0])
    for caller in callers:
        await claim(api, drop_id, caller)
        await relay()
    await listener.until(lambda one: one.data[-1]["dropUpdated"]["drop"]["remaining"] == 0)
    left = [data["dropUpdated"]["drop"]["remaining"] for data in listener.data]
    assert left == sorted(set(left), reverse=True)


async def test_who_resumes_is_sent_what_is_newer_and_nothing_else(
    api: Api, gathered: Audience, relay: Relay, members: list[MemberCaller]
) -> None:
    drop_id = await open_drop(api)
    first = await gathered.join(WATCH, of(drop_id), members[0])
    cursor = (await first.has(1))[0]["dropUpdated"]["cursor"]
    same = await gathered.join(WATCH, of(drop_id, cursor), members[1])
    assert same.payloads == []
    await claim(api, drop_id, members[0])
    await relay()
    assert (await same.has(1))[0]["dropUpdated"]["drop"]["remaining"] == 49
    behind = await gathered.join(WATCH, of(drop_id, cursor), members[2])
    assert behind.data[0]["dropUpdated"]["drop"]["remaining"] == 49
    newest = behind.data[0]["dropUpdated"]["cursor"]
    level = await gathered.join(WATCH, of(drop_id, newest), members[3])
    assert level.payloads == []
    assert gathered.fanout.groups == 1


async def test_what_is_not_there_fails_everyone_who_asked(
    gathered: Audience, members: list[MemberCaller]
) -> None:
    nothing = UUID(int=5)
    joining = [gathered.join(WATCH, of(nothing), caller) for caller in members]
    listeners = await asyncio.gather(*joining)
    for listener in listeners:
        await listener.until(lambda one: bool(one.failed))
        assert listener.failed == ["DROP_NOT_FOUND"]


async def test_a_listener_who_leaves_is_sent_nothing_more(
    database: Database, gathered: Audience, members: list[MemberCaller]
) -> None:
    one, two = [await gathered.join(UPDATES, None, members[0]) for _ in range(2)]
    assert gathered.fanout.active == 2
    one.leave()
    one.leave()
    assert gathered.fanout.active == 1
    await tell(database, member_topic(members[0].id), 1)
    await two.has(1)
    assert one.payloads == []


async def test_facts_too_fast_to_be_made_into_answers_end_the_group(
    database: Database,
    gathered: Audience,
    members: list[MemberCaller],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(facts, "MOST_WAITING", 5)
    listener = await gathered.join(UPDATES, None, members[0])
    await tell(database, member_topic(members[0].id), *range(20))
    await listener.until(lambda one: bool(one.failed))
    assert listener.failed == ["SLOW_CONSUMER"]


async def test_the_server_tells_the_time_at_whole_seconds_to_everyone(gathered: Audience) -> None:
    document = "subscription { serverTime { time } }"
    one, two = [await gathered.join(document, None, ANONYMOUS) for _ in range(2)]
    await one.has(2)
    assert len(two.payloads) == len(one.payloads)
    assert one.payloads[0] is two.payloads[0]
    assert gathered.fanout.groups == 1


async def test_staff_and_members_share_what_is_for_everyone(
    api: Api, gathered: Audience, members: list[MemberCaller], owner: StaffCaller
) -> None:
    drop_id = await open_drop(api)
    one = await gathered.join(WATCH, of(drop_id), members[0])
    two = await gathered.join(WATCH, of(drop_id), owner)
    await two.has(1)
    assert (await one.has(1)) == two.data
    assert gathered.fanout.groups == 1


# What may happen to followers of one topic: a fact is told, one joins where another one left off
# (or from now on), one leaves, or a moment passes.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(1, 4)),
        st.tuples(st.just("join"), st.integers(-1, 12)),
        st.tuples(st.just("leave"), st.integers(0, 12)),
        st.tuples(st.just("pass"), st.integers(0, 3)),
    ),
    min_size=3,
    max_size=14,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
async def test_however_they_come_and_go_nobody_misses_or_sees_twice(
    api: Api, database: Database, redis: Redis, steps: list[tuple[str, int]]
) -> None:
    async with database.begin() as tx:
        caller = MemberCaller((await member(tx)).id, UUID(int=1))
    topic = member_topic(caller.id)
    told: list[int] = await tell(database, topic, 0)
    due: dict[Listener, int] = {}
    async with audience(api) as gathered:
        for step, number in steps:
            if step == "tell":
                told += await tell(database, topic, *range(len(told), len(told) + number))
                await redis.publish("linli:live", b'{"before":-1,"facts":[]}')
            elif step == "join" and number >= 0:
                after = told[number % len(told)]
                given = {"after": live_cursor(after)}
                due[await gathered.join(UPDATES, given, caller)] = after
            elif step == "join":
                # From now on: whatever this process has not handed out yet is to come.
                after = api.resources.live.last
                due[await gathered.join(UPDATES, None, caller)] = after
            elif step == "leave" and due:
                listener = sorted(due, key=gathered.listeners.index)[number % len(due)]
                listener.leave()
                check(listener, told, due.pop(listener), whole=False)
            else:
                await asyncio.sleep(number / 200)
        for listener, after in due.items():
            owed = len([seq for seq in told if seq > after])
            await listener.until(lambda one, owed=owed: len(one.payloads) >= owed)
        await asyncio.sleep(0.02)
        for listener, after in due.items():
            check(listener, told, after, whole=True)


def check(listener: Listener, told: list[int], after: int, *, whole: bool) -> None:
    """Everything after the cursor, in order, each once; all of it from those who stayed."""
    assert not listener.failed
    heard = [data["myUpdates"]["facts"]["n"] for data in listener.data]
    owed = [number for number, seq in enumerate(told) if seq > after]
    assert heard == (owed if whole else owed[: len(heard)])
