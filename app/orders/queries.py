"""Reads of orders, and the one definition of which orders count.

An order counts once paid, until it is cancelled or fully refunded; then it counts as if it had
never been. Its instant is that of payment. Its net is what was paid less what went back.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Subquery,
    Uuid,
    and_,
    cast,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
    union_all,
)

from app.kernel.db import Read
from app.kernel.errors import InvalidInput
from app.orders.tables import Activity, ActivityKind, Order, OrderLine, OrderStatus, Refund

_INSTANT = DateTime(timezone=True)
_KEY = Uuid()


def counts() -> ColumnElement[bool]:
    """SQL predicate on `Order`: it counts at present."""
    return Order.status.in_([OrderStatus.PAID, OrderStatus.SETTLED, OrderStatus.PARTLY_REFUNDED])


def net_fen() -> ColumnElement[int]:
    """SQL value of an `Order`: what was paid less what went back, at present."""
    return Order.total_fen - Order.refunded_fen


def counted_orders(as_of: datetime) -> "Select[UUID, UUID, datetime, int, int]":
    """The orders that counted at an instant: `member_id, id, paid_at, total_fen, net_fen`.

    Payments, cancellations and refunds at `as_of` or later are not seen, so that yesterday can be
    replayed. For set SQL: use it as a CTE or subquery and join or group by `member_id`.
    """
    later = _given_back_later(as_of)
    # The order holds the sum of its refunds.
    back = Order.refunded_fen - func.coalesce(later.c.fen, 0)
    return (
        select(
            Order.member_id,
            Order.id,
            cast(Order.paid_at, _INSTANT).label("paid_at"),
            Order.total_fen,
            (Order.total_fen - back).label("net_fen"),
        )
        .outerjoin(later, and_(later.c.member_id == Order.member_id, later.c.order_id == Order.id))
        .where(
            Order.paid_at < as_of,
            or_(Order.cancelled_at.is_(None), Order.cancelled_at >= as_of),
            # Of an order over nothing too, nothing has gone back.
            back < func.greatest(Order.total_fen, 1),
        )
    )


def loose_refunds(since: datetime | None, until: datetime) -> "Select[UUID, int]":
    """Refunds within `[since, until)` whose order is not known: `member_id, amount_fen`."""
    query = select(Refund.member_id, Refund.amount_fen).where(
        Refund.order_id.is_(None), Refund.at < until
    )
    return query if since is None else query.where(Refund.at >= since)


def net_spend(
    since: datetime | None, until: datetime, *, as_of: datetime | None = None
) -> "Select[UUID, int, int, datetime]":
    """Net spend of each member over orders paid in `[since, until)`, as a selectable for set SQL.

    Columns `member_id, net_fen, orders, last_paid_at`; members without orders or refunds are
    absent. Refunds count against their order whenever they came before `as_of` (default `until`);
    refunds without a known order count at their own instant, so that net can be negative and a
    member with only such refunds has 0 orders and no `last_paid_at`. None for `since` means from
    the beginning.
    """
    counted = counted_orders(as_of or until).where(Order.paid_at < until)
    if since is not None:
        counted = counted.where(Order.paid_at >= since)
    bought = counted.subquery()
    loose = loose_refunds(since, until).subquery()
    flows = union_all(
        select(bought.c.member_id, bought.c.net_fen, bought.c.id.label("key"), bought.c.paid_at),
        select(loose.c.member_id, -loose.c.amount_fen, cast(None, _KEY), cast(None, _INSTANT)),
    ).subquery()
    return select(
        type_coerce(flows.c.member_id, _KEY).label("member_id"),
        cast(func.sum(flows.c.net_fen), BigInteger).label("net_fen"),
        func.count(flows.c.key).label("orders"),
        type_coerce(func.max(flows.c.paid_at), _INSTANT).label("last_paid_at"),
    ).group_by(flows.c.member_id)


async def of_number(read: Read, *, member_id: UUID, order_no: str) -> list[Order]:
    """A member's orders of a number. Each source numbers for itself, so there can be several."""
    rows = await read.session.scalars(
        select(Order)
        .where(Order.member_id == member_id, Order.order_no == order_no)
        .order_by(Order.id)
    )
    return list(rows)


def came_to_nothing(same: Iterable[Order]) -> bool:
    """True for orders of one number that are known and were all called off or refunded in full."""
    states = {order.status for order in same}
    return bool(states) and states <= {OrderStatus.CANCELLED, OrderStatus.REFUNDED}


