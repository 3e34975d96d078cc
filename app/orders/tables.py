"""Orders with their lines and refunds, and what members do besides buying.

Every table of a member's facts leads its key with the member, so that hash partitions by member
need no rewrite. An order's status is derived by the database from the facts stored with it: facts
only accumulate, so a status can only move forward.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table


class OrderStatus(StrEnum):
    """How far an order has come; derived from its instants and refunds."""

    PLACED = "PLACED"
    PAID = "PAID"
    SETTLED = "SETTLED"
    PARTLY_REFUNDED = "PARTLY_REFUNDED"
    REFUNDED = "REFUNDED"
    CANCELLED = "CANCELLED"


class Channel(StrEnum):
    """Where an order was placed or a member was active."""

    MINI_PROGRAM = "MINI_PROGRAM"
    APP = "APP"
    STORE = "STORE"


class ActivityKind(StrEnum):
    """What a member did."""

    SESSION = "SESSION"
    BROWSE = "BROWSE"
    SEARCH = "SEARCH"
    CART = "CART"
    SHARE = "SHARE"
    CHECK_IN = "CHECK_IN"
    GROUP_POST = "GROUP_POST"
    GROUP_LEAVE = "GROUP_LEAVE"
    MESSAGE_OPEN = "MESSAGE_OPEN"
    MESSAGE_CLICK = "MESSAGE_CLICK"


class ImportKind(StrEnum):
    """What an imported file holds."""

    ORDERS = "ORDERS"
    EVENTS = "EVENTS"


class ImportPhase(StrEnum):
    """How far an import has come: rows are staged, then merged, then refunds are matched."""

    STAGING = "STAGING"
    MERGING = "MERGING"
    MATCHING = "MATCHING"
    FINISHED = "FINISHED"


_STATUS = """CASE
 WHEN cancelled_at IS NOT NULL THEN 'CANCELLED'
 WHEN refunded_fen > 0 AND refunded_fen = total_fen THEN 'REFUNDED'
 WHEN refunded_fen > 0 THEN 'PARTLY_REFUNDED'
 WHEN settled_at IS NOT NULL THEN 'SETTLED'
 WHEN paid_at IS NOT NULL THEN 'PAID'
 ELSE 'PLACED' END"""


class Order(Table):
    """What a member ordered at once; `total_fen` is what is paid for it after discounts."""

    __tablename__ = "member_order"
    __table_args__ = (
        # Also serves "the orders of a member, newest first".
        Index(None, "member_id", "placed_at"),
        Index(None, "member_id", "source", "order_no", unique=True),
        Index(None, "paid_at"),
        CheckConstraint("total_fen >= 0 AND discount_fen >= 0", name="amounts"),
        CheckConstraint("refunded_fen BETWEEN 0 AND total_fen", name="refunded_within_total"),
        CheckConstraint("paid_at IS NOT NULL OR refunded_fen = 0", name="refunded_once_paid"),
        CheckConstraint("paid_at IS NOT NULL OR settled_at IS NULL", name="settled_once_paid"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    # The system that reported the order, and its number there.
    source: Mapped[str]
    order_no: Mapped[str]
    status: Mapped[OrderStatus] = mapped_column(Computed(_STATUS, persisted=True))
    channel: Mapped[Channel]
    leader_id: Mapped[UUID | None] = mapped_column(ForeignKey("member.id"))
    placed_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    # The latest refund's instant.
    refunded_at: Mapped[datetime | None]
    total_fen: Mapped[int]
    discount_fen: Mapped[int] = mapped_column(server_default=text("0"))
    refunded_fen: Mapped[int] = mapped_column(server_default=text("0"))
    promised_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    late: Mapped[bool] = mapped_column(Boolean, server_default=false())
    spoiled: Mapped[bool] = mapped_column(Boolean, server_default=false())
    complaint: Mapped[bool] = mapped_column(Boolean, server_default=false())
    # When it was told; unknown of orders that came with theirs long after the delivery.
    complained_at: Mapped[datetime | None]


class OrderLine(Table):
    """One article of an order; `paid_fen` is for the whole quantity, after discounts.

    No foreign key leads to the order: PostgreSQL would look it up for every line, which takes
    longer than storing the line, and lines are only ever written by the statement batch that
    writes their order.
    """

    __tablename__ = "order_line"
    __table_args__ = (
        CheckConstraint("quantity > 0 AND paid_fen >= 0", name="amounts"),
        CheckConstraint("refunded_quantity BETWEEN 0 AND quantity", name="returned_within_bought"),
        CheckConstraint("refunded_fen BETWEEN 0 AND paid_fen", name="refunded_within_paid"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    quantity: Mapped[int] = mapped_column(Integer)
    refunded_quantity: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    paid_fen: Mapped[int]
    refunded_fen: Mapped[int] = mapped_column(server_default=text("0"))
    sku: Mapped[str]
    name: Mapped[str]
    category: Mapped[str | None]


class Refund(Table):
    """Money that went back to a member.

    A source that does not say which order a return belongs to leaves `order_id` empty; the import
    then looks for the order and marks what it found as `matched`. A refund without an order still
    lowers the member's net spend.
    """

    __tablename__ = "refund"
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "order_id"], ["member_order.member_id", "member_order.id"]
        ),
        Index(None, "member_id", "source", "refund_no", unique=True),
        Index(None, "member_id", "order_id"),
        Index(None, "at"),
        CheckConstraint("amount_fen >= 0 AND quantity >= 0", name="amounts"),
        CheckConstraint("NOT matched OR order_id IS NOT NULL", name="matched_has_order"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    refund_no: Mapped[str]
    order_id: Mapped[UUID | None]
    line_no: Mapped[int | None] = mapped_column(Integer)
    matched: Mapped[bool] = mapped_column(Boolean, server_default=false())
    sku: Mapped[str | None]
    quantity: Mapped[int] = mapped_column(Integer)
    amount_fen: Mapped[int]
    at: Mapped[datetime]
    reason: Mapped[str | None]


class Activity(Table):
    """Something a member did besides buying: an event with the id its reporter gave it.

    No foreign key leads to the member, for the same reason as with order lines: events are the
    most numerous rows of all, and whoever writes them has just looked their members up.
    """

    __tablename__ = "activity"
    __table_args__ = (
        # Events arrive nearly in the order of time: a block range index finds a window of it.
        Index(None, "at", postgresql_using="brin"),
        CheckConstraint("seconds >= 0", name="seconds"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[ActivityKind]
    seconds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    channel: Mapped[Channel | None]
    sku: Mapped[str | None]
    category: Mapped[str | None]
    app_version: Mapped[str | None]
    touchpoint: Mapped[str | None]


class ImportRun(Table):
    """One file's import: what it was, and how far it has come.

    The progress is stored by the transaction that stores the rows, so that an import that was
    killed goes on where it was.
    """

    __tablename__ = "import_run"
    __table_args__ = (Index(None, "source", "fingerprint", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[ImportKind]
    source: Mapped[str]
    # SHA-256 over the file's bytes and the options that change its meaning.
    fingerprint: Mapped[str]
    file_name: Mapped[str]
    phase: Mapped[ImportPhase]
    rows_read: Mapped[int] = mapped_column(server_default=text("0"))
    rows_staged: Mapped[int] = mapped_column(server_default=text("0"))
    rows_rejected: Mapped[int] = mapped_column(server_default=text("0"))
    rejects_path: Mapped[str | None]
    rejects_bytes: Mapped[int] = mapped_column(server_default=text("0"))
    next_bucket: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
