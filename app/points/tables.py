"""The points ledger: accounts, lots, entries, allocations and check-ins.

Invariants that a single row can state are CHECK constraints here; those that span rows are read by
`queries.audit`. The account row is the one lock of a member and currency: whoever changes lots,
entries or allocations holds it.
"""

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
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table
from app.members import IdentityKind


class Currency(StrEnum):
    """What is counted; one is never turned into the other implicitly."""

    POINTS = "POINTS"
    CARBON = "CARBON"


class LotStatus(StrEnum):
    """Where a lot is in its life."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    EXHAUSTED = "EXHAUSTED"
    EXPIRED = "EXPIRED"
    REVERSED = "REVERSED"


class Source(StrEnum):
    """What a lot was earned by; decides when it expires."""

    PURCHASE = "PURCHASE"
    COMEBACK = "COMEBACK"
    CHECK_IN = "CHECK_IN"
    SHARING = "SHARING"
    REVIEW = "REVIEW"
    CAMPAIGN = "CAMPAIGN"
    ECO = "ECO"
    ADJUST = "ADJUST"
    REFUND = "REFUND"


class EntryKind(StrEnum):
    """What an entry of the ledger did."""

    EARN = "EARN"
    RELEASE = "RELEASE"
    SPEND = "SPEND"
    SPEND_REFUND = "SPEND_REFUND"
    EXPIRE = "EXPIRE"
    CLAWBACK = "CLAWBACK"
    DEBT = "DEBT"
    SETTLE = "SETTLE"
    ADJUST = "ADJUST"
    MERGE = "MERGE"


class Account(Table):
    """A member's totals in one currency, and the row that every movement locks."""

    __tablename__ = "points_account"
    __table_args__ = (
        CheckConstraint("active >= 0 AND pending >= 0 AND debt >= 0", "not_negative"),
        CheckConstraint("debt = 0 OR active = 0", "debt_first"),
        CheckConstraint(
            "merged_into IS NULL OR (active = 0 AND pending = 0 AND debt = 0)", "merged_is_empty"
        ),
        Index(None, "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    active: Mapped[int] = mapped_column(server_default=text("0"))
    pending: Mapped[int] = mapped_column(server_default=text("0"))
    debt: Mapped[int] = mapped_column(server_default=text("0"))
    changed_at: Mapped[datetime]
    # Whoever the member was merged into has everything that was here, and gets what still comes.
    merged_into: Mapped[UUID | None] = mapped_column(ForeignKey("member.id"))


class Lot(Table):
    """Points earned at once, which expire at once. PENDING without `available_at`: unsettled.

    `subject` names what was rewarded (an order, a day); with `rule` it is the idempotency of
    earning. `clawed` is how much refunds of the lot's order have taken back in all, from this lot
    or from others in its stead.
    """

    __tablename__ = "points_lot"
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "currency"], ["points_account.member_id", "points_account.currency"]
        ),
        CheckConstraint("amount > 0 AND remaining BETWEEN 0 AND amount", "remaining"),
        CheckConstraint("clawed BETWEEN 0 AND amount", "clawed"),
        CheckConstraint("(status IN ('PENDING', 'ACTIVE')) = (remaining > 0)", "live_has_points"),
        CheckConstraint("status <> 'REVERSED' OR clawed = amount", "reversed_is_clawed"),
        CheckConstraint(
            "available_at IS NOT NULL OR (status <> 'ACTIVE' AND expires_at IS NULL)",
            "available",
        ),
        CheckConstraint("expires_at > available_at", "expires_after_available"),
        Index("uq_points_lot_subject", "member_id", "currency", "rule", "subject", unique=True),
        # A comeback bonus is given once an episode; taken back in full, it may be given again.
        Index(
            "uq_points_lot_episode",
            "member_id",
            "rule",
            "episode_id",
            unique=True,
            postgresql_where=text("clawed < amount"),
        ),
        Index(
            "ix_points_lot_live",
            "member_id",
            "currency",
            "expires_at",
            postgresql_where=text("status IN ('PENDING', 'ACTIVE')"),
        ),
        Index(
            "ix_points_lot_due_release",
            "available_at",
            postgresql_where=text("status = 'PENDING'"),
        ),
        Index("ix_points_lot_due_expiry", "expires_at", postgresql_where=text("status = 'ACTIVE'")),
        Index("ix_points_lot_order", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    currency: Mapped[Currency]
    source: Mapped[Source]
    rule: Mapped[str]
    subject: Mapped[str | None]
    order_id: Mapped[UUID | None]
    order_line_id: Mapped[UUID | None]
    episode_id: Mapped[UUID | None]
    parent_id: Mapped[UUID | None]
    amount: Mapped[int]
    remaining: Mapped[int]
    clawed: Mapped[int] = mapped_column(server_default=text("0"))
    status: Mapped[LotStatus]
    earned_at: Mapped[datetime]
    available_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


# What each kind of entry does to active, pending and debt, in multiples of its amount.
_DELTAS = """CASE kind
  WHEN 'EARN' THEN active_delta + pending_delta = amount AND active_delta >= 0
    AND pending_delta >= 0 AND debt_delta = 0
  WHEN 'RELEASE' THEN active_delta = amount AND pending_delta = -amount AND debt_delta = 0
  WHEN 'SPEND' THEN active_delta = -amount AND pending_delta = 0 AND debt_delta = 0
  WHEN 'SPEND_REFUND' THEN active_delta = amount AND pending_delta = 0 AND debt_delta = 0
  WHEN 'EXPIRE' THEN active_delta = -amount AND pending_delta = 0 AND debt_delta = 0
  WHEN 'CLAWBACK' THEN active_delta + pending_delta = -amount AND active_delta <= 0
    AND pending_delta <= 0 AND debt_delta = 0
  WHEN 'DEBT' THEN active_delta = 0 AND pending_delta = 0 AND debt_delta = amount
  WHEN 'SETTLE' THEN active_delta = -amount AND pending_delta = 0 AND debt_delta = -amount
  WHEN 'ADJUST' THEN abs(active_delta) = amount AND pending_delta = 0 AND debt_delta = 0
  ELSE true END"""


class Entry(Table):
    """One movement, written once and never changed. `amount` is positive, the deltas are signed.

    `subject` makes a movement unique of its kind (an order paid with points, a staff request).
    `parent_seq` of a SPEND_REFUND is the SPEND it returns.
    """

    __tablename__ = "points_entry"
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "currency"], ["points_account.member_id", "points_account.currency"]
        ),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint(_DELTAS, "deltas"),
        CheckConstraint(
            "kind <> 'ADJUST' OR (actor_id IS NOT NULL AND reason <> '')", "adjust_has_reason"
        ),
        Index(None, "member_id", "currency", "seq"),
        Index(
            "uq_points_entry_subject",
            "member_id",
            "currency",
            "kind",
            "subject",
            unique=True,
        ),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    currency: Mapped[Currency]
    kind: Mapped[EntryKind]
    amount: Mapped[int]
    active_delta: Mapped[int] = mapped_column(server_default=text("0"))
    pending_delta: Mapped[int] = mapped_column(server_default=text("0"))
    debt_delta: Mapped[int] = mapped_column(server_default=text("0"))
    source: Mapped[Source | None]
    subject: Mapped[str | None]
    parent_seq: Mapped[int | None]
    order_id: Mapped[UUID | None]
    actor_id: Mapped[UUID | None]
    reason: Mapped[str | None]
    at: Mapped[datetime]


