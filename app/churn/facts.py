"""What is known of members, as columns for the models: read by COPY in blocks, without a row loop.

One repeatable-read transaction gives all columns of one instant; it is over before a model runs.
Tables are read as they lie and joined here: PostgreSQL would sort or hash the same rows at several
times the cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    SmallInteger,
    case,
    column,
    func,
    literal_column,
    select,
    text,
    true,
    union_all,
    values,
)
from sqlalchemy import Integer as Whole
from sqlalchemy import cast as sql_cast

from app.churn.bought import Bought, found, read_bought
from app.churn.copying import NEVER, Column, Columns, Places, copy_columns, seconds
from app.coupons import Coupon, CouponState, Redemption, Return
from app.kernel.db import Database
from app.members import Member
from app.orders import Activity, ActivityKind, Order, Refund
from app.points import CheckIn

KIND_CODES: Final = {kind: number for number, kind in enumerate(ActivityKind, start=1)}
"""The models' numbers of what members do: SESSION is 1, MESSAGE_CLICK 10."""

LATE, SPOILED, COMPLAINT, COUPON_GRANTED, COUPON_USED, COUPON_EXPIRED = range(11, 17)
"""The models' numbers of what befalls members."""

COMPLAINT_SEEN: Final = timedelta(days=14)
"""How long after its delivery an order's complaint is seen: orders do not say when it was made, and
a complaint from the future of a cutoff must not be."""

_ENDLESS: Final = literal_column("'infinity'::timestamptz")
_NO_ORDER: Final = literal_column("'00000000-0000-0000-0000-000000000000'::uuid")


@dataclass(frozen=True, eq=False)
class ChurnFacts:
    """Orders with lines and events of all members but the test ones, one array a column.

    `order_member` and `event_member` are positions in `member_ids` (16-byte values; `ids` gives
    UUIDs), `line_order` in the orders. Instants are UTC epoch seconds, money is fen; an instant
    that has not come is NEVER. An order with several refunds takes a row for each, the amounts
    standing in the first. `utc_offset` (seconds) is the platform's zone at the instant read.
    """

    member_ids: Column
    order_member: Column
    order_at: Column
    order_fen: Column
    order_items: Column
    order_discount_fen: Column
    order_refund_fen: Column
    order_refund_at: Column
    order_products: Column
    order_gone_at: Column
    line_order: Column
    line_product: Column
    line_category: Column
    event_member: Column
    event_at: Column
    event_kind: Column
    event_seconds: Column
    utc_offset: int

    def ids(self, positions: Sequence[int] | Column) -> list[UUID]:
        """The members at these positions."""
        return [UUID(bytes=bytes(value)) for value in self.member_ids[positions].tolist()]


async def read_facts(
    database: Database,
    *,
    as_of: datetime,
    zone: str,
    events_since: datetime | None = None,
    kept: Path | None = None,
) -> ChurnFacts:
    """Everything that happened before `as_of`, and nothing of what happened since.

    An order that was cancelled by then carries the instant, so that it counts for cutoffs before
    it. Of events only those from `events_since` on are read, if it is given. With `kept`, a file,
    orders and lines are read only as far as they changed since it was written (see `bought.py`);
    the answer is the same. Memory is that of the arrays (60 bytes an order, 12 a line, 18 an
    event), of the keys while they are joined, and one block of 8 MB.
    """
    async with database.read() as read:
        connection = await read.session.connection(
            execution_options={"isolation_level": "REPEATABLE READ"}
        )
        # The adapter begins its transaction with the first statement that goes through it; without
        # one each COPY of the driver's would see another instant.
        await connection.execute(text("SELECT 1"))
        raw = (await connection.get_raw_connection()).driver_connection
        driver = cast("asyncpg.Connection", raw)
        everyone = await copy_columns(driver, _members(), {"id": 16, "is_test": 2})
        counted = everyone["is_test"] == 0
        ids = everyone["id"][counted]
        members = Places(ids)
        places = np.where(counted, np.cumsum(counted) - 1, -1).astype(np.int32)
        bought = await read_bought(driver, everyone["id"], kept)
        orders, lines, own = _as_known(bought, places, as_of)
        del bought
        refunds = await _read_refunds(driver, members, as_of)
        events = await _read_events(driver, members, as_of, events_since)
    refunds["order"] = found(own, refunds["order"])
    offset = as_of.astimezone(ZoneInfo(zone)).utcoffset()
    _refunded(orders, refunds)
    return ChurnFacts(
        member_ids=ids,
        **{f"order_{name}": column for name, column in orders.items()},
        **{f"line_{name}": column for name, column in lines.items()},
        **{f"event_{name}": column for name, column in events.items()},
        utc_offset=0 if offset is None else int(offset.total_seconds()),
    )


