"""What is known of all members at once, joined and in their order: arrays in, arrays out.

`Known` is of no instant: it holds what is dated ahead as well, so that the next night can use it.
Whose rows changed are taken out of it and put in anew; nobody else's rows are looked at.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.churn.copying import NEVER, Column, Columns
from app.churn.sources import CHECKED_IN

ORDER_COLUMNS: Final = (
    "member", "at", "gone_at", "fen", "discount_fen", "items", "products", "refund_fen",
    "refund_at", "again",
)  # fmt: skip
LINE_COLUMNS: Final = ("order", "product", "category")
EVENT_COLUMNS: Final = ("member", "at", "kind", "seconds")
_MOST: Final = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Known:
    """Orders and events by member and instant, lines by order; `member` and `order` are positions.

    Instants are epoch seconds. An order with several refunds takes a row for each, the first of
    them with the amounts, the others marked `again`. `rows` counts each member's rows in all the
    tables, `strays` those that belong to nobody.
    """

    rows: Column
    strays: int
    orders: Columns
    lines: Columns
    events: Columns


@dataclass(frozen=True, eq=False)
class Raw:
    """Rows as they lay in the tables, with positions of members and of orders among `orders`.

    Orders have a number each, `tie`, that settles which of two in the same second comes first.
    """

    orders: Columns
    lines: Columns
    refunds: Columns
    told: Columns
    ours: Columns


def joined(raw: Raw, rows: Column, strays: int) -> Known:
    """The rows put together; `raw` is used up."""
    orders, lines = raw.orders, raw.lines
    orders["items"] = _pieces(lines, len(orders["at"]))
    _keep(orders, (orders["at"] != NEVER) & (orders["gone_at"] > orders["at"]), lines, raw.refunds)
    _refunded(orders, raw.refunds)
    turned = _in_time(orders)
    del orders["tie"]
    place = np.empty(len(turned), dtype=np.int32)
    place[turned] = np.arange(len(turned), dtype=np.int32)
    _take(orders, turned)
    lines["order"] = place[lines["order"]]
    _take(lines, by_code(lines["order"]))
    orders["products"] = _articles(lines, len(orders["at"]))
    return Known(rows, strays, orders, lines, _events(raw.told, raw.ours))


def _keep(orders: Columns, chosen: Column, *pointing: Columns) -> None:
    """Leave some orders, and of the rows that point to them those that still have one."""
    if chosen.all():
        return
    place = np.where(chosen, np.cumsum(chosen) - 1, -1).astype(np.int32)
    _take(orders, chosen)
    for columns in pointing:
        known = columns["order"] >= 0
        moved = np.full(len(known), -1, dtype=np.int32)
        moved[known] = place[columns["order"][known]]
        columns["order"] = moved
        # A refund of no order at all is put to one later.
        _take(columns, (moved >= 0) | columns.get("loose", np.zeros(1, dtype=np.bool_)))


def _take(columns: Columns, rows: Column) -> None:
    for name in list(columns):
        columns[name] = columns[name][rows]


def _in_time(orders: Columns, rows: Column | None = None) -> Column:
    """The rows of orders (all of them, or these) by member and instant.

    Orders of one second stand by their ids: tables are read as they lie, which is another way for
    a member alone than for everybody, and both must come to the same.
    """
    member, at = orders["member"], orders["at"]
    turned = np.lexsort((at, member) if rows is None else (at[rows], member[rows]))
    turned = turned if rows is None else rows[turned]
    member, at = member[turned], at[turned]
    same = np.flatnonzero((member[1:] == member[:-1]) & (at[1:] == at[:-1]))
    if len(same):
        tied = np.union1d(same, same + 1)
        tie = orders["tie"][turned[tied]]
        turned[tied] = turned[tied][np.lexsort((tie, at[tied], member[tied]))]
    return turned


def by_code(code: Column) -> Column:
    """The stable order of rows by a code below 2^31: a sort of bare numbers is the fastest."""
    keys = (code.astype(np.int64) << 32) | np.arange(len(code))
    keys.sort()
    keys &= 0xFFFF_FFFF
    return keys


def _pieces(lines: Columns, orders: int) -> Column:
    """How many pieces each order has."""
    pieces = np.bincount(lines["order"], weights=lines.pop("quantity"), minlength=orders)
    return np.clip(pieces, 0, _MOST).astype(np.int32)


def _articles(lines: Columns, orders: int) -> Column:
    """How many different articles each order has; lines lie by order."""
    order, product = lines["order"], lines["product"]
    new = np.ones(len(order), dtype=np.bool_)
    back, left = 1, np.flatnonzero(order[1:] == order[:-1]) + 1
    while len(left):  # once for each line of the longest order, with fewer and fewer rows
        new[left[product[left] == product[left - back]]] = False
        back += 1
        left = left[left >= back]
        left = left[order[left] == order[left - back]]
    return np.bincount(order[new], minlength=orders).astype(np.int32)


def _refunded(orders: Columns, refunds: Columns) -> None:
    """Put refunds to their orders: the first into the order's row, others into rows behind.

    One that names no order goes to the member's latest order at the time; one of an order that
    is not known (unpaid, say) is left out.
    """
    rows = len(orders["at"])
    orders["refund_fen"] = np.zeros(rows, dtype=np.int64)
    orders["refund_at"] = np.full(rows, NEVER, dtype=np.int64)
    orders["again"] = np.zeros(rows, dtype=np.bool_)
    loose = refunds["loose"]
    refunds["order"][loose] = _latest(orders, refunds["member"][loose], refunds["at"][loose])
    known = (refunds["order"] >= 0) & (refunds["fen"] > 0)
    order, at, fen = (refunds[name][known] for name in ("order", "at", "fen"))
    turned = np.lexsort((fen, at, order))
    order, at, fen = order[turned], at[turned], fen[turned]
    again = np.zeros(len(order), dtype=np.bool_)
    np.equal(order[1:], order[:-1], out=again[1:])
    orders["refund_fen"][order[~again]] = fen[~again]
    orders["refund_at"][order[~again]] = at[~again]
    if not again.any():
        return
    behind = {name: column[order[again]] for name, column in orders.items()}
    for name in ("fen", "discount_fen", "items"):
        behind[name] = np.zeros_like(behind[name])
    behind |= {"refund_fen": fen[again], "refund_at": at[again]}
    behind["again"] = np.ones_like(behind["again"])
    for name in list(orders):
        orders[name] = np.concatenate([orders[name], behind[name]])


def _latest(orders: Columns, member: Column, at: Column) -> Column:
    """Each member's latest order at or before an instant, -1 where there is none."""
    if not len(member) or not len(orders["at"]):
        return np.full(len(member), -1, dtype=np.int32)
    concerned = np.isin(orders["member"], member)
    turned = _in_time(orders, np.flatnonzero(concerned))
    if not len(turned):
        return np.full(len(member), -1, dtype=np.int32)
    owner, when = orders["member"][turned].astype(np.int64), orders["at"][turned]
    low = min(int(when.min()), int(at.min()))
    span = max(int(when.max()), int(at.max())) - low + 1
    place = np.searchsorted(owner * span + when - low, member * np.int64(span) + at - low, "right")
    answer = turned[place - 1].astype(np.int32)
    return np.where((place > 0) & (owner[place - 1] == member), answer, -1)


