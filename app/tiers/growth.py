"""Growth: what tiers are measured by, as one selectable for set SQL."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    SQLColumnExpression,
    Uuid,
    case,
    cast,
    func,
    literal,
    select,
    true,
    type_coerce,
    union_all,
)

from app.kernel.clock import business_day
from app.orders import Order, counted_orders, loose_refunds
from app.points import CheckIn, Lot, Source
from app.tiers.rules import GROWTH_PER_CHECK_IN, GROWTH_PER_SHARING, GROWTH_WINDOW

Near = Callable[[SQLColumnExpression[UUID]], ColumnElement[bool]]


def everyone(_: SQLColumnExpression[UUID]) -> ColumnElement[bool]:
    """No narrowing."""
    return true()


def growth_of(at: datetime, near: Near = everyone) -> "Select[UUID, int, int]":
    """Growth of each member over the 365 days before `at`: `member_id, growth, gross`.

    `growth` counts a yuan of settled spend less refunds as 1, rounded down over the whole window
    and never under 0, a check-in as 1 and a successful invitation as 20. `gross` is what it would
    be had nothing been refunded or taken back; an order cancelled counts in neither. Members
    without any are absent. `near` narrows each table down by its member key.
    """
    pieces = _pieces(at - GROWTH_WINDOW, at, near).subquery()
    net = func.div(func.greatest(func.sum(pieces.c.net), 0), 100)
    gross = func.div(func.greatest(func.sum(pieces.c.gross), 0), 100)
    other, lost = func.sum(pieces.c.other), func.sum(pieces.c.lost)
    return select(
        type_coerce(pieces.c.member_id, Uuid()).label("member_id"),
        cast(net + other, BigInteger).label("growth"),
        cast(gross + other + lost, BigInteger).label("gross"),
    ).group_by(pieces.c.member_id)


_ZERO = literal(0, BigInteger)


def _pieces(
    since: datetime, until: datetime, near: Near
) -> "CompoundSelect[UUID, int, int, int, int]":
    orders = (
        counted_orders(until)
        .where(Order.settled_at >= since, Order.settled_at < until, near(Order.member_id))
        .subquery()
    )
    loose = loose_refunds(since, until).subquery()
    return union_all(
        select(
            orders.c.member_id,
            orders.c.net_fen.label("net"),
            orders.c.total_fen.label("gross"),
            _ZERO.label("other"),
            _ZERO.label("lost"),
        ),
        # Orders refunded in full are none of the counted ones.
        select(Order.member_id, _ZERO, Order.total_fen, _ZERO, _ZERO).where(
            Order.settled_at >= since,
            Order.settled_at < until,
            Order.cancelled_at.is_(None),
            Order.refunded_fen > 0,
            Order.refunded_fen >= Order.total_fen,
            Order.refunded_at < until,
            near(Order.member_id),
        ),
        select(loose.c.member_id, -loose.c.amount_fen, _ZERO, _ZERO, _ZERO).where(
            near(loose.c.member_id)
        ),
        _check_ins(since, until, near),
        _invitations(since, until, near),
    )


def _check_ins(since: datetime, until: datetime, near: Near) -> "Select[UUID, int, int, int, int]":
    # By the instant, like all growth: the day, wherever it is one, only narrows the rows down.
    first = business_day(since, "UTC") - timedelta(days=1)
    one = literal(GROWTH_PER_CHECK_IN, BigInteger)
    return select(CheckIn.member_id, _ZERO, _ZERO, one, _ZERO).where(
        CheckIn.day >= first, CheckIn.at >= since, CheckIn.at < until, near(CheckIn.member_id)
    )


def _invitations(
    since: datetime, until: datetime, near: Near
) -> "Select[UUID, int, int, int, int]":
    taken_back = Lot.clawed >= Lot.amount
    return select(
        Lot.member_id,
        _ZERO,
        _ZERO,
        case((taken_back, 0), else_=GROWTH_PER_SHARING),
        case((taken_back, GROWTH_PER_SHARING), else_=0),
    ).where(
        Lot.source == Source.SHARING,
        Lot.earned_at >= since,
        Lot.earned_at < until,
        near(Lot.member_id),
    )
