"""Coupon templates, the batches that limit them, members' coupons and their redemptions."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table


class Kind(StrEnum):
    """What a coupon does to a basket; the meaning of a template's `value` follows from it."""

    FIXED = "FIXED"  # value: fen off
    PERCENT = "PERCENT"  # value: percent off, 1 to 100
    CATEGORY = "CATEGORY"  # value: fen off the lines of its categories
    EXCHANGE_PRICE = "EXCHANGE_PRICE"  # value: the price in fen of one unit
    SHIPPING = "SHIPPING"  # value: fen off the delivery fee


class Validity(StrEnum):
    """Between fixed instants, or counted in business days from the day of the claim."""

    ABSOLUTE = "ABSOLUTE"
    RELATIVE = "RELATIVE"


class ReturnPolicy(StrEnum):
    """Whether a coupon comes back when its order is refunded."""

    NEVER = "NEVER"
    ON_FULL_REFUND = "ON_FULL_REFUND"


class BatchState(StrEnum):
    """Where a batch stands; only an ACTIVE one gives coupons out."""

    DRAFT = "DRAFT"
    APPROVED = "APPROVED"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    EXHAUSTED = "EXHAUSTED"
    ENDED = "ENDED"
    REVOKED = "REVOKED"


class CodeMode(StrEnum):
    """Whether each coupon carries a code that can be shown at a till."""

    NONE = "NONE"
    UNIQUE = "UNIQUE"


class CouponState(StrEnum):
    """Where a member's coupon stands."""

    WAITING = "WAITING"
    ACTIVE = "ACTIVE"
    RESERVED = "RESERVED"
    REDEEMED = "REDEEMED"
    RETURNED = "RETURNED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Source(StrEnum):
    """What gave a coupon out."""

    DROP = "DROP"
    CAMPAIGN = "CAMPAIGN"
    STAFF = "STAFF"


class Template(Table):
    """What coupons of one make do, where they apply and how long they live."""

    __tablename__ = "coupon_template"
    __table_args__ = (
        CheckConstraint("value > 0", name="value"),
        CheckConstraint("kind <> 'PERCENT' OR value <= 100", name="percent"),
        CheckConstraint("threshold_fen >= 0", name="threshold"),
        CheckConstraint("max_discount_fen > 0", name="max_discount"),
        CheckConstraint("per_member > 0", name="per_member"),
        CheckConstraint(
            "validity <> 'ABSOLUTE' OR coalesce(valid_from < valid_until, false)", name="absolute"
        ),
        CheckConstraint(
            "validity <> 'RELATIVE' OR coalesce(wait_days >= 0 AND valid_days > 0, false)",
            name="relative",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[Kind]
    value: Mapped[int]
    threshold_fen: Mapped[int] = mapped_column(server_default=text("0"))
    # The most one coupon can cost; what a grant reserves of its batch's budget.
    max_discount_fen: Mapped[int]
    # Both empty: every line of a basket is in scope.
    skus: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    categories: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    validity: Mapped[Validity]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    wait_days: Mapped[int | None]
    valid_days: Mapped[int | None]
    validity_reason: Mapped[str | None]
    return_policy: Mapped[ReturnPolicy]
    # Of one group an order takes one coupon; an exclusive coupon stands alone on its order.
    stacking_group: Mapped[str | None]
    exclusive: Mapped[bool] = mapped_column(Boolean, server_default=false())
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    per_member: Mapped[int] = mapped_column(server_default=text("1"))
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]


class Batch(Table):
    """So many coupons of a template, for at most so much money.

    `set_aside` are coupons promised to open drops: already covered by quantity and budget, so that
    a claim touches the drop's row only. `granted` excludes them until the drop has ended.
    """

    __tablename__ = "coupon_batch"
    __table_args__ = (
        Index(None, "template_id"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint(
            "granted >= 0 AND set_aside >= 0 AND granted + set_aside <= quantity", name="granted"
        ),
        CheckConstraint("redeemed >= 0 AND redeemed <= granted + set_aside", name="redeemed"),
        CheckConstraint(
            "reserved_fen >= 0 AND spent_fen >= 0 AND reserved_fen + spent_fen <= budget_fen",
            name="budget",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    template_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_template.id"))
    quantity: Mapped[int]
    budget_fen: Mapped[int]
    code_mode: Mapped[CodeMode]
    state: Mapped[BatchState]
    granted: Mapped[int] = mapped_column(server_default=text("0"))
    set_aside: Mapped[int] = mapped_column(server_default=text("0"))
    redeemed: Mapped[int] = mapped_column(server_default=text("0"))
    reserved_fen: Mapped[int] = mapped_column(server_default=text("0"))
    spent_fen: Mapped[int] = mapped_column(server_default=text("0"))
    approved_by: Mapped[UUID | None]
    created_at: Mapped[datetime]


class Coupon(Table):
    """One coupon of one member."""

    __tablename__ = "coupon"
    __table_args__ = (
        # The n-th coupon of a template exists once a member, however many grants race.
        Index(None, "member_id", "template_id", "nth", unique=True),
        Index(None, "code", unique=True, postgresql_where=text("code IS NOT NULL")),
        Index(None, "batch_id"),
        Index(
            "ix_coupon_due",
            "expires_at",
            postgresql_where=text("state IN ('WAITING', 'ACTIVE')"),
        ),
        Index("ix_coupon_waiting", "usable_from", postgresql_where=text("state = 'WAITING'")),
        CheckConstraint("usable_from < expires_at", name="validity"),
        CheckConstraint("nth > 0", name="nth"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_batch.id"))
    template_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_template.id"))
    nth: Mapped[int]
    source: Mapped[Source]
    # The drop or campaign that gave it.
    source_id: Mapped[UUID | None]
    state: Mapped[CouponState]
    code: Mapped[str | None]
    # The half-open interval in which it can be redeemed.
    usable_from: Mapped[datetime]
    expires_at: Mapped[datetime]
    granted_at: Mapped[datetime]


class Redemption(Table):
    """A coupon used on an order, with the reckoning that led to its discount."""

    __tablename__ = "coupon_redemption"
    __table_args__ = (
        Index(None, "member_id", "order_ref"),
        CheckConstraint("discount_fen > 0", name="discount"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    coupon_id: Mapped[UUID] = mapped_column(primary_key=True)
    # The shop's own number of the order.
    order_ref: Mapped[str]
    discount_fen: Mapped[int]
    explanation: Mapped[Json]
    at: Mapped[datetime]
