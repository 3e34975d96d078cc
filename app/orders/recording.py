"""Reported orders are written by set SQL: one statement an entity, whatever the number of rows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.kernel.db import Tx
from app.orders.events import OrderCancelled, OrderPaid, OrderRefunded, OrderSettled
from app.orders.reports import Complaint, ReportedOrder, ReportedRefund, Verdict, VerdictStatus
from app.orders.rules import (
    Change,
    StoredLine,
    StoredOrder,
    advance,
    complained_at,
    stored_lines,
)
from app.orders.statements import (
    ADVANCE_LINES,
    ADVANCE_ORDERS,
    INSERT_LINES,
    INSERT_ORDERS,
    INSERT_REFUNDS,
    LINES_OF_ORDERS,
    LOCK_ORDERS,
    REFUND_NUMBERS,
)

Key = tuple[UUID, str]
"""An order's member and its number at its source."""


@dataclass(frozen=True, slots=True)
class Row:
    """A sound row of a batch with its place there and its member."""

    index: int
    member_id: UUID
    order: ReportedOrder

    @property
    def key(self) -> Key:
        """By what the order is found."""
        return self.member_id, self.order.order_no


@dataclass(frozen=True, slots=True)
class _Step:
    """What a row adds to a stored order."""

    row: Row
    stored: StoredOrder
    change: Change


async def record_wave(tx: Tx, source: str, rows: Sequence[Row]) -> list[Verdict]:
    """Store rows of which no two are the same order; one verdict each."""
    sound, verdicts = await _with_own_refunds(tx, source, rows)
    # What the report would make of an order that is not there yet.
    alone = {row.index: _alone(row.order) for row in sound}
    new = [row for row in sound if isinstance(alone[row.index], Change)]
    fresh = await _insert(tx, source, new)
    stored = await _stored(tx, source, sound)
    steps: list[_Step] = []
    for row in sound:
        known = stored.get(row.key)
        change = alone[row.index] if known is None else advance(known, row.order)
        if known is None or isinstance(change, Complaint):
            verdicts.append(_no(row, change))
            continue
        if change:
            steps.append(_Step(row, known, change))
        verdicts.append(Verdict(row.index, _status(known, change, fresh), order_id=known.id))
    await _write(tx, source, steps, fresh)
    for step in steps:
        _tell(tx, step)
    return verdicts


def _alone(order: ReportedOrder) -> Change | Complaint:
    if not order.lines:
        return Complaint.NO_LINES
    return advance(StoredOrder(UUID(int=0), stored_lines(order.lines)), order)


async def _with_own_refunds(
    tx: Tx, source: str, rows: Sequence[Row]
) -> tuple[list[Row], list[Verdict]]:
    """The rows whose refund numbers belong to no other order, and the verdicts on the others."""
    taken = await _refund_nos(tx, source, rows)
    claimed: set[Key] = set()
    sound: list[Row] = []
    verdicts: list[Verdict] = []
    for row in rows:
        numbers = {(row.member_id, item.refund_no) for item in row.order.refunds}
        others = [taken[number] for number in numbers if number in taken]
        if numbers & claimed or any(found[1] != row.order.order_no for found in others):
            verdicts.append(_no(row, Complaint.REFUND_NO_TAKEN))
        else:
            claimed |= numbers
            sound.append(row)
    return sound, verdicts


async def _insert(tx: Tx, source: str, rows: Sequence[Row]) -> set[UUID]:
    """Store the orders that are not there yet, only as placed; answers their ids."""
    if not rows:
        return set()
    ids = [tx.new_id() for _ in rows]
    given = {
        "member_id": [row.member_id for row in rows],
        "id": ids,
        "order_no": [row.order.order_no for row in rows],
        "channel": [row.order.channel for row in rows],
        "leader_id": [row.order.leader_id for row in rows],
        "placed_at": [row.order.placed_at for row in rows],
        "total_fen": [sum(line.paid_fen for line in row.order.lines) for row in rows],
        "discount_fen": [row.order.discount_fen for row in rows],
    }
    fresh = set(await tx.session.scalars(INSERT_ORDERS, {"source": source, **given}))
    lines = [
        (row.member_id, order_id, number, x.sku, x.name, x.category, x.quantity, x.paid_fen)
        for row, order_id in zip(rows, ids, strict=True)
        if order_id in fresh
        for number, x in enumerate(row.order.lines, 1)
    ]
    names = ("member_id", "order_id", "line_no", "sku", "name", "category", "quantity", "paid_fen")
    if lines:
        await tx.session.execute(INSERT_LINES, _columns(names, lines))
    return fresh


