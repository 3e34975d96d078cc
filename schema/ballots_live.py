"""Following a ballot's tally."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import strawberry

from app import ballots
from app.kernel.live import Fact
from schema.ballots import VIEWERS, Ballot, BallotTally, ballot_of, load_row, tally_of
from schema.context import Info
from schema.fields import subscription
from schema.live import followed, live_cursor
from schema.nodes import key_of
from schema.pacing import paced

# Five updates a second at most, however many vote.
PACE_SECONDS = 0.2


@strawberry.type(description="A ballot and its tally at one moment.")
class BallotTallyUpdate:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    ballot: Ballot = strawberry.field(description="The ballot as it is now.")
    tally: BallotTally = strawberry.field(
        description="The votes as they are now, null where this caller may not see them yet."
    )


@strawberry.type(description="Subscriptions of ballots.")
class BallotsSubscription:
    @subscription(
        VIEWERS,
        description="A ballot's tally: as it is now (unless `after` says what was seen), then "
        "anew whenever it changes, at most five times a second, until the decision. Where results "
        "are hidden until the closing, votes before it bring no update.",
    )
    async def ballot_tally(
        self,
        info: Info,
        ballot_id: Annotated[strawberry.ID, strawberry.argument(description="The ballot.")],
        after: Annotated[
            str | None,
            strawberry.argument(description="The cursor of the last update seen, to miss none."),
        ] = None,
    ) -> AsyncGenerator[BallotTallyUpdate]:
        key = key_of(ballot_id, "Ballot", "ballotId")
        # The cursor first, then the picture: whatever changes in between is shown twice, not never.
        head = await info.context.live.head()
        update, decided = await _look(info, key, head)
        if after is None or decided:
            yield update
        if decided:
            return
        facts = followed(info, ballots.ballot_topic(key), head if after is None else after)
        changes = paced(facts, seconds=PACE_SECONDS, merge=_later)
        async with aclosing(changes):
            async for fact in changes:
                update, decided = await _look(info, key, fact.seq)
                yield update
                if decided:
                    return


def _later(_: Fact, later: Fact) -> Fact:
    return later


async def _look(info: Info, key: UUID, seq: int) -> tuple[BallotTallyUpdate, bool]:
    row = await load_row(info, key)
    if row is None:
        raise ballots.BallotNotFound()
    tally = await tally_of(info, row)
    update = BallotTallyUpdate(cursor=live_cursor(seq), ballot=ballot_of(row), tally=tally)
    return update, row.decided_at is not None
