"""Ballots: what is asked, who may vote, the tally where it may be seen, and the decision."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from app import ballots, members
from app.ballots import BallotMethod, BallotState, ResultsVisibility, TieRule
from app.kernel.auth import Caller, MemberCaller
from schema.context import Ctx, Info
from schema.enums import describe
from schema.fields import UNKNOWN, Selected, Wanted, field, loaded, query
from schema.guard import MEMBER, OFFICE, STAFF, bound_to
from schema.nodes import Node, NodeLoader, global_id, key_of
from schema.paging import BY_INSTANT, After, Connection, First
from schema.rows import columns_of, of_row
from schema.segments import SegmentStage

if TYPE_CHECKING:
    from schema.members import Community

VIEWERS = MEMBER | STAFF

describe(
    BallotMethod,
    "How votes are expressed and counted.",
    SINGLE="One option a vote.",
    APPROVAL="Any number of options; not available yet.",
    RANKED="Options in order of preference; not available yet.",
    SCORE="A score for each option; not available yet.",
)
describe(
    ResultsVisibility,
    "When the tally may be seen.",
    name="BallotResultsVisibility",
    LIVE="The tally may always be seen.",
    UNTIL_VOTED="Those who have voted see the tally.",
    UNTIL_CLOSED="Nobody sees the tally before the closing, staff included.",
)
describe(
    TieRule,
    "What happens when the leading options have equally many votes.",
    name="BallotTieRule",
    REJECT="Adopts none of the leading options.",
    FIRST_LISTED="Adopts the leading option that is listed first.",
)
describe(
    BallotState,
    "How far a ballot has come; it never goes back.",
    name="BallotStatus",
    DRAFT="Being prepared.",
    OPEN="Votes are taken.",
    CLOSED="Votes are taken no more.",
    TALLIED="Counted, not decided yet.",
    ADOPTED="The leading option was adopted.",
    REJECTED="No option was adopted.",
    NO_QUORUM="Too few voted.",
)


@strawberry.type(description="One answer to choose.")
class BallotChoice:
    id: strawberry.ID = strawberry.field(description="The option's id, to vote with.")
    label: str = strawberry.field(description="The answer.")


@strawberry.type(description="One answer to choose, with its votes where they may be seen.")
class BallotOption:
    id: strawberry.ID = strawberry.field(description="The option's id, to vote with.")
    label: str = strawberry.field(description="The answer.")
    votes: int | None = strawberry.field(
        description="Its votes at this moment; null as long as this caller may not see them."
    )


@strawberry.type(description="The votes of a ballot at one moment.")
class BallotTally:
    options: list[BallotOption] = strawberry.field(description="The options in their order.")
    turnout: int = strawberry.field(description="How many have voted.")
    roll_size: int | None = strawberry.field(
        description="How many may vote; null before the opening."
    )


def choices_of(rows: list[ballots.BallotOption]) -> list[BallotChoice]:
    """The GraphQL values of a ballot's options."""
    return [BallotChoice(id=global_id("BallotOption", row.id), label=row.label) for row in rows]


@strawberry.type(description="The signed-in member's own vote.")
class OwnVote:
    option_id: strawberry.ID = strawberry.field(description="The option they chose.")
    cast_at: datetime = strawberry.field(description="When they chose it.")


@strawberry.type(description="What was decided, and why.")
class BallotDecision:
    outcome: BallotState = strawberry.field(description="ADOPTED, REJECTED or NO_QUORUM.")
    winner_id: strawberry.ID | None = strawberry.field(
        description="The option with the most votes; null for a tie or without a quorum."
    )
    reason: str = strawberry.field(description="The reason that voters were told.")
    decided_at: datetime = strawberry.field(description="When it was announced.")


@strawberry.type(description="A question to a neighbourhood, or to all of them.")
class Ballot(Node):
    row: strawberry.Private[ballots.Ballot]
    # Where they were read together with it.
    option_rows: strawberry.Private[list[ballots.BallotOption] | None]
    id: strawberry.ID = of_row(
        "id",
        make=lambda key: global_id("Ballot", key),
        description="The opaque id of this object.",
    )
    question: str = of_row("question", description="What is asked.")
    method: BallotMethod = of_row("method", description="How votes are expressed and counted.")
    status: BallotState = of_row("state", description="How far it has come.")
    opens_at: datetime = of_row(
        "opens_at", description="The first instant at which votes are taken."
    )
    closes_at: datetime = of_row("closes_at", description="The instant from which none are taken.")
    visibility: ResultsVisibility = of_row("visibility", description="When the tally may be seen.")
    quorum_percent: int = of_row(
        "quorum_percent",
        description="How many of the roll must vote, in percent, for it to count.",
    )
    tie_rule: TieRule = of_row("tie_rule", description="What happens to a tie.")
    change_until_close: bool = of_row(
        "change_until_close",
        description="True if voters may change their vote until the closing.",
    )
    stages: list[SegmentStage] = of_row(
        "stages",
        make=lambda stages: [SegmentStage(stage) for stage in stages],
        description="The stages of the life cycle that may vote; empty for all.",
    )
    tiers: list[str] = of_row(
        "tiers", make=list, description="The codes of the tiers that may vote; empty for all."
    )

    @field(description="The community that is asked; null for all of them.", shared=True)
    async def community(
        self, info: Info
    ) -> Annotated["Community", strawberry.lazy("schema.members")] | None:
        from schema.members import load_community  # the other way round it is imported at start

        key = self.row.community_id
        return None if key is None else await load_community(info, key)

    options: list[BallotChoice] = loaded(
        ballots.options_by_ballot,
        key=lambda ballot: ballot.row.id,
        make=choices_of,
        ready=lambda ballot: ballot.option_rows,
        needs=("id",),
        absent=list,
        description="The options in their order, without their votes: cheaper than the tally.",
    )

    @field(description="The options and, where this caller may see them, their votes.")
    async def tally(self, info: Info) -> BallotTally:
        return await tally_of(info.context, self.row)

    @field(description="The signed-in member's own vote; null if they have not voted.")
    async def my_vote(self, info: Info) -> OwnVote | None:
        standing = await standing_of(info.context, self.row.id)
        if standing is None or standing.option_id is None or standing.cast_at is None:
            return None
        option = global_id("BallotOption", standing.option_id)
        return OwnVote(option_id=option, cast_at=standing.cast_at)

    @field(description="True if the signed-in member is on the roll, which opening freezes.")
    async def may_vote(self, info: Info) -> bool:
        return await standing_of(info.context, self.row.id) is not None

    @field(description="The decision, once it is announced.", shared=True)
    def decision(self) -> BallotDecision | None:
        if self.row.decided_at is None:
            return None
        winner = self.row.winner_id
        return BallotDecision(
            outcome=self.row.state,
            winner_id=None if winner is None else global_id("BallotOption", winner),
            reason=self.row.decision_reason or "",
            decided_at=self.row.decided_at,
        )