def _members() -> "Select[*tuple[Any, ...]]":
    return select(Member.id, sql_cast(sql_cast(Member.is_test, Whole), SmallInteger)).order_by(
        Member.id
    )


def _of_members(places: Places, block: Columns) -> Columns:
    """A block with positions for ids and seconds for instants; rows of strangers are left out."""
    block["member"] = places.of(block["member"])
    block["at"] = seconds(block["at"])
    known = block["member"] >= 0
    return block if known.all() else {name: column[known] for name, column in block.items()}


def _as_known(bought: Bought, places: Column, as_of: datetime) -> tuple[Columns, Columns, Column]:
    """Orders that were paid before `as_of`, of members with a place, and their lines.

    Also the ids of these orders. One that was cancelled by then carries the instant.
    """
    orders, lines = dict(bought.orders), dict(bought.lines)
    now = int(as_of.timestamp())
    # Who is not among the members of the snapshot has no place.
    orders["member"] = np.where(orders["member"] >= 0, places[orders["member"]], -1)
    orders["at"] = seconds(orders["at"])
    gone = seconds(orders["gone_at"])
    orders["gone_at"] = np.where(gone < now, gone, NEVER)
    kept = (orders["member"] >= 0) & (orders["at"] < now) & (orders["gone_at"] > orders["at"])
    if not kept.all():
        orders = {name: column[kept] for name, column in orders.items()}
        moved = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        lines["order"] = moved[lines["order"]]
        known = lines["order"] >= 0
        lines = {name: column[known] for name, column in lines.items()}
    del lines["line_no"], lines["quantity"]
    return orders, lines, orders.pop("id")


async def _read_refunds(driver: "asyncpg.Connection", members: Places, as_of: datetime) -> Columns:
    query = select(
        Refund.member_id, func.coalesce(Refund.order_id, _NO_ORDER), Refund.at, Refund.amount_fen
    ).where(Refund.at < as_of, Refund.amount_fen > 0)

    def refine(block: Columns) -> Columns:
        halves = np.ascontiguousarray(block["order"]).view(np.uint64).reshape(-1, 2)
        block["loose"] = np.all(halves == 0, axis=1, keepdims=True)[:, 0]
        return _of_members(members, block)

    return await copy_columns(driver, query, {"member": 16, "order": 16, "at": 8, "fen": 8}, refine)


async def _read_events(
    driver: "asyncpg.Connection", members: Places, as_of: datetime, since: datetime | None
) -> Columns:
    widths = {"member": 16, "at": 8, "kind": 2, "seconds": 4}
    told, ours = [
        await copy_columns(driver, query, widths, lambda block: _of_members(members, block))
        for query in (_activities(as_of, since), _befallen(as_of, since))
    ]
    twice = _check_ins_told(told, ours)
    return {name: np.concatenate([told.pop(name), ours.pop(name)[~twice]]) for name in list(told)}


def _check_ins_told(told: Columns, ours: Columns) -> Column:
    """Which of our own check-ins were also told of as activities, at the same second."""
    code = KIND_CODES[ActivityKind.CHECK_IN]

    def keys(part: Columns) -> Column:
        chosen = part["kind"] == code
        return (part["member"][chosen].astype(np.int64) << 36) | part["at"][chosen]

    answer = ours["kind"] == code
    answer[answer] = np.isin(keys(ours), keys(told))
    return answer


