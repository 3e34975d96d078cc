"""Making campaigns, starting and pausing them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app import coupons
from app.campaigns.errors import CampaignMoveNotAllowed, CampaignNotFound
from app.campaigns.events import CampaignCompleted, CampaignPaused, CampaignStarted
from app.campaigns.rules import BUCKETS, MOVES
from app.campaigns.tables import Campaign, CampaignState, PauseReason, ReEntry
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.text import checked_text
from app.segments import Stage

LONGEST_NAME = 60


async def create(
    tx: Tx,
    *,
    name: str,
    segment: Stage,
    batch_id: UUID,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    holdout_permille: int = 0,
    by: UUID | None = None,
) -> Campaign:
    """Draft a campaign that gives one coupon of the batch to each member of the segment, once.

    `holdout_permille` of 1,000 members are enrolled without a coupon, to compare with. Raises
    coupons.BatchNotFound, InvalidInput.
    """
    begin = starts_at or tx.now
    if ends_at is not None and ends_at <= max(begin, tx.now):
        raise InvalidInput(
            field="endsAt", reason="must lie ahead, after startsAt", reason_zh="须晚于开始时间"
        )
    if not 0 <= holdout_permille < BUCKETS:
        raise InvalidInput(field="holdoutPermille", reason="0 to 999", reason_zh="0至999")
    if not await coupons.batches_by_id(tx, [batch_id]):
        raise coupons.BatchNotFound()
    campaign = Campaign(
        id=tx.new_id(),
        name=checked_text(name, field="name", longest=LONGEST_NAME),
        segment=segment,
        batch_id=batch_id,
        starts_at=begin,
        ends_at=ends_at,
        re_entry=ReEntry.ONCE,
        holdout_permille=holdout_permille,
        state=CampaignState.DRAFT,
        created_by=by,
        created_at=tx.now,
    )
    tx.session.add(campaign)
    await tx.session.flush()
    return campaign


async def start(tx: Tx, *, campaign_id: UUID) -> Campaign:
    """Start a drafted campaign (at its hour if that is to come), or go on with a paused one.

    Raises CampaignNotFound, CampaignMoveNotAllowed.
    """
    campaign = await _locked(tx, campaign_id)
    waits = campaign.state is CampaignState.DRAFT and campaign.starts_at > tx.now
    move(campaign, CampaignState.SCHEDULED if waits else CampaignState.RUNNING)
    if not waits:
        campaign.starts_at = min(campaign.starts_at, tx.now)
        tx.emit(CampaignStarted(campaign_id=campaign.id))
    await tx.session.flush()
    return campaign


async def pause(tx: Tx, *, campaign_id: UUID) -> Campaign:
    """Stop enrolling until the campaign is started again; what was given stays given.

    Raises CampaignNotFound, CampaignMoveNotAllowed.
    """
    campaign = await _locked(tx, campaign_id)
    halt(tx, campaign, PauseReason.BY_STAFF)
    await tx.session.flush()
    return campaign


async def cancel(tx: Tx, *, campaign_id: UUID) -> Campaign:
    """End a campaign for good; what was given stays given.

    Raises CampaignNotFound, CampaignMoveNotAllowed.
    """
    campaign = await _locked(tx, campaign_id)
    move(campaign, CampaignState.CANCELLED)
    await tx.session.flush()
    return campaign


async def advance_due(tx: Tx) -> int:
    """Start scheduled campaigns whose hour has come and complete those whose end has.

    Answers how many changed.
    """
    due = await tx.session.scalars(
        select(Campaign)
        .where(
            ((Campaign.state == CampaignState.SCHEDULED) & (Campaign.starts_at <= tx.now))
            | (
                Campaign.state.in_([CampaignState.RUNNING, CampaignState.PAUSED])
                & (Campaign.ends_at <= tx.now)
            )
        )
        .order_by(Campaign.id)
        .with_for_update(key_share=True, skip_locked=True)
    )
    changed = 0
    for campaign in due:
        if campaign.state is CampaignState.SCHEDULED:
            move(campaign, CampaignState.RUNNING)
            tx.emit(CampaignStarted(campaign_id=campaign.id))
        else:
            move(campaign, CampaignState.COMPLETED)
            tx.emit(CampaignCompleted(campaign_id=campaign.id))
        changed += 1
    await tx.session.flush()
    return changed


def move(campaign: Campaign, to: CampaignState) -> None:
    """Take a campaign that the caller holds to another state. Raises CampaignMoveNotAllowed."""
    if to not in MOVES[campaign.state]:
        raise CampaignMoveNotAllowed(state=campaign.state, to=to)
    campaign.state = to
    campaign.pause_reason = None


def halt(tx: Tx, campaign: Campaign, reason: PauseReason) -> None:
    """Pause a campaign that the caller holds and say why. Raises CampaignMoveNotAllowed."""
    move(campaign, CampaignState.PAUSED)
    campaign.pause_reason = reason
    tx.emit(CampaignPaused(campaign_id=campaign.id, reason=reason))


async def _locked(tx: Tx, campaign_id: UUID) -> Campaign:
    campaign = await tx.session.scalar(
        select(Campaign)
        .where(Campaign.id == campaign_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if campaign is None:
        raise CampaignNotFound()
    return campaign
