"""The tables that churn facts come from: what is read of each, and how changed members are found.

Tables are read as they lie, all of them or the rows of some members, and joined in memory:
PostgreSQL would sort or hash the same rows at several times the cost.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    SmallInteger,
    and_,
    case,
    column,
    func,
    literal_column,
    select,
    true,
    union_all,
    values,
)
from sqlalchemy import Integer as Whole
from sqlalchemy import cast as sql_cast

from app.churn.copying import Column
from app.coupons import Coupon, CouponState, Redemption, Return
from app.members import Member
from app.orders import Activity, ActivityKind, Order, OrderLine, Refund
from app.points import CheckIn

KIND_CODES: Final = {kind: number for number, kind in enumerate(ActivityKind, start=1)}
"""The models' numbers of what members do: SESSION is 1, MESSAGE_CLICK 10."""

LATE, SPOILED, COMPLAINT, COUPON_GRANTED, COUPON_USED, COUPON_EXPIRED = range(11, 17)
"""The models' numbers of what befalls members."""

CHECKED_IN: Final = KIND_CODES[ActivityKind.CHECK_IN]
ONE_A_ROW: Final = (COUPON_GRANTED, COUPON_USED, CHECKED_IN)
"""Kinds of `befallen` that occur once for each row of a table, so that rows can be counted."""

COMPLAINT_SEEN: Final = timedelta(days=14)
"""How long after its delivery a complaint is seen of which nobody wrote down when it was made: one
from the future of a cutoff must not be."""

ORDERS: Final = {"member": 16, "id": 16, "at": 8, "gone_at": 8, "fen": 8, "discount_fen": 8}
LINES: Final = {"order": 16, "quantity": 4, "product": 4, "category": 4}
REFUNDS: Final = {"member": 16, "order": 16, "at": 8, "fen": 8}
EVENTS: Final = {"member": 16, "at": 8, "kind": 2, "seconds": 4}

_ENDLESS: Final = literal_column("'infinity'::timestamptz")
_NO_ORDER: Final = literal_column("'00000000-0000-0000-0000-000000000000'::uuid")
_TABLES: Final = (Order, OrderLine, Refund, Activity, Coupon, Redemption, Return, CheckIn)

Whose = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""Of whom rows are read: a condition on the column that holds the member's id."""


def everybody(_: ColumnElement[Any]) -> ColumnElement[bool]:
    """No condition."""
    return true()


def only(ids: Column) -> Whose:
    """The condition of being one of these members (16-byte values)."""
    digits = ids.tobytes().hex()
    listed = ",".join(digits[start : start + 32] for start in range(0, len(digits), 32))
    wanted = literal_column(f"ANY('{{{listed}}}'::uuid[])")
    return lambda member: member.op("=", is_comparison=True)(wanted)


def between(first: UUID, end: UUID | None) -> Whose:
    """The condition of having an id from `first` on and before `end`, if there is one."""
    low = literal_column(f"'{first}'::uuid")
    if end is None:
        return lambda member: member >= low
    high = literal_column(f"'{end}'::uuid")
    return lambda member: and_(member >= low, member < high)


def members(whose: Whose = everybody) -> "Select[*tuple[Any, ...]]":
    """Members, in the order of their ids."""
    is_test = sql_cast(sql_cast(Member.is_test, Whole), SmallInteger)
    return select(Member.id, is_test).where(whose(Member.id.expression)).order_by(Member.id)


def orders(whose: Whose) -> "Select[*tuple[Any, ...]]":
    """Orders, paid or not."""
    return select(
        Order.member_id,
        Order.id,
        func.coalesce(Order.paid_at, _ENDLESS),
        func.coalesce(Order.cancelled_at, _ENDLESS),
        Order.total_fen,
        Order.discount_fen,
    ).where(whose(Order.member_id.expression))


def lines(whose: Whose) -> "Select[*tuple[Any, ...]]":
    """Lines; articles and categories by a hash, which hardly two of one member share."""
    category = func.hashtext(OrderLine.category).op("&")(literal_column("2147483647"))
    return select(
        OrderLine.order_id,
        OrderLine.quantity,
        func.hashtext(OrderLine.sku),
        func.coalesce(category, literal_column("-1")),
    ).where(whose(OrderLine.member_id.expression))