def _activities(as_of: datetime, since: datetime | None) -> "Select[*tuple[Any, ...]]":
    number = case(
        *((Activity.kind == kind, literal_column(str(code))) for kind, code in KIND_CODES.items())
    )
    kind = sql_cast(number, SmallInteger)
    query = select(Activity.member_id, Activity.at, kind, sql_cast(Activity.seconds, Whole))
    return query.where(Activity.at < as_of, *(() if since is None else (Activity.at >= since,)))


def _befallen(as_of: datetime, since: datetime | None) -> "Select[*tuple[Any, ...]]":
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
        (COMPLAINT, arrived + COMPLAINT_SEEN, Order.complaint.expression),
    )
    coupon = _either(
        (COUPON_GRANTED, Coupon.granted_at.expression, true()),
        (COUPON_EXPIRED, Coupon.expires_at.expression, unused),
    )
    used = literal_column(str(COUPON_USED))
    check_in = str(KIND_CODES[ActivityKind.CHECK_IN])
    every = union_all(
        select(Order.member_id.label("member"), fault.c.at.label("at"), fault.c.kind)
        .join(fault, fault.c.holds)
        .where(late | Order.spoiled | Order.complaint),
        select(Coupon.member_id, coupon.c.at, coupon.c.kind).join(coupon, coupon.c.holds),
        select(Redemption.member_id, Redemption.at, used),
        select(Return.member_id, Return.redeemed_at, used),
        select(CheckIn.member_id, CheckIn.at, literal_column(check_in)),
    ).subquery()
    query = select(
        every.c.member,
        every.c.at,
        sql_cast(every.c.kind, SmallInteger),
        sql_cast(literal_column("0"), Whole),
    )
    return query.where(every.c.at < as_of, *(() if since is None else (every.c.at >= since,)))


def _either(*cases: tuple[int, ColumnElement[Any], ColumnElement[bool]]) -> FromClause:
    """A line for each case of a row: its kind, its instant, and whether it holds."""
    rows = [(literal_column(str(number)), at, holds) for number, at, holds in cases]
    names = column("kind", Whole), column("at", DateTime(True)), column("holds", Boolean)
    return values(*names, name="cases").data(rows).lateral()


def _refunded(orders: Columns, refunds: Columns) -> None:
    """Put refunds to their orders: the first into the order's row, others into rows behind.

    One that names no order goes to the member's latest order at the time; one of an order that
    is not known (unpaid, say) is left out.
    """
    rows = len(orders["at"])
    orders["refund_fen"] = np.zeros(rows, dtype=np.int64)
    orders["refund_at"] = np.full(rows, NEVER, dtype=np.int64)
    loose = refunds["loose"]
    refunds["order"][loose] = _latest(orders, refunds["member"][loose], refunds["at"][loose])
    known = refunds["order"] >= 0
    order, at, fen = (refunds[name][known] for name in ("order", "at", "fen"))
    turned = np.lexsort((at, order))
    order, at, fen = order[turned], at[turned], fen[turned]
    again = np.zeros(len(order), dtype=np.bool_)
    np.equal(order[1:], order[:-1], out=again[1:])
    orders["refund_fen"][order[~again]] = fen[~again]
    orders["refund_at"][order[~again]] = at[~again]
    if not again.any():
        return
    behind = {name: column[order[again]] for name, column in orders.items()}
    for name in ("fen", "discount_fen", "items", "products"):
        behind[name] = np.zeros_like(behind[name])
    behind |= {"refund_fen": fen[again], "refund_at": at[again]}
    for name, first in orders.items():
        orders[name] = np.concatenate([first, behind[name]])


def _latest(orders: Columns, member: Column, at: Column) -> Column:
    """Each member's latest order at or before an instant, -1 where there is none."""
    if not len(member) or not len(orders["at"]):
        return np.full(len(member), -1, dtype=np.int32)
    turned = np.lexsort((orders["at"], orders["member"]))
    owner, when = orders["member"][turned].astype(np.int64), orders["at"][turned]
    low = min(int(when.min()), int(at.min()))
    span = max(int(when.max()), int(at.max())) - low + 1
    place = np.searchsorted(owner * span + when - low, member * np.int64(span) + at - low, "right")
    answer = turned[place - 1].astype(np.int32)
    return np.where((place > 0) & (owner[place - 1] == member), answer, -1)
