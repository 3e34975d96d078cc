"""Benefits, which tier has them, and what members have used and booked of them."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table


class BenefitKind(StrEnum):
    """What sort of thing a benefit is."""

    DELIVERY = "DELIVERY"
    TRIAL = "TRIAL"
    GROUP = "GROUP"
    BUNDLE = "BUNDLE"
    SERVICE = "SERVICE"
    EARLY_ACCESS = "EARLY_ACCESS"
    EVENT = "EVENT"
    PARTNER = "PARTNER"
    GIFT = "GIFT"
    OTHER = "OTHER"


class BenefitWindow(StrEnum):
    """The span over which a benefit's quota is counted."""

    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    LIFETIME = "LIFETIME"


class UseState(StrEnum):
    """What became of a use; a booking is a use that has a slot."""

    BOOKED = "BOOKED"
    USED = "USED"
    NO_SHOW = "NO_SHOW"
    CANCELLED = "CANCELLED"
    REVERSED = "REVERSED"


class Benefit(Table):
    """Something that members of a tier may have, as staff have defined it."""

    __tablename__ = "benefit"

    code: Mapped[str] = mapped_column(primary_key=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    description_zh: Mapped[str] = mapped_column(server_default=text("''"))
    description_en: Mapped[str] = mapped_column(server_default=text("''"))
    kind: Mapped[BenefitKind]
    needs_booking: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    # Who gives it, where that is not ourselves.
    partner: Mapped[str | None]
    active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class TierBenefit(Table):
    """That a tier has a benefit, how often, and its place among the tier's."""

    __tablename__ = "tier_benefit"
    __table_args__ = (
        CheckConstraint("quota > 0", "quota"),
        CheckConstraint("(quota IS NULL) = (window_kind IS NULL)", "limited"),
        Index(None, "benefit_code"),
    )

    tier_code: Mapped[str] = mapped_column(ForeignKey("tier.code"), primary_key=True)
    benefit_code: Mapped[str] = mapped_column(ForeignKey("benefit.code"), primary_key=True)
    place: Mapped[int]
    quota: Mapped[int | None]
    window_kind: Mapped[BenefitWindow | None]


class Entitlement(Table):
    """How much of a benefit a member has used in a window that begins on a local day.

    Every use counts in all four kinds of window, so that a change of tier or of the tier's quota
    finds what was used. `quota` is that of the latest use, in the window that limited it.
    """

    __tablename__ = "entitlement"
    __table_args__ = (
        CheckConstraint("used >= 0", "used"),
        CheckConstraint("quota IS NULL OR used <= quota", "quota"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    benefit_code: Mapped[str] = mapped_column(ForeignKey("benefit.code"), primary_key=True)
    window_kind: Mapped[BenefitWindow] = mapped_column(primary_key=True)
    starts_on: Mapped[date] = mapped_column(primary_key=True)
    quota: Mapped[int | None]
    used: Mapped[int]


class BenefitSlot(Table):
    """An instant at which a benefit that needs booking is given, and to how many."""

    __tablename__ = "benefit_slot"
    __table_args__ = (
        CheckConstraint("capacity > 0", "capacity"),
        CheckConstraint("booked BETWEEN 0 AND capacity", "booked"),
        CheckConstraint("starts_at < ends_at", "ends"),
        CheckConstraint(
            "(cancelled_at IS NULL) = (cancel_reason IS NULL)"
            " AND (cancelled_at IS NULL OR booked = 0)",
            "cancelled",
        ),
        Index(None, "benefit_code", "starts_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    benefit_code: Mapped[str] = mapped_column(ForeignKey("benefit.code"))
    # Where only one community's members may come.
    community_id: Mapped[UUID | None] = mapped_column(ForeignKey("community.id"))
    venue: Mapped[str | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    capacity: Mapped[int]
    booked: Mapped[int] = mapped_column(server_default=text("0"))
    # A cancelled time can no longer be booked, and its bookings were given back.
    cancelled_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None]


class BenefitUse(Table):
    """One use of a benefit, or one booking; it counts on `day`, the member's business day."""

    __tablename__ = "benefit_use"
    __table_args__ = (
        CheckConstraint("quantity > 0", "quantity"),
        CheckConstraint(
            "slot_id IS NOT NULL OR state NOT IN ('BOOKED', 'NO_SHOW', 'CANCELLED')", "booking"
        ),
        CheckConstraint("(state = 'REVERSED') = (reversal_reason IS NOT NULL)", "reversed"),
        Index(
            "uq_benefit_use_slot",
            "member_id",
            "slot_id",
            unique=True,
            postgresql_where=text("state IN ('BOOKED', 'USED', 'NO_SHOW')"),
        ),
        Index(
            "uq_benefit_use_reference",
            "benefit_code",
            "reference",
            unique=True,
            postgresql_where=text("state <> 'REVERSED'"),
        ),
        Index(None, "slot_id"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    benefit_code: Mapped[str] = mapped_column(ForeignKey("benefit.code"))
    tier_code: Mapped[str] = mapped_column(ForeignKey("tier.code"))
    quantity: Mapped[int]
    state: Mapped[UseState]
    at: Mapped[datetime]
    day: Mapped[date]
    slot_id: Mapped[UUID | None] = mapped_column(ForeignKey("benefit_slot.id"))
    # The partner's own number of it: it stands for one use of the benefit, whoever's.
    reference: Mapped[str | None]
    note: Mapped[str | None]
    # Staff or the partner's key that recorded it; null where the member did.
    actor_id: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    reversal_reason: Mapped[str | None]
