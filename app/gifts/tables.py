"""Packs and their claims, one-yuan gifts, and what birthdays and festivals bring."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.gifts.calendars import Calendar
from app.kernel.table import Json, Table


class PackState(StrEnum):
    """Where a pack stands; only an OPEN one is given out."""

    DRAFT = "DRAFT"
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class PackOnce(StrEnum):
    """How often one member may claim a pack."""

    EVER = "EVER"
    PER_EPISODE = "PER_EPISODE"


class Unlock(StrEnum):
    """When a part of a claimed pack is given."""

    AT_ONCE = "AT_ONCE"
    DAY_N = "DAY_N"
    WHEN_PREVIOUS_REDEEMED = "WHEN_PREVIOUS_REDEEMED"


class PartState(StrEnum):
    """Where a part of a claimed pack stands."""

    LOCKED = "LOCKED"
    GIVEN = "GIVEN"
    LAPSED = "LAPSED"


class GiftCycle(StrEnum):
    """The span in which a member gets a gift once."""

    EVER = "EVER"
    MONTH = "MONTH"
    YEAR = "YEAR"


class HoldState(StrEnum):
    """Where a member's hold of a gift stands."""

    HELD = "HELD"
    TAKEN = "TAKEN"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    # Taken with an order that was refunded in full: the unit is in stock again.
    RETURNED = "RETURNED"


class GrantOutcome(StrEnum):
    """What came of an occasion for a member."""

    PENDING = "PENDING"
    GRANTED = "GRANTED"
    AT_LIMIT = "AT_LIMIT"
    NO_STOCK = "NO_STOCK"


