"""Giving a running campaign's coupon to everyone in its audience, each member once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import exists, insert, select

from app import coupons
from app.campaigns.commands import halt
from app.campaigns.rules import bucket, is_held_out
from app.campaigns.tables import Campaign, CampaignState, Enrollment, Outcome, PauseReason
from app.kernel.db import Tx
from app.members import Member, MemberStatus
from app.segments import members_in_stage

AT_ONCE = 5_000

_PAUSE = {
    coupons.Shortage.QUANTITY: PauseReason.COUPONS_GONE,
    coupons.Shortage.BUDGET: PauseReason.BUDGET_GONE,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one call came: members enrolled, and whether another call finds more to do."""

    enrolled: int
    more: bool


async def enrol_due(tx: Tx, *, at_most: int = AT_ONCE) -> Progress:
    """Enrol the next members of every running campaign's audience, each member once ever.

    Members are taken in the order of their ids, so many of each campaign a call, and the campaign
    remembers how far it came: commit and call again until there is no more. A call that dies leaves
    nothing half-done, and of two at once the second passes over the campaign. Test members and
    members who are not active are never enrolled. A batch that runs dry pauses the campaign.
    """
    running = await tx.session.scalars(
        select(Campaign)
        .where(
            Campaign.state == CampaignState.RUNNING,
            Campaign.starts_at <= tx.now,
            Campaign.ends_at.is_(None) | (Campaign.ends_at > tx.now),
        )
        # Batches are locked in this order by every caller.
        .order_by(Campaign.batch_id, Campaign.id)
        .with_for_update(key_share=True, skip_locked=True)
    )
    enrolled, more = 0, False
    for campaign in running.all():
        member_ids = await _next(tx, campaign, at_most)
        enrolled += await _enrol(tx, campaign, member_ids)
        full = len(member_ids) == at_most and campaign.state is CampaignState.RUNNING
        campaign.swept_to = member_ids[-1] if full else None
        more = more or full
    await tx.session.flush()
    return Progress(enrolled, more)


async def _next(tx: Tx, campaign: Campaign, at_most: int) -> Sequence[UUID]:
    """The next members of the audience who are not enrolled yet, by id."""
    enrolled = exists().where(
        Enrollment.member_id == Member.id, Enrollment.campaign_id == campaign.id
    )
    query = (
        select(Member.id)
        .where(
            Member.id.in_(members_in_stage(campaign.segment)),
            Member.status == MemberStatus.ACTIVE,
            Member.is_test.is_(False),
            ~enrolled,
        )
        .order_by(Member.id)
        .limit(at_most)
    )
    if campaign.swept_to is not None:
        query = query.where(Member.id > campaign.swept_to)
    return (await tx.session.scalars(query)).all()


async def _enrol(tx: Tx, campaign: Campaign, member_ids: Sequence[UUID]) -> int:
    places = {member_id: bucket(campaign.id, member_id) for member_id in member_ids}
    held = [m for m, place in places.items() if is_held_out(place, campaign.holdout_permille)]
    outcomes: dict[UUID, Outcome] = dict.fromkeys(held, Outcome.HOLDOUT)
    grants = await _grant(tx, campaign, [m for m in member_ids if m not in outcomes])
    if grants is None:
        return 0
    outcomes |= dict.fromkeys(grants.granted, Outcome.GRANTED)
    outcomes |= dict.fromkeys(grants.at_limit, Outcome.AT_LIMIT)
    rows = [
        {
            "member_id": member_id,
            "campaign_id": campaign.id,
            "bucket": places[member_id],
            "outcome": outcome,
            "coupon_id": grants.granted.get(member_id),
            "at": tx.now,
        }
        for member_id, outcome in outcomes.items()
    ]
    if rows:
        await tx.session.execute(insert(Enrollment), rows)
    return len(rows)


async def _grant(tx: Tx, campaign: Campaign, member_ids: Sequence[UUID]) -> coupons.Grants | None:
    """Coupons for those who are to get one; a batch that cannot serve them pauses the campaign."""
    if not member_ids:
        return coupons.Grants()
    try:
        grants = await coupons.grant(
            tx,
            batch_id=campaign.batch_id,
            member_ids=member_ids,
            source=coupons.Source.CAMPAIGN,
            source_id=campaign.id,
        )
    except (coupons.BatchNotActive, coupons.ValidityOver) as refusal:
        halt(tx, campaign, await _why(tx, campaign, refusal))
        return None
    if grants.shortage is not None:
        halt(tx, campaign, _PAUSE[grants.shortage])
    return grants


async def _why(tx: Tx, campaign: Campaign, refusal: Exception) -> PauseReason:
    """An exhausted batch is out of coupons; any other that gives none out is not active."""
    if isinstance(refusal, coupons.ValidityOver):
        return PauseReason.VALIDITY_OVER
    batch = (await coupons.batches_by_id(tx, [campaign.batch_id]))[campaign.batch_id]
    gone = batch.state is coupons.BatchState.EXHAUSTED
    return PauseReason.COUPONS_GONE if gone else PauseReason.BATCH_NOT_ACTIVE