class Allocation(Table):
    """The part of an entry that one lot gave or got; every entry but DEBT is paired in full.

    `returned` of a SPEND's allocation is what refunds have given back of it.
    """

    __tablename__ = "points_allocation"
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "entry_seq"], ["points_entry.member_id", "points_entry.seq"]
        ),
        ForeignKeyConstraint(["member_id", "lot_id"], ["points_lot.member_id", "points_lot.id"]),
        CheckConstraint("amount > 0 AND returned BETWEEN 0 AND amount", "amount"),
        Index(None, "member_id", "lot_id"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    entry_seq: Mapped[int] = mapped_column(primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(primary_key=True)
    amount: Mapped[int]
    returned: Mapped[int] = mapped_column(server_default=text("0"))


class CheckIn(Table):
    """A member's check-in of one business day; the key is what makes it once a day."""

    __tablename__ = "check_in"
    __table_args__ = (CheckConstraint("streak > 0 AND points >= 0", "positive"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    streak: Mapped[int]
    points: Mapped[int]
    at: Mapped[datetime]


class ExpiryNotice(Table):
    """That a member was told of points which end at this instant; once for each such instant."""

    __tablename__ = "points_expiry_notice"

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(primary_key=True)
    points: Mapped[int]
    at: Mapped[datetime]


class ShareTarget(StrEnum):
    """What a member shares."""

    PRODUCT = "PRODUCT"
    DROP = "DROP"
    COMMUNITY = "COMMUNITY"


class Share(Table):
    """A member's link to something; its code is the proof of who invited. One a target."""

    __tablename__ = "share"
    __table_args__ = (
        Index(None, "member_id", "target_kind", "target", unique=True),
        Index(None, "code", unique=True),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    target_kind: Mapped[ShareTarget]
    # A SKU or a drop's id; empty for the whole community.
    target: Mapped[str]
    code: Mapped[str]
    created_at: Mapped[datetime]


class InvitationState(StrEnum):
    """What became of an invitation."""

    ACCEPTED = "ACCEPTED"
    REWARDED = "REWARDED"
    VOID = "VOID"


class Invitation(Table):
    """Who invited a member: one inviter an invitee, for good. `order_id` is what was rewarded."""

    __tablename__ = "invitation"
    __table_args__ = (
        CheckConstraint("inviter_id <> member_id OR state = 'VOID'", "not_oneself"),
        CheckConstraint("(state = 'REWARDED') = (order_id IS NOT NULL)", "rewarded_for_order"),
        Index(None, "inviter_id", "accepted_at"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    inviter_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    share_id: Mapped[UUID]
    state: Mapped[InvitationState]
    accepted_at: Mapped[datetime]
    order_id: Mapped[UUID | None]
    points: Mapped[int] = mapped_column(server_default=text("0"))


class InvitedIdentity(Table):
    """The blind index of an identity that has accepted an invitation, whatever account it has."""

    __tablename__ = "invited_identity"
    __table_args__ = (Index(None, "kind", "app", "blind", unique=True),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    kind: Mapped[IdentityKind] = mapped_column(primary_key=True)
    app: Mapped[str] = mapped_column(primary_key=True)
    blind: Mapped[str] = mapped_column(primary_key=True)