def ballot_of(row: ballots.Ballot, options: list[ballots.BallotOption] | None = None) -> Ballot:
    """The GraphQL value of a ballot, with its options where both were read together."""
    return Ballot(row=row, option_rows=options)


async def standing_of(ctx: Ctx, ballot_id: UUID) -> ballots.Standing | None:
    """The signed-in member's part in a ballot; None for everyone not on its roll."""
    caller = ctx.caller
    if not isinstance(caller, MemberCaller):
        return None
    return await ctx.one(ballots.standing, (ballot_id, caller.id))


async def tally_of(ctx: Ctx, row: ballots.Ballot) -> BallotTally:
    """The tally with its votes blanked where this caller may not see them yet."""
    counted = await ctx.one(ballots.tally_by_ballot, row.id) or []
    standing = await standing_of(ctx, row.id)
    has_voted = standing is not None and standing.option_id is not None
    open_to_caller = ballots.shows_results(row.state, row.visibility, has_voted=has_voted)
    return BallotTally(
        options=[
            BallotOption(
                id=global_id("BallotOption", option.id),
                label=option.label,
                votes=option.votes if open_to_caller else None,
            )
            for option in counted
        ],
        turnout=sum(option.votes for option in counted),
        roll_size=row.roll_size,
    )


async def home_of(ctx: Ctx, caller: Caller) -> UUID | None:
    """The community of a signed-in member or leader; None for other staff, who see all."""
    if not isinstance(caller, MemberCaller):
        return bound_to(caller)
    row = await ctx.one(members.by_id, caller.id)
    if row is None:
        raise LookupError(f"member {caller.id} of a token")
    return row.community_id


async def load_row(ctx: Ctx, key: UUID) -> ballots.Ballot | None:
    """A ballot that the caller may see: staff all, members and leaders what was opened to their
    community.
    """
    caller = ctx.caller
    if not VIEWERS.test(caller):
        return None
    row = await ctx.one(ballots.by_id, key)
    if row is None or OFFICE.test(caller):
        return row
    if row.state is BallotState.DRAFT:
        return None
    home = await home_of(ctx, caller)
    return row if row.community_id in (None, home) else None


async def load_ballot(info: Info, key: UUID) -> Ballot | None:
    """A ballot under its access rule."""
    row = await load_row(info.context, key)
    return None if row is None else ballot_of(row)


NODES: dict[str, NodeLoader] = {"Ballot": load_ballot}


def _states(asked: BallotState | None, caller: Caller) -> list[BallotState]:
    wanted = list(BallotState) if asked is None else [asked]
    if OFFICE.test(caller):
        return wanted
    return [state for state in wanted if state is not BallotState.DRAFT]


@strawberry.type(description="Queries of ballots.")
class BallotsQuery:
    @query(
        VIEWERS,
        description="Ballots, the latest opening first: all of them, or for members and "
        "leaders those that were opened to their community.",
        remembered=True,
    )
    def ballots(
        self,
        info: Info,
        status: Annotated[
            BallotState | None, strawberry.argument(description="Only ballots that stand so.")
        ] = None,
        first: First = 20,
        after: After = None,
        selected: Selected = UNKNOWN,
    ) -> Wanted[Connection[Ballot]]:
        caller, page = info.context.caller, BY_INSTANT.asked(first, after)
        of_member = isinstance(caller, MemberCaller)
        asked = ballots.BallotPage(
            first=page.size,
            states=tuple(_states(status, caller)),
            after=page.position,
            community_id=None if of_member else bound_to(caller),
            member_id=caller.id if of_member else None,
            with_options=selected.holds("options"),
            columns=columns_of(Ballot, selected, "id opens_at"),
        )

        def connected(rows: ballots.BallotRows) -> Connection[Ballot]:
            return page.page(
                rows,
                node=lambda found: ballot_of(*found),
                key=lambda found: (found[0].opens_at, found[0].id),
            )

        return Wanted(ballots.pages, asked, connected)

    @query(
        VIEWERS,
        description="A ballot by id; null for one the caller may not see.",
        remembered=True,
    )
    async def ballot(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The ballot's id.")],
    ) -> Ballot | None:
        return await load_ballot(info, key_of(id, "Ballot"))