async def require_going_on(read: Read, *, member_id: UUID, order_no: str) -> None:
    """Raise InvalidInput for the number of an order that came to nothing; an unknown one may be."""
    if came_to_nothing(await of_number(read, member_id=member_id, order_no=order_no)):
        raise InvalidInput(
            field="orderRef",
            reason="this order was called off or refunded in full",
            reason_zh="该订单已取消或已全额退款",
        )


async def by_id(read: Read, keys: Iterable[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Order]:
    """Orders by `(member_id, id)`; unknown keys are absent."""
    rows = await read.session.scalars(
        select(Order).where(tuple_(Order.member_id, Order.id).in_(list(keys)))
    )
    return {(row.member_id, row.id): row for row in rows}


async def by_order_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Order]:
    """Orders by id alone; unknown ids are absent."""
    rows = await read.session.scalars(select(Order).where(Order.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def lines_by_order(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], list[OrderLine]]:
    """The lines of orders by `(member_id, order_id)`, in the order of their numbers."""
    rows = await read.session.scalars(
        select(OrderLine)
        .where(tuple_(OrderLine.member_id, OrderLine.order_id).in_(list(keys)))
        .order_by(OrderLine.line_no)
    )
    found: dict[tuple[UUID, UUID], list[OrderLine]] = {}
    for row in rows:
        found.setdefault((row.member_id, row.order_id), []).append(row)
    return found


async def page_of_member(
    read: Read, *, member_id: UUID, after: tuple[datetime, UUID] | None, first: int
) -> list[Order]:
    """A member's orders, newest first, after a keyset position `(placed_at, id)`.

    Answers one more than `first` when there are more.
    """
    query = (
        select(Order)
        .where(Order.member_id == member_id)
        .order_by(Order.placed_at.desc(), Order.id.desc())
        .limit(first + 1)
    )
    if after is not None:
        query = query.where(tuple_(Order.placed_at, Order.id) < tuple_(*after))
    return list(await read.session.scalars(query))


async def has_bought(read: Read, keys: Iterable[tuple[UUID, str]]) -> dict[tuple[UUID, str], bool]:
    """Whether members bought articles: by `(member_id, sku)`, True for a line that counts.

    A line counts when its order does and not all of it was returned.
    """
    wanted = list(keys)
    rows = await read.session.execute(
        select(OrderLine.member_id, OrderLine.sku)
        .join(Order, and_(Order.member_id == OrderLine.member_id, Order.id == OrderLine.order_id))
        .where(
            tuple_(OrderLine.member_id, OrderLine.sku).in_(wanted),
            OrderLine.refunded_quantity < OrderLine.quantity,
            counts(),
        )
        .distinct()
    )
    bought = {(member_id, sku) for member_id, sku in rows}
    return {key: key in bought for key in wanted}


async def settled_count(read: Read, keys: Iterable[UUID]) -> dict[UUID, int]:
    """How many orders that count and are settled each member has; 0 for none."""
    wanted = list(keys)
    rows = await read.session.execute(
        select(Order.member_id, func.count())
        .where(Order.member_id.in_(wanted), Order.settled_at.is_not(None), counts())
        .group_by(Order.member_id)
    )
    found: dict[UUID, int] = {row[0]: row[1] for row in rows}
    return {key: found.get(key, 0) for key in wanted}


async def newest_payment(read: Read) -> datetime | None:
    """When the newest order was paid; None while there is none."""
    return await read.session.scalar(select(func.max(Order.paid_at)))


async def last_activity(
    read: Read, keys: Iterable[UUID], *, kinds: Iterable[ActivityKind] = tuple(ActivityKind)
) -> dict[UUID, datetime]:
    """When each member was last active in one of these ways; members never so are absent."""
    rows = await read.session.execute(
        select(Activity.member_id, func.max(Activity.at))
        .where(Activity.member_id.in_(list(keys)), Activity.kind.in_(list(kinds)))
        .group_by(Activity.member_id)
    )
    return {row[0]: row[1] for row in rows}


def _given_back_later(as_of: datetime) -> Subquery:
    """What went back at an instant or later, by order: little, unless a long past is replayed."""
    return (
        select(
            Refund.member_id,
            Refund.order_id,
            # sum() of bigint is numeric, which would reach Python as Decimal.
            cast(func.sum(Refund.amount_fen), BigInteger).label("fen"),
        )
        .where(Refund.order_id.is_not(None), Refund.at >= as_of)
        .group_by(Refund.member_id, Refund.order_id)
        .subquery()
    )
