"""What a run knows of every member, gathered in one statement into a temporary table."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    MetaData,
    Select,
    Subquery,
    Table,
    Uuid,
    and_,
    cast,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ColumnElement

from app import members, orders
from app.kernel.db import Tx
from app.segments.rules import (
    BROWSE_WINDOW,
    CATEGORY_WINDOW,
    FREQUENCY_WINDOW,
    INTEREST_WINDOW,
    RFM_WINDOW,
    SPEND_WINDOW,
)

FACTS = Table(
    "segment_facts",
    MetaData(),
    Column("member_id", Uuid, primary_key=True),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("orders", BigInteger, nullable=False),
    Column("last_order_at", DateTime(timezone=True)),
    Column("average_order_fen", BigInteger),
    Column("orders30", BigInteger, nullable=False),
    Column("orders30_before", BigInteger, nullable=False),
    Column("net90", BigInteger, nullable=False),
    # RFM: whole seconds since the last order, orders and net fen of 365 days.
    Column("recency", BigInteger),
    Column("frequency", BigInteger),
    Column("monetary", BigInteger),
    Column("browses", BigInteger, nullable=False),
    Column("browses_before", BigInteger, nullable=False),
    # Buys one category only, while browsing others.
    Column("looks_elsewhere", Boolean, nullable=False),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)


async def gather(tx: Tx, as_of: datetime) -> None:
    """Fill the temporary table of facts as of an instant; it goes with the transaction."""
    await tx.session.execute(CreateTable(FACTS))
    chosen = everyone(as_of)
    names = [column.name for column in FACTS.columns]
    await tx.session.execute(insert(FACTS).from_select(names, chosen))


def everyone(as_of: datetime) -> "Select[*tuple[Any, ...]]":
    """Every member's facts, in the order of the table's columns.

    Members whose account is closed and test members do not count. An imported member may have
    ordered before registering.
    """
    member = members.Member
    bought, loose = _bought(as_of), _loose(as_of)
    seen, elsewhere = _browsed(as_of), _looks_elsewhere(as_of)
    number = func.coalesce(bought.c.orders, 0)
    recency = func.floor(func.extract("epoch", as_of - bought.c.last_order_at))
    return (
        select(
            member.id,
            member.registered_at,
            number,
            bought.c.last_order_at,
            cast(func.div(bought.c.net, bought.c.orders), BigInteger),
            func.coalesce(bought.c.orders30, 0),
            func.coalesce(bought.c.orders30_before, 0),
            func.coalesce(bought.c.net90, 0) - func.coalesce(loose.c.net90, 0),
            cast(recency, BigInteger),
            bought.c.orders365,
            bought.c.net365 - func.coalesce(loose.c.net365, 0),
            func.coalesce(seen.c.browses, 0),
            func.coalesce(seen.c.browses_before, 0),
            elsewhere.c.member_id.is_not(None),
        )
        .outerjoin(bought, bought.c.member_id == member.id)
        .outerjoin(loose, loose.c.member_id == member.id)
        .outerjoin(seen, seen.c.member_id == member.id)
        .outerjoin(elsewhere, elsewhere.c.member_id == member.id)
        .where(
            member.status != members.MemberStatus.CLOSED,
            member.is_test.is_(False),
            or_(member.registered_at < as_of, number > 0),
        )
    )


def _bought(as_of: datetime) -> Subquery:
    order = orders.counted_orders(as_of).subquery()
    paid, net = order.c.paid_at, order.c.net_fen

    def within(window: timedelta) -> ColumnElement[bool]:
        return paid >= as_of - window

    before = and_(paid >= as_of - 2 * FREQUENCY_WINDOW, paid < as_of - FREQUENCY_WINDOW)
    return (
        select(
            order.c.member_id,
            func.count().label("orders"),
            func.max(paid).label("last_order_at"),
            func.sum(net).label("net"),
            func.count().filter(within(FREQUENCY_WINDOW)).label("orders30"),
            func.count().filter(before).label("orders30_before"),
            func.coalesce(func.sum(net).filter(within(SPEND_WINDOW)), 0).label("net90"),
            func.count().filter(within(RFM_WINDOW)).label("orders365"),
            func.coalesce(func.sum(net).filter(within(RFM_WINDOW)), 0).label("net365"),
        )
        .group_by(order.c.member_id)
        .subquery()
    )


def _loose(as_of: datetime) -> Subquery:
    """Refunds whose order is not known lower the net of their own time."""
    query = orders.loose_refunds(as_of - RFM_WINDOW, as_of)
    query = query.add_columns(orders.Refund.at)
    refund = query.subquery()
    recent = refund.c.at >= as_of - SPEND_WINDOW
    return (
        select(
            refund.c.member_id,
            func.coalesce(func.sum(refund.c.amount_fen).filter(recent), 0).label("net90"),
            func.sum(refund.c.amount_fen).label("net365"),
        )
        .group_by(refund.c.member_id)
        .subquery()
    )


def _browsed(as_of: datetime) -> Subquery:
    seen = orders.Activity
    recent = seen.at >= as_of - BROWSE_WINDOW
    return (
        select(
            seen.member_id,
            func.count().filter(recent).label("browses"),
            func.count().filter(~recent).label("browses_before"),
        )
        .where(
            seen.kind == orders.ActivityKind.BROWSE,
            seen.at >= as_of - 2 * BROWSE_WINDOW,
            seen.at < as_of,
        )
        .group_by(seen.member_id)
        .subquery()
    )


def _looks_elsewhere(as_of: datetime) -> Subquery:
    """Members who bought one category only and browsed another; goods without one are unknown."""
    order, line = orders.counted_orders(as_of).subquery(), orders.OrderLine
    only = (
        select(order.c.member_id, func.min(line.category).label("category"))
        .join(line, and_(line.member_id == order.c.member_id, line.order_id == order.c.id))
        .where(order.c.paid_at >= as_of - CATEGORY_WINDOW, line.category.is_not(None))
        .group_by(order.c.member_id)
        .having(func.min(line.category) == func.max(line.category))
        .subquery()
    )
    seen = orders.Activity
    return (
        select(seen.member_id)
        .join(only, and_(only.c.member_id == seen.member_id, only.c.category != seen.category))
        .where(
            seen.kind == orders.ActivityKind.BROWSE,
            seen.at >= as_of - INTEREST_WINDOW,
            seen.at < as_of,
        )
        .distinct()
        .subquery()
    )
