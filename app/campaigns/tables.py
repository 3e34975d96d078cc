"""Campaigns and who took part in them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table
from app.segments import Stage


class CampaignState(StrEnum):
    """Where a campaign stands; only a RUNNING one enrols members."""

    DRAFT = "DRAFT"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class PauseReason(StrEnum):
    """Why a campaign is paused."""

    BY_STAFF = "BY_STAFF"
    COUPONS_GONE = "COUPONS_GONE"
    BUDGET_GONE = "BUDGET_GONE"
    BATCH_NOT_ACTIVE = "BATCH_NOT_ACTIVE"
    VALIDITY_OVER = "VALIDITY_OVER"


class ReEntry(StrEnum):
    """How often one member can be enrolled."""

    ONCE = "ONCE"


class Outcome(StrEnum):
    """What enrolling came to for one member."""

    GRANTED = "GRANTED"
    HOLDOUT = "HOLDOUT"
    AT_LIMIT = "AT_LIMIT"


class Campaign(Table):
    """A coupon for everyone who is in a segment while the campaign runs, each member once."""

    __tablename__ = "campaign"
    __table_args__ = (
        Index(None, "state"),
        CheckConstraint("holdout_permille BETWEEN 0 AND 1000", name="holdout"),
        CheckConstraint("ends_at IS NULL OR starts_at < ends_at", name="times"),
        CheckConstraint("(state = 'PAUSED') = (pause_reason IS NOT NULL)", name="pause"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    # The audience.
    segment: Mapped[Stage]
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_batch.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    re_entry: Mapped[ReEntry]
    # The share of the audience, in thousandths, that is enrolled but gets nothing.
    holdout_permille: Mapped[int] = mapped_column(server_default=text("0"))
    state: Mapped[CampaignState]
    pause_reason: Mapped[PauseReason | None]
    # How far the sweep over the audience has come, by member id; empty between sweeps.
    swept_to: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]


class Enrollment(Table):
    """A member's one part in a campaign."""

    __tablename__ = "campaign_enrollment"
    __table_args__ = (
        Index(None, "campaign_id"),
        CheckConstraint("(outcome = 'GRANTED') = (coupon_id IS NOT NULL)", name="coupon"),
        CheckConstraint("bucket BETWEEN 0 AND 999", name="bucket"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    bucket: Mapped[int]
    outcome: Mapped[Outcome]
    coupon_id: Mapped[UUID | None]
    at: Mapped[datetime]