def refunds(whose: Whose) -> "Select[*tuple[Any, ...]]":
    """Refunds, with an id of zeros where they name no order."""
    return select(
        Refund.member_id, func.coalesce(Refund.order_id, _NO_ORDER), Refund.at, Refund.amount_fen
    ).where(whose(Refund.member_id.expression))


def activities(whose: Whose) -> "Select[*tuple[Any, ...]]":
    """What members did besides ordering."""
    number = case(
        *((Activity.kind == kind, literal_column(str(code))) for kind, code in KIND_CODES.items())
    )
    kind = sql_cast(number, SmallInteger)
    query = select(Activity.member_id, Activity.at, kind, sql_cast(Activity.seconds, Whole))
    return query.where(whose(Activity.member_id.expression))


def befallen(whose: Whose) -> "Select[*tuple[Any, ...]]":
    """Faults of deliveries, coupons and check-ins, each at the instant from which it was known.

    A late or spoiled order is known once it is delivered. A coupon that was not used by its end
    has expired then, whether or not it has been told so yet.
    """
    arrived = func.coalesce(Order.delivered_at, Order.settled_at)
    late = Order.late | func.coalesce(Order.delivered_at > Order.promised_at, False)
    unused = Coupon.state.in_((CouponState.WAITING, CouponState.ACTIVE, CouponState.EXPIRED))
    # One pass over the orders, most of which had no fault, and one over the coupons.
    fault = _either(
        (LATE, arrived, late),
        (SPOILED, arrived, Order.spoiled.expression),
        (
            COMPLAINT,
            func.coalesce(Order.complained_at, arrived + COMPLAINT_SEEN),
            Order.complaint.expression,
        ),
    )
    coupon = _either(
        (COUPON_GRANTED, Coupon.granted_at.expression, true()),
        (COUPON_EXPIRED, Coupon.expires_at.expression, unused),
    )
    used, check_in = literal_column(str(COUPON_USED)), literal_column(str(CHECKED_IN))
    every = union_all(
        select(Order.member_id.label("member"), fault.c.at.label("at"), fault.c.kind)
        .join(fault, fault.c.holds)
        .where(late | Order.spoiled | Order.complaint, whose(Order.member_id.expression)),
        select(Coupon.member_id, coupon.c.at, coupon.c.kind)
        .join(coupon, coupon.c.holds)
        .where(whose(Coupon.member_id.expression)),
        select(Redemption.member_id, Redemption.at, used).where(
            whose(Redemption.member_id.expression)
        ),
        select(Return.member_id, Return.redeemed_at, used).where(
            whose(Return.member_id.expression)
        ),
        select(CheckIn.member_id, CheckIn.at, check_in).where(whose(CheckIn.member_id.expression)),
    ).subquery()
    return select(
        every.c.member,
        func.coalesce(every.c.at, _ENDLESS),
        sql_cast(every.c.kind, SmallInteger),
        sql_cast(literal_column("0"), Whole),
    )


def _either(*cases: tuple[int, ColumnElement[Any], ColumnElement[bool]]) -> FromClause:
    """A line for each case of a row: its kind, its instant, and whether it holds."""
    rows = [(literal_column(str(number)), at, holds) for number, at, holds in cases]
    names = column("kind", Whole), column("at", DateTime(True)), column("holds", Boolean)
    return values(*names, name="cases").data(rows).lateral()


def touched(age: int) -> "Select[*tuple[Any, ...]]":
    """Whose rows have a version that began at most `age` transactions ago, one line a row.

    A version from before two thousand million transactions looks new: it is read once more.
    """
    keys = [(Member, Member.id), *((table, table.member_id) for table in _TABLES)]
    return union_all(
        *(
            select(key).where(literal_column(f"age({table.__tablename__}.xmin) <= {age:d}"))
            for table, key in keys
        )
    )  # pyright: ignore[reportReturnType]


def rows() -> str:
    """How many rows there are in all tables together, as SQL."""
    counts = " UNION ALL ".join(f"SELECT count(*) FROM {one.__tablename__}" for one in _TABLES)
    return f"SELECT sum(count)::bigint FROM ({counts}) AS counts"
