"""Campaigns over GraphQL, for staff."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import campaigns, coupons
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.table import Json
from app.staff import subject
from schema.acting import acting_staff, answered
from schema.context import Info, note_made
from schema.coupons import CouponBatch, batch_by_key
from schema.enums import describe
from schema.fields import field, mutation, query
from schema.guard import OFFICE, staff
from schema.nodes import Node, NodeLoader, global_id, key_of
from schema.paging import BY_ID, After, Connection, First
from schema.segments import SegmentStage

describe(
    campaigns.CampaignState,
    "Where a campaign stands.",
    DRAFT="Written, not started.",
    SCHEDULED="Started, its hour is to come.",
    RUNNING="Enrols whoever is in its segment.",
    PAUSED="Enrols nobody for now.",
    COMPLETED="Reached its end.",
    CANCELLED="Ended for good by staff.",
)
describe(
    campaigns.PauseReason,
    "Why a campaign is paused.",
    name="CampaignPauseReason",
    BY_STAFF="Staff paused it.",
    COUPONS_GONE="Its batch has no coupons left.",
    BUDGET_GONE="Its batch has no money left.",
    BATCH_NOT_ACTIVE="Its batch is paused, ended or revoked, or was never activated.",
    VALIDITY_OVER="The period in which its coupons are valid has passed.",
)

MANAGERS = staff(Role.CAMPAIGN_MANAGER)


@strawberry.type(description="How many members a campaign reached, and what became of them.")
class CampaignStats:
    enrolled: int = strawberry.field(description="Members enrolled, with or without a coupon.")
    granted: int = strawberry.field(description="Members who were given its coupon.")
    redeemed: int = strawberry.field(description="Members who used it on an order.")
    holdout: int = strawberry.field(description="Members held out, to compare with.")


@strawberry.type(description="A coupon for everyone in a segment, each member once.")
class Campaign(Node):
    key: strawberry.Private[UUID]
    batch_key: strawberry.Private[UUID]
    name: str = strawberry.field(description="The campaign's name.")
    segment: SegmentStage = strawberry.field(description="The stage whose members it is for.")
    state: campaigns.CampaignState = strawberry.field(description="Where the campaign stands.")
    pause_reason: campaigns.PauseReason | None = strawberry.field(
        description="Why it is paused, if it is."
    )
    starts_at: datetime = strawberry.field(description="When it begins to enrol.")
    ends_at: datetime | None = strawberry.field(
        description="When it completes; null for never by itself."
    )
    holdout_permille: int = strawberry.field(
        description="Of 1,000 members, how many are enrolled without a coupon."
    )
    created_at: datetime = strawberry.field(description="When it was made.")

    @field(description="The batch that its coupons come from.")
    async def batch(self, info: Info) -> CouponBatch:
        return await batch_by_key(info, self.batch_key)

    @field(description="What came of it so far.")
    async def stats(self, info: Info) -> CampaignStats:
        found = await info.context.one(campaigns.stats_by_campaign, self.key)
        stats = found or campaigns.Stats()
        return CampaignStats(
            enrolled=stats.enrolled,
            granted=stats.granted,
            redeemed=stats.redeemed,
            holdout=stats.holdout,
        )


def campaign_of(row: campaigns.Campaign) -> Campaign:
    """The GraphQL value of a campaign."""
    return Campaign(
        id=global_id("Campaign", row.id),
        key=row.id,
        batch_key=row.batch_id,
        name=row.name,
        segment=row.segment,
        state=row.state,
        pause_reason=row.pause_reason,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        holdout_permille=row.holdout_permille,
        created_at=row.created_at,
    )


async def load_campaign(info: Info, key: UUID) -> Campaign | None:
    """A campaign, for staff but leaders."""
    if not OFFICE.test(info.context.caller):
        return None
    row = await info.context.one(campaigns.by_id, key)
    return None if row is None else campaign_of(row)


NODES: dict[str, NodeLoader] = {"Campaign": load_campaign}


@strawberry.type(description="Queries of campaigns.")
class CampaignsQuery:
    @query(OFFICE, description="Campaigns, newest first.")
    async def campaigns(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        status: Annotated[
            campaigns.CampaignState | None,
            strawberry.argument(description="Only those that stand so."),
        ] = None,
    ) -> Connection[Campaign]:
        asked = BY_ID.asked(first, after)
        async with info.context.read() as read:
            rows = await campaigns.page(read, first=asked.size, after=asked.position, state=status)
        return asked.page(rows, node=campaign_of, key=lambda row: row.id)


@strawberry.input(description="A new campaign.")
class CreateCampaignInput:
    name: str = strawberry.field(description="The campaign's name, up to 60 characters.")
    segment: SegmentStage = strawberry.field(description="The stage whose members it is for.")
    batch_id: strawberry.ID = strawberry.field(description="The batch that its coupons come from.")
    starts_at: datetime | None = strawberry.field(
        default=None, description="When it begins to enrol; by default once it is started."
    )
    ends_at: datetime | None = strawberry.field(
        default=None, description="When it completes; by default never by itself."
    )
    holdout_permille: int = strawberry.field(
        default=0, description="Of 1,000 members, how many to enrol without a coupon, 0 to 999."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A key of the client's; the same key never makes two."
    )


@strawberry.type(description="The campaign is drafted; start it when it is right.")
class CreateCampaignSuccess:
    campaign_key: strawberry.Private[UUID]

    @field(description="The campaign.")
    async def campaign(self, info: Info) -> Campaign:
        row = await info.context.one(campaigns.by_id, self.campaign_key)
        if row is None:
            raise LookupError(f"campaign {self.campaign_key} that was just made")
        return campaign_of(row)


@strawberry.input(description="The start of a campaign.")
class StartCampaignInput:
    campaign_id: strawberry.ID = strawberry.field(description="The campaign to start or go on.")


@strawberry.type(description="The campaign runs, or will at its hour.")
class StartCampaignSuccess:
    campaign: Campaign = strawberry.field(description="The campaign.")


@strawberry.input(description="The pause of a campaign.")
class PauseCampaignInput:
    campaign_id: strawberry.ID = strawberry.field(description="The campaign to pause.")


@strawberry.type(description="The campaign enrols nobody until it is started again.")
class PauseCampaignSuccess:
    campaign: Campaign = strawberry.field(description="The campaign.")


@strawberry.type(description="Mutations of campaigns.")
class CampaignsMutation:
    @mutation(
        MANAGERS,
        CreateCampaignSuccess,
        refusals=[coupons.BatchNotFound],
        description="Drafts a campaign that gives a batch's coupon to a segment's members.",
    )
    async def create_campaign(
        self, info: Info, input: CreateCampaignInput
    ) -> CreateCampaignSuccess:
        staff_id = acting_staff(info)
        batch_id = key_of(input.batch_id, "CouponBatch", "batchId")

        async def work(tx: Tx) -> Json:
            made = await campaigns.create(
                tx,
                name=input.name,
                segment=input.segment,
                batch_id=batch_id,
                starts_at=input.starts_at,
                ends_at=input.ends_at,
                holdout_permille=input.holdout_permille,
                by=staff_id,
            )
            note_made(subject(campaigns.Campaign, made.id))
            return {"campaign": str(made.id)}

        answer = await answered(info, input, work)
        return CreateCampaignSuccess(campaign_key=UUID(answer["campaign"]))

    @mutation(
        MANAGERS,
        StartCampaignSuccess,
        refusals=[campaigns.CampaignNotFound, campaigns.CampaignMoveNotAllowed],
        description="Starts a drafted campaign, or goes on with a paused one.",
    )
    async def start_campaign(self, info: Info, input: StartCampaignInput) -> StartCampaignSuccess:
        key = key_of(input.campaign_id, "Campaign", "campaignId")
        async with info.context.begin(about=subject(campaigns.Campaign, key)) as tx:
            row = await campaigns.start(tx, campaign_id=key)
        return StartCampaignSuccess(campaign=campaign_of(row))

    @mutation(
        MANAGERS,
        PauseCampaignSuccess,
        refusals=[campaigns.CampaignNotFound, campaigns.CampaignMoveNotAllowed],
        description="Pauses a running campaign; what it has given stays given.",
    )
    async def pause_campaign(self, info: Info, input: PauseCampaignInput) -> PauseCampaignSuccess:
        key = key_of(input.campaign_id, "Campaign", "campaignId")
        async with info.context.begin(about=subject(campaigns.Campaign, key)) as tx:
            row = await campaigns.pause(tx, campaign_id=key)
        return PauseCampaignSuccess(campaign=campaign_of(row))