def _events(told: Columns, ours: Columns) -> Columns:
    kept = ~_told_twice(told, ours)
    events = {name: np.concatenate([told.pop(name), ours.pop(name)[kept]]) for name in list(told)}
    dated = events["at"] != NEVER
    if not dated.all():
        _take(events, dated)
    _take(events, np.lexsort((events["at"], events["member"])))
    return events


def _told_twice(told: Columns, ours: Columns) -> Column:
    """Which of our own check-ins were also told of as activities, at the same second."""

    def keys(part: Columns) -> Column:
        chosen = part["kind"] == CHECKED_IN
        return (part["member"][chosen].astype(np.int64) << 36) | part["at"][chosen]

    answer = ours["kind"] == CHECKED_IN
    answer[answer] = np.isin(keys(ours), keys(told))
    return answer


def spliced(old: Known, place: Column, fresh: Known, touched: Column) -> Known:
    """`old` with the rows of touched members taken from `fresh`; `old` is used up.

    `place` gives the positions of the members of `old` among those of `fresh`, rising, or -1;
    `touched` says of each member of `fresh` whether they were read anew.
    """
    stays = place >= 0
    stays[stays] = ~touched[place[stays]]
    rows = fresh.rows.copy()
    rows[place[stays]] = old.rows[stays]
    place = np.where(stays, place, -1).astype(np.int32)
    orders, from_old, from_fresh = _merged(old.orders, fresh.orders, "member", place)
    lines, *_ = _merged(old.lines, fresh.lines, "order", from_old, from_fresh)
    events, *_ = _merged(old.events, fresh.events, "member", place)
    return Known(rows, old.strays, orders, lines, events)


def _merged(
    old: Columns, fresh: Columns, key: str, place: Column, moved: Column | None = None
) -> tuple[Columns, Column, Column]:
    """Old rows with a place, and fresh ones between them, by key; also where each of both is now.

    `place` translates the keys of old rows, `moved` those of fresh ones. Both lie by key, and no
    key is in both.
    """
    code = place[old[key]]
    keep = code >= 0
    kept, code = keep if not keep.all() else slice(None), code[keep]
    new = fresh[key] if moved is None else moved[fresh[key]]
    among = np.searchsorted(code, new) + np.arange(len(new))
    is_new = np.zeros(len(code) + len(new), dtype=np.bool_)
    is_new[among] = True
    ours = ~is_new
    answer: Columns = {}
    for name in list(old):
        answer[name] = np.empty(len(is_new), dtype=old[name].dtype)
        answer[name][ours] = code if name == key else old[name][kept]
        answer[name][is_new] = new if name == key else fresh[name]
        del old[name]
    where = np.full(len(keep), -1, dtype=np.int32)
    where[keep] = np.flatnonzero(ours)
    return answer, where, among.astype(np.int32)


def seen(known: Known, counted: Column, now: int, since: int | None) -> dict[str, Any]:
    """What of it was known at an instant of the members that count; `known` is used up.

    Positions of members become those among the ones that count.
    """
    place = np.where(counted, np.cumsum(counted) - 1, -1).astype(np.int32)
    orders, lines, events = known.orders, known.lines, known.events
    chosen = counted[orders["member"]] & (orders["at"] < now)
    chosen &= ~orders["again"] | (orders["refund_at"] < now)
    del orders["again"]
    _keep(orders, chosen, lines)
    later = orders["gone_at"] >= now
    orders["gone_at"][later] = NEVER
    later = orders["refund_at"] >= now
    orders["refund_fen"][later] = 0
    orders["refund_at"][later] = NEVER
    near = counted[events["member"]] & (events["at"] < now)
    if since is not None:
        near &= events["at"] >= since
    if not near.all():
        _take(events, near)
    for columns in (orders, events):
        columns["member"] = place[columns["member"]]
    return {
        f"{kind}_{name}": column
        for kind, columns in (("order", orders), ("line", lines), ("event", events))
        for name, column in columns.items()
    }
