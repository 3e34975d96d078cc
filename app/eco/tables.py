"""Eco actions with their factors, and badges."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table


class EcoType(StrEnum):
    """What a member did for the environment."""

    PACKAGING_RETURN = "PACKAGING_RETURN"
    OWN_BAG = "OWN_BAG"
    SELF_PICKUP = "SELF_PICKUP"
    NO_CUTLERY = "NO_CUTLERY"
    BATTERY_RECYCLING = "BATTERY_RECYCLING"


class EcoState(StrEnum):
    """How far an action has come; VERIFIED is passed through on the way to CREDITED."""

    SUBMITTED = "SUBMITTED"
    VERIFIED = "VERIFIED"
    CREDITED = "CREDITED"
    REJECTED = "REJECTED"
    REVERSED = "REVERSED"


class EvidenceKind(StrEnum):
    """What shows that an action took place."""

    ORDER = "ORDER"
    LEADER_SCAN = "LEADER_SCAN"
    PHOTO = "PHOTO"


class EcoFactor(Table):
    """Grams of CO2e that one action of a type counts for: a setting, versioned, never a claim.

    `provenance` says where the figure comes from. The built-in ones are placeholders which staff
    replace by figures they can vouch for; a past action keeps the version it was credited with.
    """

    __tablename__ = "eco_factor"
    __table_args__ = (
        CheckConstraint("grams_co2e > 0 AND carbon_points > 0 AND version > 0", "positive"),
        CheckConstraint("provenance <> ''", "provenance"),
    )

    type: Mapped[EcoType] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    grams_co2e: Mapped[int]
    carbon_points: Mapped[int]
    provenance: Mapped[str]
    valid_from: Mapped[datetime]


class EcoAction(Table):
    """One action of a member, from its submission to its CARBON points."""

    __tablename__ = "eco_action"
    __table_args__ = (
        ForeignKeyConstraint(["type", "factor_version"], ["eco_factor.type", "eco_factor.version"]),
        CheckConstraint("grams_co2e > 0 AND carbon_points > 0", "positive"),
        CheckConstraint("(evidence_kind = 'ORDER') = (order_id IS NOT NULL)", "order_evidence"),
        CheckConstraint("(state = 'SUBMITTED') = (verified_at IS NULL)", "verified"),
        CheckConstraint(
            "(state IN ('CREDITED', 'REVERSED')) = (credited_at IS NOT NULL)", "credited"
        ),
        CheckConstraint("state NOT IN ('REJECTED', 'REVERSED') OR reason <> ''", "reason"),
        Index(
            "uq_eco_action_order",
            "order_id",
            "type",
            unique=True,
            postgresql_where=text("state <> 'REJECTED'"),
        ),
        # Without an order a type counts once a business day.
        Index(
            "uq_eco_action_day",
            "member_id",
            "type",
            "day",
            unique=True,
            postgresql_where=text("order_id IS NULL AND state <> 'REJECTED'"),
        ),
        Index(
            "ix_eco_action_waiting",
            "submitted_at",
            postgresql_where=text("state = 'SUBMITTED'"),
        ),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[EcoType]
    factor_version: Mapped[int]
    grams_co2e: Mapped[int]
    carbon_points: Mapped[int]
    evidence_kind: Mapped[EvidenceKind]
    evidence: Mapped[str]
    order_id: Mapped[UUID | None]
    state: Mapped[EcoState]
    day: Mapped[date]
    submitted_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    verified_by: Mapped[UUID | None]
    credited_at: Mapped[datetime | None]
    reversed_at: Mapped[datetime | None]
    reason: Mapped[str | None]


class BadgeFact(StrEnum):
    """What a badge's criteria count."""

    ECO_ACTIONS = "ECO_ACTIONS"
    GRAMS_CO2E = "GRAMS_CO2E"
    CHECK_IN_STREAK = "CHECK_IN_STREAK"


class Badge(Table):
    """A class of badge and the rule by which it is awarded: `fact` of at least `at_least`."""

    __tablename__ = "badge"
    __table_args__ = (
        CheckConstraint("at_least > 0 AND (valid_days IS NULL OR valid_days > 0)", "positive"),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    description_zh: Mapped[str]
    description_en: Mapped[str]
    fact: Mapped[BadgeFact]
    at_least: Mapped[int]
    # Null lasts for ever.
    valid_days: Mapped[int | None]


class BadgeAward(Table):
    """A badge that a member got, the figure it was awarded for, and whether it still holds."""

    __tablename__ = "badge_award"
    __table_args__ = (
        CheckConstraint("(revoked_at IS NULL) = (revoked_reason IS NULL)", "revoked"),
        CheckConstraint("expires_at > issued_at", "expires"),
        Index(None, "badge_code"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    badge_code: Mapped[str] = mapped_column(ForeignKey("badge.code"), primary_key=True)
    # The how many-th award of this badge to this member; after an expiry there may be another.
    number: Mapped[int] = mapped_column(primary_key=True)
    issued_at: Mapped[datetime]
    evidence: Mapped[Json]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None]
