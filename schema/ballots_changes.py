"""Voting, and holding ballots."""

from datetime import datetime
from uuid import UUID

import strawberry

from app import ballots, members, tiers
from app.ballots import BallotMethod, ResultsVisibility, TieRule
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.table import Json
from app.staff import subject
from schema.acting import acting_member, acting_staff, answered
from schema.ballots import Ballot, ballot_of
from schema.context import Info, note_made
from schema.fields import field, mutation
from schema.guard import MEMBER, staff
from schema.nodes import key_of
from schema.segments import SegmentStage

HOLDERS = staff(Role.CAMPAIGN_MANAGER)
LONGEST_LIST = 250


@strawberry.type(description="Base of answers that hold a ballot.")
class WithBallot:
    key: strawberry.Private[UUID]

    @field(description="The ballot as it is now.")
    async def ballot(self, info: Info) -> Ballot:
        row = await info.context.one(ballots.by_id, self.key)
        if row is None:
            raise LookupError(f"ballot {self.key}")
        return ballot_of(row)


@strawberry.type(description="The vote is counted.")
class CastVoteSuccess(WithBallot):
    pass


@strawberry.type(description="The ballot is drafted; nobody can vote before it is opened.")
class CreateBallotSuccess(WithBallot):
    pass


@strawberry.type(description="The ballot is open and its roll frozen.")
class OpenBallotSuccess(WithBallot):
    pass


@strawberry.type(description="The ballot is closed, counted and decided.")
class CloseBallotSuccess(WithBallot):
    pass


@strawberry.input(description="A vote.")
class CastVoteInput:
    ballot_id: strawberry.ID = strawberry.field(description="The ballot.")
    option_id: strawberry.ID = strawberry.field(description="The option that is chosen.")
    idempotency_key: str = strawberry.field(
        description="A key of the client's; the same key never votes twice."
    )


@strawberry.input(description="What a new ballot declares; none of it changes once it is open.")
class CreateBallotInput:
    question: str = strawberry.field(description="What is asked, up to 500 characters.")
    options: list[str] = strawberry.field(
        description="2 to 20 different answers, in their order, up to 100 characters each."
    )
    opens_at: datetime = strawberry.field(description="The first instant at which votes are taken.")
    closes_at: datetime = strawberry.field(description="The instant from which none are taken.")
    method: BallotMethod = strawberry.field(
        default=BallotMethod.SINGLE, description="Only SINGLE is available so far."
    )
    community_id: strawberry.ID | None = strawberry.field(
        default=None, description="The community that is asked; null asks all."
    )
    stages: list[SegmentStage] = strawberry.field(
        default_factory=list[SegmentStage], description="The stages that may vote; empty for all."
    )
    tiers: list[str] = strawberry.field(
        default_factory=list[str], description="The tiers that may vote, by code; empty for all."
    )
    visibility: ResultsVisibility = strawberry.field(
        default=ResultsVisibility.UNTIL_CLOSED, description="When the tally may be seen."
    )
    quorum_percent: int = strawberry.field(
        default=0, description="How many of the roll must vote, in percent."
    )
    tie_rule: TieRule = strawberry.field(
        default=TieRule.REJECT, description="What happens to a tie."
    )
    change_until_close: bool = strawberry.field(
        default=False, description="True if voters may change their vote until the closing."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key never drafts two."
    )

    def draft(self) -> ballots.Draft:
        """What the input declares."""
        community = self.community_id
        if max(len(self.options), len(self.stages), len(self.tiers)) > LONGEST_LIST:
            raise InvalidInput(
                field="input",
                reason=f"lists hold at most {LONGEST_LIST}",
                reason_zh=f"列表最多{LONGEST_LIST}项",
            )
        return ballots.Draft(
            question=self.question,
            options=self.options,
            opens_at=self.opens_at,
            closes_at=self.closes_at,
            method=self.method,
            community_id=(
                None if community is None else key_of(community, "Community", "communityId")
            ),
            stages=self.stages,
            tiers=self.tiers,
            visibility=self.visibility,
            quorum_percent=self.quorum_percent,
            tie_rule=self.tie_rule,
            change_until_close=self.change_until_close,
        )