class Pack(Table):
    """Several things given together (礼包), so many times.

    While it is open, the coupons and gifts of `stock - claimed` packs are set aside for it.
    """

    __tablename__ = "pack"
    __table_args__ = (
        CheckConstraint("stock > 0", name="stock"),
        CheckConstraint("claimed BETWEEN 0 AND stock", name="claimed"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    state: Mapped[PackState]
    once: Mapped[PackOnce]
    stock: Mapped[int]
    claimed: Mapped[int] = mapped_column(server_default=text("0"))
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class GiftOffer(Table):
    """A product given for one yuan (1元礼) while the stock lasts; never priced with the basket.

    `promised` units belong to open packs and to parts of packs that are still locked.
    """

    __tablename__ = "gift_offer"
    __table_args__ = (
        CheckConstraint("stock > 0", name="stock"),
        CheckConstraint("price_fen > 0", name="price"),
        CheckConstraint(
            "promised >= 0 AND held >= 0 AND taken >= 0 AND promised + held + taken <= stock",
            name="within_stock",
        ),
        CheckConstraint("closes_at IS NULL OR opens_at < closes_at", name="hours"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    sku: Mapped[str]
    price_fen: Mapped[int] = mapped_column(server_default=text("100"))
    stock: Mapped[int]
    cycle: Mapped[GiftCycle]
    promised: Mapped[int] = mapped_column(server_default=text("0"))
    held: Mapped[int] = mapped_column(server_default=text("0"))
    taken: Mapped[int] = mapped_column(server_default=text("0"))
    opens_at: Mapped[datetime]
    closes_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]


class PackItem(Table):
    """One thing in a pack: a coupon, points or a gift, and when it is given."""

    __tablename__ = "pack_item"
    __table_args__ = (
        CheckConstraint("num_nonnulls(batch_id, points, offer_id) = 1", name="one_thing"),
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("(unlock = 'DAY_N') = (day IS NOT NULL) AND day > 1", name="day"),
        CheckConstraint(
            "position > 0 AND (position > 1 OR unlock <> 'WHEN_PREVIOUS_REDEEMED')",
            name="position",
        ),
    )

    pack_id: Mapped[UUID] = mapped_column(ForeignKey("pack.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    unlock: Mapped[Unlock]
    # The business day on which it is given, the day of the claim being day 1.
    day: Mapped[int | None]
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("coupon_batch.id"))
    points: Mapped[int | None]
    offer_id: Mapped[UUID | None] = mapped_column(ForeignKey("gift_offer.id"))


class PackClaim(Table):
    """A pack that a member claimed: once ever, or once a silence."""

    __tablename__ = "pack_claim"
    __table_args__ = (
        Index(None, "member_id", "pack_id", "once_for", unique=True),
        Index(None, "pack_id"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    pack_id: Mapped[UUID] = mapped_column(ForeignKey("pack.id"))
    # The silence episode that it was claimed in, or the pack itself where it is given once ever.
    once_for: Mapped[UUID]
    claimed_at: Mapped[datetime]


class PackPart(Table):
    """One thing of a claimed pack, and what it became."""

    __tablename__ = "pack_part"
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "claim_id"],
            ["pack_claim.member_id", "pack_claim.id"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["pack_id", "position"], ["pack_item.pack_id", "pack_item.position"]),
        Index("ix_pack_part_due", "unlocks_at", postgresql_where=text("state = 'LOCKED'")),
        Index(
            "ix_pack_part_waiting",
            "member_id",
            "claim_id",
            postgresql_where=text("state = 'LOCKED' AND unlocks_at IS NULL"),
        ),
        CheckConstraint("(state = 'LOCKED') = (ended_at IS NULL)", name="ended"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    claim_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    pack_id: Mapped[UUID]
    state: Mapped[PartState]
    # Null waits for the coupon before it to be redeemed.
    unlocks_at: Mapped[datetime | None]
    # When it was given or lapsed.
    ended_at: Mapped[datetime | None]
    coupon_id: Mapped[UUID | None]
    hold_id: Mapped[UUID | None]


class GiftHold(Table):
    """One unit of a gift kept for a member; the instants decide, whatever state a late job left."""

    __tablename__ = "gift_hold"
    __table_args__ = (
        Index(
            "uq_gift_hold_cycle",
            "member_id",
            "offer_id",
            "cycle",
            unique=True,
            postgresql_where=text("state IN ('HELD', 'TAKEN')"),
        ),
        Index("ix_gift_hold_due", "expires_at", postgresql_where=text("state = 'HELD'")),
        Index("ix_gift_hold_held", "offer_id", postgresql_where=text("state = 'HELD'")),
        CheckConstraint("held_at < expires_at", name="hours"),
        CheckConstraint("(state = 'HELD') = (ended_at IS NULL)", name="ended"),
        Index(
            "ix_gift_hold_taken",
            "member_id",
            "order_ref",
            postgresql_where=text("state = 'TAKEN'"),
        ),
        CheckConstraint("(state IN ('TAKEN', 'RETURNED')) = (order_ref IS NOT NULL)", name="taken"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    offer_id: Mapped[UUID] = mapped_column(ForeignKey("gift_offer.id"))
    cycle: Mapped[str]
    state: Mapped[HoldState]
    held_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    # The shop's own number of the order that it went with.
    order_ref: Mapped[str | None]


class BirthdayChange(Table):
    """The one change of a birthday; the key lets nobody change it twice.

    The member's row holds the birthday as it was told last; `before` counts in earlier cycles.
    """

    __tablename__ = "birthday_change"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    before: Mapped[Json]
    # The first cycle in which the new one counts.
    from_cycle: Mapped[int]
    changed_at: Mapped[datetime]


class FestivalRow(Table):
    """A festival that staff added to those everybody knows."""

    __tablename__ = "festival"
    __table_args__ = (
        CheckConstraint("month BETWEEN 1 AND 12 AND day BETWEEN 1 AND 31", name="day"),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    calendar: Mapped[Calendar]
    month: Mapped[int]
    day: Mapped[int]
    created_at: Mapped[datetime]


class OccasionGift(Table):
    """What members are given on an occasion: a coupon of a batch, for one tier or for the others.

    Without an `ended_at` it is in force.
    """

    __tablename__ = "occasion_gift"
    __table_args__ = (
        Index(
            "uq_occasion_gift_for_all",
            "occasion",
            unique=True,
            postgresql_where=text("tier_code IS NULL AND ended_at IS NULL"),
        ),
        Index(
            "uq_occasion_gift_for_tier",
            "occasion",
            "tier_code",
            unique=True,
            postgresql_where=text("tier_code IS NOT NULL AND ended_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    # BIRTHDAY or a festival's code.
    occasion: Mapped[str]
    tier_code: Mapped[str | None] = mapped_column(ForeignKey("tier.code"))
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_batch.id"))
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class OccasionGrant(Table):
    """That a member had their gift of an occasion in a cycle: the key lets nobody have two."""

    __tablename__ = "occasion_grant"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    occasion: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True)
    gift_id: Mapped[UUID] = mapped_column(ForeignKey("occasion_gift.id"))
    outcome: Mapped[GrantOutcome]
    coupon_id: Mapped[UUID | None]
    granted_at: Mapped[datetime]


class OccasionProgress(Table):
    """How far the giving of an occasion has come in the communities of a time zone."""

    __tablename__ = "occasion_progress"

    occasion: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True)
    # Every business day up to this one is done.
    through: Mapped[date]
    # The last member of the day after it that is done.
    position: Mapped[UUID | None]
