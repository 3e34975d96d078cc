"""Following a ballot's tally."""

from collections.abc import AsyncIterable
from typing import Annotated
from uuid import UUID

import strawberry

from app import ballots
from app.kernel.live import Fact
from schema.ballots import VIEWERS, Ballot, BallotTally, ballot_of, load_row, tally_of
from schema.context import Ctx, Info
from schema.fields import subscription
from schema.live import live_cursor, resumed
from schema.nodes import key_of
from schema.streams import Look, StateStream


@strawberry.type(description="A ballot and its tally at one moment.")
class BallotTallyUpdate:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    ballot: Ballot = strawberry.field(description="The ballot as it is now.")
    tally: BallotTally = strawberry.field(
        description="The votes as they are now, null where this caller may not see them yet."
    )


class _Counting:
    """A ballot that is watched by those who may see it: read anew for each look."""

    def __init__(self, key: UUID) -> None:
        self._key = key

    def hear(self, fact: Fact) -> None:
        """Facts only say that there is something to count."""

    async def look(self, ctx: Ctx, seq: int) -> Look[BallotTallyUpdate]:
        """The ballot and its tally, the last one with the decision. Raises BallotNotFound."""
        row = await ctx.one(ballots.by_id, self._key)
        if row is None:
            raise ballots.BallotNotFound()
        tally = await tally_of(ctx, row)
        event = BallotTallyUpdate(cursor=live_cursor(seq), ballot=ballot_of(row), tally=tally)
        return Look(event, place=seq, last=row.decided_at is not None)


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
    ) -> AsyncIterable[BallotTallyUpdate]:
        key = key_of(ballot_id, "Ballot", "ballotId")
        seen = await resumed(info.context, after)
        row = await load_row(info.context, key)
        if row is None:
            raise ballots.BallotNotFound()
        return StateStream[BallotTallyUpdate](
            ctx=info.context,
            topic=ballots.ballot_topic(key),
            # Only here does it depend on the reader which votes they see.
            shared=row.visibility is not ballots.ResultsVisibility.UNTIL_VOTED,
            state=_Counting(key),
            seen=seen,
        )
