"""Batched reads of campaigns and of what came of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select

from app.campaigns.tables import Campaign, CampaignState, Enrollment, Outcome
from app.coupons import Coupon, CouponState
from app.kernel.db import Read


@dataclass(frozen=True, slots=True)
class Stats:
    """How many members a campaign enrolled, and what became of them."""

    enrolled: int = 0
    granted: int = 0
    redeemed: int = 0
    holdout: int = 0


async def by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Campaign]:
    """Campaigns by id; unknown ids are absent."""
    rows = await read.session.scalars(select(Campaign).where(Campaign.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def stats_by_campaign(read: Read, keys: Iterable[UUID]) -> dict[UUID, Stats]:
    """What came of each campaign; those without enrollments have zeros."""
    asked = list(keys)
    rows = await read.session.execute(
        select(
            Enrollment.campaign_id,
            func.count(),
            func.count().filter(Enrollment.outcome == Outcome.GRANTED),
            func.count().filter(Coupon.state == CouponState.REDEEMED),
            func.count().filter(Enrollment.outcome == Outcome.HOLDOUT),
        )
        .outerjoin(
            Coupon,
            (Coupon.member_id == Enrollment.member_id) & (Coupon.id == Enrollment.coupon_id),
        )
        .where(Enrollment.campaign_id.in_(asked))
        .group_by(Enrollment.campaign_id)
    )
    found = {campaign_id: Stats() for campaign_id in asked}
    return found | {campaign_id: Stats(*numbers) for campaign_id, *numbers in rows}


async def page(
    read: Read, *, first: int, after: UUID | None = None, state: CampaignState | None = None
) -> list[Campaign]:
    """Campaigns, newest first; one more than `first` if there are more."""
    query = select(Campaign).order_by(Campaign.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(Campaign.id < after)
    if state is not None:
        query = query.where(Campaign.state == state)
    return list(await read.session.scalars(query))
