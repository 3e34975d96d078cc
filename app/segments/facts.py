"""What a run knows of every member, gathered in one statement into a temporary table.

Each of the great tables is read once and in any order: one aggregation of the orders yields the
sums, the orders whose goods may be asked for later, and a digest that tells whether there is
anything new to derive from them. What is only asked of some members is left to whoever asks.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    MetaData,
    Select,
    Subquery,
    Table,
    Text,
    Uuid,
    and_,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ColumnElement

from app import members, orders
from app.kernel.db import Tx
from app.segments.rules import (
    BROWSE_WINDOW,
    FREQUENCY_WINDOW,
    INTEREST_WINDOW,
    RFM_WINDOW,
    SILENT_AFTER,
    SPEND_WINDOW,
)

_INSTANT = DateTime(timezone=True)

# One row a member. Without a key: it is only ever read as a whole.
FACTS = Table(
    "segment_facts",
    MetaData(),
    Column("member_id", Uuid, nullable=False),
    Column("registered_at", _INSTANT, nullable=False),
    Column("orders", BigInteger, nullable=False),
    Column("last_order_at", _INSTANT),
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
    # First and last by name of the categories browsed: one of them differs from a given category
    # whenever any does.
    Column("browsed_first", Text),
    Column("browsed_last", Text),
    # Equal as long as the orders that count, with their payments, are the same.
    Column("orders_digest", BigInteger, nullable=False),
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
    seen = _browsed(as_of)
    number = func.coalesce(bought.c.orders, 0)
    recency = func.floor(func.extract("epoch", as_of - bought.c.last_order_at))
    return (
        select(
            member.id,
            member.registered_at,
            number,
            bought.c.last_order_at,
            cast(bought.c.net, BigInteger) // bought.c.orders,
            func.coalesce(bought.c.orders30, 0),
            func.coalesce(bought.c.orders30_before, 0),
            func.coalesce(bought.c.net90, 0) - func.coalesce(loose.c.net90, 0),
            cast(recency, BigInteger),
            bought.c.orders365,
            bought.c.net365 - func.coalesce(loose.c.net365, 0),
            func.coalesce(seen.c.browses, 0),
            func.coalesce(seen.c.browses_before, 0),
            seen.c.first,
            seen.c.last,
            func.coalesce(bought.c.digest, 0),
        )
        .outerjoin(bought, bought.c.member_id == member.id)
        .outerjoin(loose, loose.c.member_id == member.id)
        .outerjoin(seen, seen.c.member_id == member.id)
        .where(
            member.status != members.MemberStatus.CLOSED,
            member.is_test.is_(False),
            or_(member.registered_at < as_of, number > 0),
        )
    )


def _bought(as_of: datetime) -> Subquery:
    order = orders.counted_orders(as_of).subquery()
    # Sums of bigint are numbers of any length in memory of their own. Sums of whole fen are exact
    # in double precision up to nine quadrillions, and lie in the group's row itself.
    paid, net = order.c.paid_at, cast(order.c.net_fen, Double)

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
            func.sum(net).filter(within(SPEND_WINDOW)).label("net90"),
            func.count().filter(within(RFM_WINDOW)).label("orders365"),
            func.coalesce(func.sum(net).filter(within(RFM_WINDOW)), 0).label("net365"),
            _digest(order.c.id, paid).label("digest"),
        )
        .group_by(order.c.member_id)
        .subquery()
    )


def _digest(id_: ColumnElement[UUID], paid: ColumnElement[datetime]) -> ColumnElement[int]:
    """64 bits of a set of orders and their payments, whatever the order they are read in.

    What is derived from them by the length of a silence is another thing with another length.
    """
    seed = literal(int(SILENT_AFTER.total_seconds()), BigInteger)
    payment = func.date_part("epoch", paid)
    return func.bit_xor(func.hashfloat8extended(payment, func.uuid_hash_extended(id_, seed)))


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

    def within(window: timedelta) -> ColumnElement[bool]:
        return seen.at >= as_of - window

    recent, lately = within(BROWSE_WINDOW), within(INTEREST_WINDOW)
    return (
        select(
            seen.member_id,
            func.count().filter(recent).label("browses"),
            func.count().filter(~recent, within(2 * BROWSE_WINDOW)).label("browses_before"),
            func.min(seen.category).filter(lately).label("first"),
            func.max(seen.category).filter(lately).label("last"),
        )
        .where(
            seen.kind == orders.ActivityKind.BROWSE,
            within(max(2 * BROWSE_WINDOW, INTEREST_WINDOW)),
            seen.at < as_of,
        )
        .group_by(seen.member_id)
        .subquery()
    )
