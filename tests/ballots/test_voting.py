"""One vote a member, taken or refused and never lost, and decisions told to the voters."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import ballots, segments, tiers
from app.ballots import BallotMethod, BallotState, ResultsVisibility, TieRule
from app.kernel.db import Database
from app.kernel.errors import InvalidInput, Refusal
from app.kernel.outbox import OutboxRow
from app.members import MemberStatus
from tests.conftest import TestClock
from tests.make import ballots as make
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import segments as make_segments


async def cast(database: Database, ballot: UUID, member: UUID, option: UUID) -> None:
    async with database.begin() as tx:
        await ballots.cast(tx, ballot_id=ballot, member_id=member, option_id=option)


async def tally(database: Database, ballot: UUID) -> list[int]:
    async with database.read() as read:
        found = await ballots.tally_by_ballot(read, [ballot])
    return [option.votes for option in found[ballot]]


async def close(database: Database, ballot: UUID) -> ballots.Ballot:
    async with database.begin() as tx:
        return await ballots.close(tx, ballot_id=ballot)


async def decide(database: Database, ballot: UUID, *, adopt: bool = True) -> ballots.Ballot:
    async with database.begin() as tx:
        return await ballots.decide(
            tx, ballot_id=ballot, staff_id=uuid4(), reason="大家选的", adopt=adopt
        )


async def attempts(
    calls: Sequence[object],
) -> tuple[int, list[type[BaseException]]]:
    results = await asyncio.gather(*calls, return_exceptions=True)  # pyright: ignore[reportArgumentType]
    refused = [type(item) for item in results if isinstance(item, BaseException)]
    return len(results) - len(refused), refused


async def test_fifty_casts_at_once_by_one_member_are_one_vote(database: Database) -> None:
    ballot, options, (member, *_) = await make.open_ballot(database)
    taken, refused = await attempts(
        [cast(database, ballot, member, options[turn % 3]) for turn in range(50)]
    )
    assert (taken, set(refused)) == (1, {ballots.AlreadyVoted})
    assert sum(await tally(database, ballot)) == 1


async def test_fifty_changes_at_once_are_still_one_vote(database: Database) -> None:
    ballot, options, (member, *_) = await make.open_ballot(database, change_until_close=True)
    taken, refused = await attempts(
        [cast(database, ballot, member, options[turn % 3]) for turn in range(50)]
    )
    assert (taken, refused) == (50, [])
    assert sum(await tally(database, ballot)) == 1
    async with database.read() as read:
        assert await read.session.scalar(select(ballots.Vote.changes)) == 49


async def test_a_vote_against_the_closing_is_counted_or_refused(database: Database) -> None:
    ballot, options, members = await make.open_ballot(database, voters=40)
    calls = [cast(database, ballot, member, options[0]) for member in members]
    calls.insert(20, close(database, ballot))  # pyright: ignore[reportArgumentType]
    done, refused = await attempts(calls)
    assert set(refused) <= {ballots.BallotNotOpen}
    acknowledged = done - 1
    assert (await tally(database, ballot))[0] == acknowledged
    async with database.read() as read:
        row = (await ballots.by_id(read, [ballot]))[ballot]
        assert (row.state, row.turnout) == (BallotState.TALLIED, acknowledged)


async def test_one_of_two_closings_counts(database: Database) -> None:
    ballot, _, _ = await make.open_ballot(database)
    done, refused = await attempts([close(database, ballot) for _ in range(5)])
    assert (done, set(refused)) == (1, {ballots.BallotNotOpen})


async def test_votes_are_taken_from_opening_until_the_closing_instant(
    database: Database, clock: TestClock
) -> None:
    opens = clock.now + timedelta(hours=1)
    ballot, options, (first, second, third) = await make.open_ballot(
        database, opens_at=opens, closes_at=opens + timedelta(hours=1)
    )
    with pytest.raises(ballots.BallotNotOpen):
        await cast(database, ballot, first, options[0])
    clock.now = opens
    await cast(database, ballot, first, options[0])
    clock.now = opens + timedelta(hours=1) - timedelta(microseconds=1)
    await cast(database, ballot, second, options[0])
    clock.now = opens + timedelta(hours=1)
    with pytest.raises(ballots.BallotNotOpen):
        await cast(database, ballot, third, options[0])
    async with database.begin() as tx:
        assert await ballots.close_due(tx) == [ballot]
    assert await tally(database, ballot) == [2, 0, 0]


async def test_only_those_on_the_roll_vote_and_only_for_its_options(database: Database) -> None:
    ballot, options, (member, *_) = await make.open_ballot(database)
    other, foreign, _ = await make.open_ballot(database)
    async with database.begin() as tx:
        late = await make.voter(tx)
    cases: list[tuple[UUID, UUID, UUID, type[Refusal]]] = [
        (ballot, late, options[0], ballots.NotOnRoll),
        (ballot, member, foreign[0], ballots.OptionNotFound),
        (uuid4(), member, options[0], ballots.BallotNotFound),
    ]
    for where, who, what, refusal in cases:
        with pytest.raises(refusal):
            await cast(database, where, who, what)
    assert sum(await tally(database, other)) == 0


async def test_the_roll_is_whoever_was_eligible_at_the_opening(database: Database) -> None:
    async with database.begin() as tx:
        right = await make.voter(tx)
        unverified = await make_members.member(tx, phone_verified=False)
        test = await make_members.member(tx, is_test=True)
        frozen = await make_members.member(tx, status=MemberStatus.FROZEN)
        for member in (unverified, test, frozen):
            await make_orders.order(tx, member_id=member.id)
        refunded = await make_members.member(tx)
        await make_orders.order(tx, member_id=refunded.id, total_fen=5, refunded_fen=5)
        unsettled = await make_members.member(tx)
        await make_orders.order(tx, member_id=unsettled.id, settled=False)
        ballot = await ballots.create(tx, draft=make.draft(tx), staff_id=uuid4())
        await ballots.open_ballot(tx, ballot_id=ballot.id)
        roll = await tx.session.scalars(select(ballots.RollEntry.member_id))
        assert list(roll) == [right]
        assert ballot.roll_size == 1


async def test_a_ballot_may_ask_one_community_stage_or_tier(database: Database) -> None:
    async with database.begin() as tx:
        for rank, code in enumerate(("NORMAL", "GOLD"), start=1):
            row = {"name_zh": code, "name_en": code, "upgrade_at": rank, "retain_at": 0}
            tx.session.add(tiers.Tier(code=code, rank=rank, benefits=[], **row))
        await tx.session.flush()
        here = (await make_members.community(tx, "桂花里")).id
        resident, vip = await make.voter(tx, community_id=here), await make.voter(tx)
        await make_segments.stage(tx, member_id=vip, stage=segments.Stage.VIP)
        tx.session.add(
            tiers.Standing(member_id=vip, tier_code="GOLD", since=tx.now, growth_at=tx.now)
        )
        for declared, expected in (
            ({"community_id": here}, {resident}),
            ({"stages": [segments.Stage.VIP]}, {vip}),
            ({"tiers": ["NORMAL"]}, {resident}),
            ({"tiers": ["GOLD"]}, {vip}),
            ({"tiers": ["NORMAL", "GOLD"]}, {resident, vip}),
        ):
            ballot = await ballots.create(tx, draft=make.draft(tx, **declared), staff_id=uuid4())
            found = await tx.session.scalars(ballots.eligible(ballot))
            assert set(found) == expected


async def test_a_ballot_is_opened_once(database: Database) -> None:
    async with database.begin() as tx:
        ballot = await ballots.create(tx, draft=make.draft(tx), staff_id=uuid4())

    async def open_it() -> None:
        async with database.begin() as tx:
            await ballots.open_ballot(tx, ballot_id=ballot.id)

    done, refused = await attempts([open_it() for _ in range(4)])
    assert (done, set(refused)) == (1, {ballots.BallotNotDraft})
    await close(database, ballot.id)
    with pytest.raises(ballots.BallotNotDraft):
        await open_it()


async def told(database: Database) -> list[list[str]]:
    async with database.read() as read:
        rows = await read.session.scalars(
            select(OutboxRow.topics)
            .where(OutboxRow.kind == ballots.BallotDecided.kind)
            .order_by(func.array_to_string(OutboxRow.topics, ","))
        )
        return list(rows)


async def test_the_decision_is_told_to_everyone_who_voted(database: Database) -> None:
    ballot, options, members = await make.open_ballot(database, voters=3)
    for member in members[:2]:
        await cast(database, ballot, member, options[1])
    await close(database, ballot)
    row = await decide(database, ballot)
    assert (row.state, row.winner_id) == (BallotState.ADOPTED, options[1])
    voters = [[f"member:{member}"] for member in sorted(members[:2], key=str)]
    assert await told(database) == [[f"ballot:{ballot}"], *voters]
    async with database.read() as read:
        payloads = await read.session.scalars(
            select(OutboxRow.payload).where(OutboxRow.kind == ballots.BallotDecided.kind)
        )
        assert {(item["winner"], item["reason"], item["state"]) for item in payloads} == {
            ("傍晚", "大家选的", "ADOPTED")
        }
    with pytest.raises(ballots.BallotDecidedAlready):
        await decide(database, ballot)


@pytest.mark.parametrize(
    ("declared", "adopt", "state"),
    [
        ({"quorum_percent": 51}, True, BallotState.NO_QUORUM),
        ({"tie_rule": TieRule.REJECT}, True, BallotState.REJECTED),
        ({"tie_rule": TieRule.FIRST_LISTED}, True, BallotState.ADOPTED),
        ({"tie_rule": TieRule.FIRST_LISTED}, False, BallotState.REJECTED),
    ],
)
async def test_the_declared_rules_decide(
    database: Database, declared: dict[str, object], adopt: bool, state: BallotState
) -> None:
    ballot, options, members = await make.open_ballot(database, voters=4, **declared)
    await cast(database, ballot, members[0], options[0])
    await cast(database, ballot, members[1], options[2])
    with pytest.raises(ballots.BallotNotOpen):
        await decide(database, ballot)
    await close(database, ballot)
    assert (await decide(database, ballot, adopt=adopt)).state is state


@pytest.mark.parametrize("visibility", ResultsVisibility)
async def test_a_vote_is_news_unless_results_wait_for_the_end(
    database: Database, visibility: ResultsVisibility
) -> None:
    ballot, options, (member, *_) = await make.open_ballot(database, visibility=visibility)
    await cast(database, ballot, member, options[0])
    async with database.read() as read:
        row = (
            await read.session.scalars(
                select(OutboxRow).where(OutboxRow.kind == ballots.VoteCast.kind)
            )
        ).one()
    hidden = visibility is ResultsVisibility.UNTIL_CLOSED
    assert row.topics == ([] if hidden else [f"ballot:{ballot}"])
    assert str(member) not in str(row.payload)
    assert str(options[0]) not in str(row.payload)


async def test_what_cannot_be_a_ballot_is_refused(database: Database) -> None:
    async with database.begin() as tx:
        yesterday = tx.now - timedelta(days=1)
        cases: list[tuple[dict[str, object], type[Refusal]]] = [
            ({"method": BallotMethod.RANKED}, ballots.BallotMethodUnavailable),
            ({"question": " "}, InvalidInput),
            ({"question": "\0"}, InvalidInput),
            ({"options": ["只有一个"]}, InvalidInput),
            ({"options": ["一样", " 一样 "]}, InvalidInput),
            ({"quorum_percent": 101}, InvalidInput),
            ({"closes_at": tx.now}, InvalidInput),
            ({"opens_at": yesterday - timedelta(days=1), "closes_at": yesterday}, InvalidInput),
        ]
        for declared, refusal in cases:
            with pytest.raises(refusal):
                await ballots.create(tx, draft=make.draft(tx, **declared), staff_id=uuid4())