async def _stored(tx: Tx, source: str, rows: Sequence[Row]) -> dict[Key, StoredOrder]:
    """The rows' orders as they are stored, locked."""
    keys = _columns(("member_id", "order_no"), [row.key for row in rows])
    found = (await tx.session.execute(LOCK_ORDERS, {"source": source, **keys})).all()
    ids = _columns(("member_id", "order_id"), [(order.member_id, order.id) for order in found])
    lines: dict[UUID, list[StoredLine]] = defaultdict(list)
    for line in await tx.session.execute(LINES_OF_ORDERS, ids):
        back = line.refunded_quantity, line.refunded_fen
        lines[line.order_id].append(StoredLine(line.sku, line.quantity, line.paid_fen, *back))
    refunds: dict[UUID | None, dict[str, int]] = defaultdict(dict)
    # Read again now that the orders are locked: another batch may have stored one meanwhile.
    for (_, number), (order_id, _, fen) in (await _refund_nos(tx, source, rows)).items():
        refunds[order_id][number] = fen
    return {
        (order.member_id, order.order_no): StoredOrder(
            id=order.id,
            lines=lines[order.id],
            paid_at=order.paid_at,
            settled_at=order.settled_at,
            cancelled_at=order.cancelled_at,
            promised_at=order.promised_at,
            delivered_at=order.delivered_at,
            refunded_fen=order.refunded_fen,
            late=order.late,
            spoiled=order.spoiled,
            complaint=order.complaint,
            refund_nos=refunds[order.id],
        )
        for order in found
    }


async def _refund_nos(
    tx: Tx, source: str, rows: Sequence[Row]
) -> dict[Key, tuple[UUID | None, str | None, int]]:
    """Which of the rows' refund numbers are stored: the id and number of their order, the fen."""
    keys = [(row.member_id, item.refund_no) for row in rows for item in row.order.refunds]
    if not keys:
        return {}
    given = {"source": source, **_columns(("member_id", "refund_no"), keys)}
    found = await tx.session.execute(REFUND_NUMBERS, given)
    return {(x.member_id, x.refund_no): (x.order_id, x.order_no, x.amount_fen) for x in found}


async def _write(tx: Tx, source: str, steps: Sequence[_Step], fresh: set[UUID]) -> None:
    if not steps:
        return
    instants = ("paid_at", "settled_at", "cancelled_at", "promised_at", "delivered_at")
    flags = ("late", "spoiled", "complaint")
    changes = [
        (
            step.row.member_id,
            step.stored.id,
            *(step.change.instants.get(name) for name in instants),
            *(name in step.change.flags for name in flags),
            complained_at(step.change, tx.now, is_new=step.stored.id in fresh),
            sum(item.amount_fen for item in step.change.refunds),
            max((item.at for item in step.change.refunds), default=None),
        )
        for step in steps
    ]
    names = ("member_id", "order_id", *instants, *flags, "complained_at", "back_fen", "back_at")
    await tx.session.execute(ADVANCE_ORDERS, _columns(names, changes))
    refunds = [_refund(tx, step, item) for step in steps for item in step.change.refunds]
    if not refunds:
        return
    names = ("member_id", "id", "order_id", "refund_no", "line_no", "sku", "quantity")
    names += ("amount_fen", "at", "reason")
    given = _columns(names, refunds)
    await tx.session.execute(INSERT_REFUNDS, {"source": source, **given})
    wanted = ("member_id", "order_id", "line_no", "quantity", "amount_fen")
    await tx.session.execute(ADVANCE_LINES, {name: given[name] for name in wanted})


def _refund(tx: Tx, step: _Step, refund: ReportedRefund) -> tuple[object, ...]:
    sku = None if refund.line_no is None else step.stored.lines[refund.line_no - 1].sku
    key = step.row.member_id, tx.new_id(), step.stored.id
    what = refund.refund_no, refund.line_no, sku, refund.quantity, refund.amount_fen
    return (*key, *what, refund.at, refund.reason)


def _tell(tx: Tx, step: _Step) -> None:
    """Announce what became true of the order."""
    mine = {"member_id": step.row.member_id, "order_id": step.stored.id}
    total, at = step.stored.total_fen, step.change.instants
    if "paid_at" in at:
        placed = step.row.order.placed_at
        tx.emit(OrderPaid(**mine, total_fen=total, placed_at=placed, paid_at=at["paid_at"]))
    if "settled_at" in at:
        tx.emit(OrderSettled(**mine, total_fen=total, settled_at=at["settled_at"]))
    if "cancelled_at" in at:
        tx.emit(OrderCancelled(**mine, total_fen=total, cancelled_at=at["cancelled_at"]))
    back = step.stored.refunded_fen
    for refund in step.change.refunds:
        back += refund.amount_fen
        tx.emit(
            OrderRefunded(
                **mine,
                refund_no=refund.refund_no,
                amount_fen=refund.amount_fen,
                refunded_fen=back,
                total_fen=total,
                at=refund.at,
            )
        )


def _status(stored: StoredOrder, change: Change, fresh: set[UUID]) -> VerdictStatus:
    if stored.id in fresh:
        return VerdictStatus.STORED
    return VerdictStatus.UPDATED if change else VerdictStatus.DUPLICATE


def _no(row: Row, reason: Complaint | Change) -> Verdict:
    complaint = reason if isinstance(reason, Complaint) else Complaint.NO_LINES
    return Verdict(row.index, VerdictStatus.REJECTED, complaint)


def _columns(names: Iterable[str], rows: Sequence[Sequence[object]]) -> dict[str, list[object]]:
    """Rows as one array a column, for unnest."""
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
