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
    """Whether there are codes, and whether before or after there is a coupon."""

    NONE = "NONE"
    # Each coupon carries a code that can be shown at a till.
    UNIQUE = "UNIQUE"
    # Codes are made in advance and handed out on paper: whoever enters one gets the coupon.
    BULK = "BULK"


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
    CODE = "CODE"
    PACK = "PACK"
    GIFT = "GIFT"


class ReturnOutcome(StrEnum):
    """What became of a coupon whose order was refunded in full."""

    CAME_BACK = "CAME_BACK"
    POLICY = "POLICY"  # its template says NEVER
    TOO_LATE = "TOO_LATE"  # fewer than 3 days of its validity were left
    BATCH_REVOKED = "BATCH_REVOKED"
    NO_BUDGET = "NO_BUDGET"  # the batch has promised the money to others meanwhile


class Template(Table):
    """What coupons of one make do, where they apply and how long they live."""

    __tablename__ = "coupon_template"
    __table_args__ = (
        CheckConstraint("value > 0", name="value"),
        CheckConstraint("kind <> 'PERCENT' OR value <= 100", name="percent"),
        CheckConstraint("threshold_fen >= 0", name="threshold"),
        CheckConstraint("max_discount_fen > 0", name="max_discount"),
        CheckConstraint("per_member > 0", name="per_member"),
        CheckConstraint("per_identity > 0", name="per_identity"),
        Index(None, "ready_key", unique=True, postgresql_where=text("ready_key IS NOT NULL")),
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
    # How many one person may have, recognised by phone and WeChat, under whatever account.
    per_identity: Mapped[int | None]
    # For members who have not ordered yet (首单): see firsts.py.
    first_order: Mapped[bool] = mapped_column(Boolean, server_default=false())
    # Names a template that comes with the product (offers.py), so that it is made once.
    ready_key: Mapped[str | None]
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
        CheckConstraint("approved_by <> drafted_by OR approved_alone", name="four_eyes"),
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
    drafted_by: Mapped[UUID | None]
    approved_by: Mapped[UUID | None]
    # Approved by who drafted it, in a house where one person does everything.
    approved_alone: Mapped[bool] = mapped_column(Boolean, server_default=false())
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
        Index("ix_coupon_reserved", "reserved_until", postgresql_where=text("state = 'RESERVED'")),
        CheckConstraint("usable_from < expires_at", name="validity"),
        CheckConstraint("nth > 0", name="nth"),
        CheckConstraint(
            "(state = 'RESERVED') = (reserved_until IS NOT NULL)"
            " AND (reserved_until IS NULL) = (reserved_for IS NULL)",
            name="reservation",
        ),
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
    # The order that is being placed with it, and until when it is held for that.
    reserved_for: Mapped[str | None]
    reserved_until: Mapped[datetime | None]


class Redemption(Table):
    """A coupon used on an order, with the reckoning that led to its discount."""

    __tablename__ = "coupon_redemption"
    __table_args__ = (
        Index(None, "member_id", "order_ref"),
        CheckConstraint("discount_fen > 0", name="discount"),
        CheckConstraint("lost_fen BETWEEN 0 AND discount_fen", name="lost"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    coupon_id: Mapped[UUID] = mapped_column(primary_key=True)
    # The shop's own number of the order.
    order_ref: Mapped[str]
    discount_fen: Mapped[int]
    explanation: Mapped[Json]
    at: Mapped[datetime]
    # Of the discount, what was lost when goods came back; and how that was reckoned, the last time.
    lost_fen: Mapped[int] = mapped_column(server_default=text("0"))
    settlement: Mapped[Json | None]


class Return(Table):
    """The past use of a coupon on an order that was refunded in full, and what became of it."""

    __tablename__ = "coupon_return"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    coupon_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_ref: Mapped[str] = mapped_column(primary_key=True)
    discount_fen: Mapped[int]
    explanation: Mapped[Json]
    redeemed_at: Mapped[datetime]
    outcome: Mapped[ReturnOutcome]
    at: Mapped[datetime]


class Code(Table):
    """A code made in advance; it has a coupon once somebody entered it."""

    __tablename__ = "coupon_code"
    __table_args__ = (
        Index(None, "batch_id"),
        CheckConstraint("(coupon_id IS NULL) = (taken_at IS NULL)", name="taken"),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_batch.id"))
    coupon_id: Mapped[UUID | None]
    taken_at: Mapped[datetime | None]


class PersonLimit(Table):
    """The n-th coupon of a template that went to a person, who may come by several accounts.

    A person is the blind index of a phone or of a WeChat id, as `kind:issuer:blind`. The row
    outlives the account.
    """

    __tablename__ = "coupon_person"
    __table_args__ = (
        Index(None, "coupon_id"),
        Index(None, "person"),
        CheckConstraint("nth > 0", name="nth"),
    )

    template_id: Mapped[UUID] = mapped_column(ForeignKey("coupon_template.id"), primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    nth: Mapped[int] = mapped_column(primary_key=True)
    coupon_id: Mapped[UUID]
