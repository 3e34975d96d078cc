"""Ballots as clients meet them: the documents of examples/graphql, and who sees what."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.ballots import ResultsVisibility
from app.kernel.auth import MemberCaller, StaffCaller
from app.kernel.db import Database
from schema.live import live_cursor
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import ballots as make
from tests.make import members as make_members

EXAMPLES = Path(__file__).parents[2] / "examples" / "graphql"
AsMember = Callable[[UUID], MemberCaller]


def document(name: str) -> str:
    return (EXAMPLES / f"{name}.graphql").read_text()


def vote(ballot: UUID, option: UUID, key: str) -> dict[str, Any]:
    ids = {"ballotId": global_id("Ballot", ballot), "optionId": global_id("BallotOption", option)}
    return {"input": {**ids, "idempotencyKey": key}}


def votes(tally: dict[str, Any]) -> list[int | None]:
    return [option["votes"] for option in tally["options"]]


async def test_a_ballot_from_draft_to_decision(
    api: Api, database: Database, clock: TestClock, owner: StaffCaller, as_member: AsMember
) -> None:
    async with database.begin() as tx:
        voter = as_member(await make.voter(tx))
        outsider = as_member((await make_members.member(tx)).id)
    declared = {
        "question": "团购送货改到晚上七点？",
        "options": ["同意", "不同意"],
        "opensAt": clock.now.isoformat(),
        "closesAt": (clock.now + timedelta(days=3)).isoformat(),
        "visibility": "UNTIL_VOTED",
        "idempotencyKey": "one",
    }
    made = await api(document("create-ballot"), {"input": declared}, caller=owner)
    ballot = made["data"]["createBallot"]["ballot"]
    again = await api(document("create-ballot"), {"input": declared}, caller=owner)
    assert again["data"]["createBallot"]["ballot"]["id"] == ballot["id"]
    assert ballot["status"] == "DRAFT"
    hidden = await api(document("ballots"), {}, caller=voter)
    assert hidden["data"]["ballots"]["nodes"] == []

    which = {"input": {"ballotId": ballot["id"]}}
    opened = await api(document("open-ballot"), which, caller=owner)
    assert opened["data"]["openBallot"]["ballot"]["tally"]["rollSize"] == 1
    reopened = await api(document("open-ballot"), which, caller=owner)
    assert reopened["data"]["openBallot"]["code"] == "BALLOT_NOT_DRAFT"

    listed = await api(document("ballots"), {}, caller=voter)
    assert [node["mayVote"] for node in listed["data"]["ballots"]["nodes"]] == [True]
    choice = {
        "ballotId": ballot["id"],
        "optionId": ballot["tally"]["options"][0]["id"],
        "idempotencyKey": "tap",
    }
    for _ in range(2):
        cast = await api(document("vote"), {"input": choice}, caller=voter)
        shown = cast["data"]["castVote"]["ballot"]
        assert shown["myVote"]["optionId"] == choice["optionId"]
        assert votes(shown["tally"]) == [1, 0]
    other = {"input": {**choice, "idempotencyKey": "another tap"}}
    for caller, code in ((voter, "ALREADY_VOTED"), (outsider, "NOT_ON_ROLL")):
        refused = await api(document("vote"), other, caller=caller)
        assert refused["data"]["castVote"]["code"] == code

    reason = {"input": {"ballotId": ballot["id"], "reason": "多数同意"}}
    closed = await api(document("close-ballot"), reason, caller=owner)
    after = closed["data"]["closeBallot"]["ballot"]
    assert (after["status"], after["decision"]["reason"]) == ("ADOPTED", "多数同意")
    assert after["decision"]["winnerId"] == choice["optionId"]
    twice = await api(document("close-ballot"), reason, caller=owner)
    assert twice["data"]["closeBallot"]["code"] == "BALLOT_DECIDED_ALREADY"


@pytest.mark.parametrize(
    ("visibility", "before", "after"),
    [
        (ResultsVisibility.LIVE, 1, 2),
        (ResultsVisibility.UNTIL_VOTED, None, 2),
        (ResultsVisibility.UNTIL_CLOSED, None, None),
    ],
)
async def test_results_are_null_until_this_caller_may_see_them(
    api: Api,
    database: Database,
    owner: StaffCaller,
    as_member: AsMember,
    visibility: ResultsVisibility,
    before: int | None,
    after: int | None,
) -> None:
    ballot, options, (first, second, _) = await make.open_ballot(database, visibility=visibility)
    await api(document("vote"), vote(ballot, options[0], "a"), caller=as_member(first))
    seen = "query ($id: ID!) { ballot(id: $id) { tally { turnout options { votes } } } }"
    given = {"id": global_id("Ballot", ballot)}

    async def first_option(caller: MemberCaller | StaffCaller) -> int | None:
        answer = await api(seen, given, caller=caller)
        assert answer["data"]["ballot"]["tally"]["turnout"] in (1, 2)
        return votes(answer["data"]["ballot"]["tally"])[0]

    assert await first_option(as_member(second)) == before
    assert await first_option(owner) == before
    await api(document("vote"), vote(ballot, options[0], "b"), caller=as_member(second))
    assert await first_option(as_member(second)) == after


async def test_the_options_are_those_of_the_tally_in_their_order(
    api: Api, database: Database, as_member: AsMember
) -> None:
    ballot, options, (first, *_) = await make.open_ballot(database)
    asked = "query ($id: ID!) { ballot(id: $id) { options { id label } tally { options { id } } } }"
    answer = await api(asked, {"id": global_id("Ballot", ballot)}, caller=as_member(first))
    shown = answer["data"]["ballot"]
    assert [option["label"] for option in shown["options"]] == ["上午", "傍晚", "夜里"]
    ids = [option["id"] for option in shown["options"]]
    assert ids == [global_id("BallotOption", option) for option in options]
    assert ids == [option["id"] for option in shown["tally"]["options"]]


async def test_a_ballot_of_another_community_is_not_seen(
    api: Api, database: Database, owner: StaffCaller, as_member: AsMember
) -> None:
    async with database.begin() as tx:
        here, there = (
            await make_members.community(tx, "南园"),
            await make_members.community(tx, "北园"),
        )
        stranger = as_member((await make_members.member(tx, community_id=there.id)).id)
        neighbour = as_member((await make_members.member(tx, community_id=here.id)).id)
    ballot, _, _ = await make.open_ballot(database, community_id=here.id)
    asked = "query ($id: ID!) { node(id: $id) { id } ballots(first: 5) { nodes { id } } }"
    given = {"id": global_id("Ballot", ballot)}
    answers = [await api(asked, given, caller=who) for who in (stranger, neighbour, owner)]
    assert [answer["data"]["node"] is not None for answer in answers] == [False, True, True]
    assert [len(answer["data"]["ballots"]["nodes"]) for answer in answers] == [0, 1, 1]


@asynccontextmanager
async def watching(
    api: Api, ballot: UUID, caller: MemberCaller | StaffCaller, after: str | None = None
) -> AsyncIterator[Callable[[], Awaitable[dict[str, Any]]]]:
    given = {"ballotId": global_id("Ballot", ballot), "after": after}
    stream = await api.subscribe(document("watch-ballot"), given, caller=caller)

    async def following() -> dict[str, Any]:
        result = await anext(stream)
        assert result.errors is None
        return result.data["ballotTally"]

    try:
        yield following
    finally:
        await stream.aclose()


async def test_the_tally_is_followed_to_the_decision_and_resumed(
    api: Api,
    database: Database,
    relay: Callable[[], Awaitable[int]],
    owner: StaffCaller,
    as_member: AsMember,
) -> None:
    ballot, options, (first, second, _) = await make.open_ballot(
        database, visibility=ResultsVisibility.LIVE
    )
    await relay()
    async with watching(api, ballot, as_member(first)) as following:
        assert votes((await following())["tally"]) == [0, 0, 0]
        await api(document("vote"), vote(ballot, options[1], "a"), caller=as_member(first))
        await relay()
        update = await following()
        assert votes(update["tally"]) == [0, 1, 0]

    await api(document("vote"), vote(ballot, options[2], "b"), caller=as_member(second))
    await relay()
    async with watching(api, ballot, as_member(first), after=update["cursor"]) as following:
        assert votes((await following())["tally"]) == [0, 1, 1]
        reason = {"input": {"ballotId": global_id("Ballot", ballot), "reason": "平票"}}
        await api(document("close-ballot"), reason, caller=owner)
        await relay()
        last = await following()
        assert last["ballot"]["decision"]["outcome"] == "REJECTED"
        with pytest.raises(StopAsyncIteration):
            await following()


async def test_a_burst_of_votes_is_a_few_updates(
    api: Api,
    database: Database,
    relay: Callable[[], Awaitable[int]],
    as_member: AsMember,
) -> None:
    ballot, options, voters = await make.open_ballot(
        database, voters=30, visibility=ResultsVisibility.LIVE
    )
    await relay()
    async with watching(api, ballot, as_member(voters[0])) as following:
        await following()
        for voter in voters:
            given = vote(ballot, options[0], "tap")
            await api(document("vote"), given, caller=as_member(voter))
        await relay()
        updates = 0
        turnout = 0
        while turnout < 30:
            turnout = (await following())["tally"]["turnout"]
            updates += 1
    assert updates <= 3


async def test_a_voter_hears_the_decision_on_their_own_stream(
    api: Api,
    database: Database,
    relay: Callable[[], Awaitable[int]],
    owner: StaffCaller,
    as_member: AsMember,
) -> None:
    ballot, options, (voter, *_) = await make.open_ballot(database)
    await api(document("vote"), vote(ballot, options[0], "a"), caller=as_member(voter))
    await relay()
    seen = live_cursor(await api.resources.live.head())
    reason = {"input": {"ballotId": global_id("Ballot", ballot), "reason": "大家都选上午"}}
    await api(document("close-ballot"), reason, caller=owner)
    await relay()
    stream = await api.subscribe(
        "subscription ($after: String) { myUpdates(after: $after) { kind facts } }",
        {"after": seen},
        caller=as_member(voter),
    )
    update = (await anext(stream)).data["myUpdates"]
    assert (update["kind"], update["facts"]["winner"]) == ("ballot.decided", "上午")
    await stream.aclose()