@strawberry.input(description="Which draft to open.")
class OpenBallotInput:
    ballot_id: strawberry.ID = strawberry.field(description="The draft.")


@strawberry.input(description="Which ballot to close, and what voters are told.")
class CloseBallotInput:
    ballot_id: strawberry.ID = strawberry.field(description="The ballot.")
    reason: str = strawberry.field(
        description="The reason for the decision, told to everyone who voted."
    )
    adopt: bool = strawberry.field(
        default=True, description="False turns the winning option down; the votes stay as they are."
    )


@strawberry.type(description="Mutations of ballots.")
class BallotsMutation:
    @mutation(
        MEMBER,
        CastVoteSuccess,
        refusals=[
            ballots.BallotNotFound,
            ballots.BallotNotOpen,
            ballots.OptionNotFound,
            ballots.NotOnRoll,
            ballots.AlreadyVoted,
            members.MemberNotActive,
        ],
        description="Votes in a ballot, or votes anew where it allows that.",
    )
    async def cast_vote(self, info: Info, input: CastVoteInput) -> CastVoteSuccess:
        member_id = acting_member(info)
        ballot = key_of(input.ballot_id, "Ballot", "ballotId")
        option = key_of(input.option_id, "BallotOption", "optionId")

        async def work(tx: Tx) -> Json:
            await ballots.cast(tx, ballot_id=ballot, member_id=member_id, option_id=option)
            return {"ballot": str(ballot)}

        await answered(info, input, work)
        return CastVoteSuccess(key=ballot)

    @mutation(
        HOLDERS,
        CreateBallotSuccess,
        refusals=[
            ballots.BallotMethodUnavailable,
            members.CommunityNotFound,
            tiers.TierNotFound,
        ],
        description="Drafts a ballot: what is asked, of whom, and by which rules.",
    )
    async def create_ballot(self, info: Info, input: CreateBallotInput) -> CreateBallotSuccess:
        staff_id = acting_staff(info)

        async def work(tx: Tx) -> Json:
            made = await ballots.create(tx, draft=input.draft(), staff_id=staff_id)
            note_made(subject(ballots.Ballot, made.id))
            return {"ballot": str(made.id)}

        answer = await answered(info, input, work)
        return CreateBallotSuccess(key=UUID(answer["ballot"]))

    @mutation(
        HOLDERS,
        OpenBallotSuccess,
        refusals=[ballots.BallotNotFound, ballots.BallotNotDraft],
        description="Opens a draft and freezes its roll; from here on nothing of it changes.",
    )
    async def open_ballot(self, info: Info, input: OpenBallotInput) -> OpenBallotSuccess:
        key = key_of(input.ballot_id, "Ballot", "ballotId")
        async with info.context.begin(about=subject(ballots.Ballot, key)) as tx:
            await ballots.open_ballot(tx, ballot_id=key)
        return OpenBallotSuccess(key=key)

    @mutation(
        HOLDERS,
        CloseBallotSuccess,
        refusals=[
            ballots.BallotNotFound,
            ballots.BallotNotOpen,
            ballots.BallotDecidedAlready,
        ],
        description="Closes a ballot, counts its votes, decides by the declared quorum and tie "
        "rule, and tells everyone who voted.",
    )
    async def close_ballot(self, info: Info, input: CloseBallotInput) -> CloseBallotSuccess:
        staff_id = acting_staff(info)
        key = key_of(input.ballot_id, "Ballot", "ballotId")
        async with info.context.begin(about=subject(ballots.Ballot, key)) as tx:
            await ballots.conclude(
                tx,
                ballot_id=key,
                staff_id=staff_id,
                reason=input.reason,
                adopt=input.adopt,
            )
        return CloseBallotSuccess(key=key)
