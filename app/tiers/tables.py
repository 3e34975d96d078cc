"""Tiers, who stands in which, how they came there, and the monthly run."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.clock import DEFAULT_ZONE
from app.kernel.table import Json, Table
from app.tiers.benefit_tables import Benefit as Benefit
from app.tiers.benefit_tables import BenefitKind as BenefitKind
from app.tiers.benefit_tables import BenefitSlot as BenefitSlot
from app.tiers.benefit_tables import BenefitUse as BenefitUse
from app.tiers.benefit_tables import BenefitWindow as BenefitWindow
from app.tiers.benefit_tables import Entitlement as Entitlement
from app.tiers.benefit_tables import TierBenefit as TierBenefit
from app.tiers.benefit_tables import UseState as UseState


class StandingState(StrEnum):
    """Whether a member's tier is safe."""

    STEADY = "STEADY"
    AT_RISK = "AT_RISK"
    GRACE = "GRACE"


class ChangeReason(StrEnum):
    """Why a member changed tier."""

    GROWTH = "GROWTH"
    MONTHLY_UPGRADE = "MONTHLY_UPGRADE"
    MONTHLY_DOWNGRADE = "MONTHLY_DOWNGRADE"
    OVERRIDE = "OVERRIDE"
    MERGE = "MERGE"


class RunState(StrEnum):
    """How far a monthly run has come."""

    PREVIEWING = "PREVIEWING"
    PREVIEWED = "PREVIEWED"
    PUBLISHING = "PUBLISHING"
    PUBLISHED = "PUBLISHED"


class MoveKind(StrEnum):
    """What a monthly run does to a member; members whom it leaves alone have no row."""

    UPGRADE = "UPGRADE"
    RECOVER = "RECOVER"
    AT_RISK = "AT_RISK"
    GRACE = "GRACE"
    DOWNGRADE = "DOWNGRADE"


class Tier(Table):
    """A level of membership: reached at `upgrade_at` growth, kept from `retain_at` on."""

    __tablename__ = "tier"
    __table_args__ = (
        CheckConstraint("retain_at BETWEEN 0 AND upgrade_at", "retain"),
        CheckConstraint("rank > 0", "rank"),
        Index(None, "rank", unique=True),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    rank: Mapped[int]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    upgrade_at: Mapped[int]
    retain_at: Mapped[int]
    # A list of {code, zh, en, quota, window}; quota null is without limit. It is a copy of the
    # rows of `tier_benefit`, written with them, so that a member's tier is one row to read.
    benefits: Mapped[list[Json]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))


class Standing(Table):
    """A member's tier and how safe it is. Members without a row stand in the lowest tier."""

    __tablename__ = "tier_standing"
    __table_args__ = (
        Index(None, "tier_code", "member_id"),
        Index("ix_tier_standing_unsafe", "member_id", postgresql_where=text("state <> 'STEADY'")),
        CheckConstraint("growth >= 0", "growth"),
        CheckConstraint("(state = 'STEADY') = (at_risk_since IS NULL)", "at_risk_since"),
        CheckConstraint("(state = 'GRACE') = (grace_until IS NOT NULL)", "grace_until"),
        CheckConstraint(
            "(override_until IS NULL) = (override_reason IS NULL) "
            "AND (override_until IS NULL) = (override_by IS NULL)",
            "override",
        ),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    tier_code: Mapped[str] = mapped_column(ForeignKey("tier.code"))
    since: Mapped[datetime]
    growth: Mapped[int] = mapped_column(server_default=text("0"))
    growth_at: Mapped[datetime]
    last_upgrade_at: Mapped[datetime | None]
    state: Mapped[StandingState] = mapped_column(server_default=text("'STEADY'"))
    at_risk_since: Mapped[datetime | None]
    grace_until: Mapped[datetime | None]
    override_until: Mapped[datetime | None]
    override_reason: Mapped[str | None]
    override_by: Mapped[UUID | None]


class TierChange(Table):
    """One change of tier, kept for good; a month's run changes a member at most once."""

    __tablename__ = "tier_change"
    __table_args__ = (
        CheckConstraint("from_code <> to_code", "changes"),
        Index("uq_tier_change_month", "member_id", "month", unique=True),
        Index(None, "at"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    from_code: Mapped[str] = mapped_column(ForeignKey("tier.code"))
    to_code: Mapped[str] = mapped_column(ForeignKey("tier.code"))
    reason: Mapped[ChangeReason]
    growth: Mapped[int]
    month: Mapped[date | None]
    actor_id: Mapped[UUID | None]
    note: Mapped[str | None]
    at: Mapped[datetime]


class TierRun(Table):
    """A month's run over the members of one time zone, whose month begins at one instant.

    `position` is the last member its present pass has done.
    """

    __tablename__ = "tier_run"
    __table_args__ = (
        CheckConstraint("extract(day FROM month) = 1", "month"),
        CheckConstraint("(state = 'PUBLISHED') = (published_at IS NOT NULL)", "published"),
    )

    month: Mapped[date] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True, server_default=text(f"'{DEFAULT_ZONE}'"))
    state: Mapped[RunState]
    cutoff: Mapped[datetime]
    position: Mapped[UUID | None]
    members: Mapped[int] = mapped_column(server_default=text("0"))
    started_at: Mapped[datetime]
    previewed_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]


class TierMove(Table):
    """What a month's run will do, or did, to one member, and the figures that say why.

    `applied` is null until the run is published; then false marks a member whose standing had
    changed between the preview and the publication, so that the move no longer held.
    """

    __tablename__ = "tier_move"
    __table_args__ = (
        ForeignKeyConstraint(["month", "zone"], ["tier_run.month", "tier_run.zone"]),
        Index(None, "month", "kind", "member_id"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    # Whose run it is of: that of the member's zone when they were judged.
    zone: Mapped[str] = mapped_column(server_default=text(f"'{DEFAULT_ZONE}'"))
    kind: Mapped[MoveKind]
    from_code: Mapped[str] = mapped_column(ForeignKey("tier.code"))
    to_code: Mapped[str] = mapped_column(ForeignKey("tier.code"))
    growth: Mapped[int]
    threshold: Mapped[int]
    applied: Mapped[bool | None]


class TierNotice(Table):
    """That a member was told so many days before a run that they would lose ground in it."""

    __tablename__ = "tier_notice"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    days: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
