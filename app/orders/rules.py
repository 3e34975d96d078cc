"""Decisions about reported orders and events: pure functions of plain values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from app.orders.reports import (
    LARGEST_ORDER,
    Complaint,
    ReportedEvent,
    ReportedLine,
    ReportedOrder,
    ReportedRefund,
)

EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a reporter's clock may be ahead of ours."""
LARGEST_QUANTITY: Final = 1_000_000
LARGEST_FEN: Final = 10**11
LONGEST_SECONDS: Final = 86_400
_SHORT, _LONG, _LONGEST = 64, 200, 500


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line as it is stored, with what of it went back."""

    sku: str
    quantity: int
    paid_fen: int
    refunded_quantity: int = 0
    refunded_fen: int = 0


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order as it is stored; lines in the order of their numbers, from 1."""

    id: UUID
    lines: Sequence[StoredLine]
    paid_at: datetime | None = None
    settled_at: datetime | None = None
    cancelled_at: datetime | None = None
    promised_at: datetime | None = None
    delivered_at: datetime | None = None
    refunded_fen: int = 0
    late: bool = False
    spoiled: bool = False
    complaint: bool = False
    # What each known refund, by its number, gave back.
    refund_nos: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def total_fen(self) -> int:
        """What is paid for the order."""
        return sum(line.paid_fen for line in self.lines)


_INSTANTS: Final = ("paid_at", "settled_at", "cancelled_at", "promised_at", "delivered_at")
_FLAGS: Final = ("late", "spoiled", "complaint")
# Nothing of these comes before the order was placed.
_AFTER_PLACING: Final = ("paid_at", "settled_at", "cancelled_at", "delivered_at")


@dataclass(frozen=True, slots=True)
class Change:
    """What a report adds to a stored order: instants and flags that were not set, refunds."""

    instants: dict[str, datetime] = field(default_factory=dict[str, datetime])
    flags: frozenset[str] = frozenset()
    refunds: tuple[ReportedRefund, ...] = ()

    def __bool__(self) -> bool:
        """True if anything is new."""
        return bool(self.instants or self.flags or self.refunds)


COMPLAINT_WINDOW = timedelta(days=14)
"""An order that comes new, with its complaint, so long after it arrived is history being brought
in: when the complaint was made is not known."""


def complained_at(change: Change, now: datetime, *, is_new: bool) -> datetime | None:
    """When a complaint in a report was told; None without one, or where it is old news.

    >>> now = datetime(2026, 3, 20, tzinfo=UTC)
    >>> old = Change({"delivered_at": datetime(2026, 3, 1, tzinfo=UTC)}, frozenset({"complaint"}))
    >>> complained_at(old, now, is_new=False) == now, complained_at(old, now, is_new=True)
    (True, None)
    """
    if "complaint" not in change.flags:
        return None
    arrived = change.instants.get("delivered_at") or change.instants.get("settled_at")
    return None if is_new and arrived and now - arrived > COMPLAINT_WINDOW else now


def fault_of_order(order: ReportedOrder, now: datetime) -> Complaint | None:
    """What is wrong with a reported order in itself, whatever is stored."""
    if len(order.lines) > LARGEST_ORDER or len(order.refunds) > LARGEST_ORDER:
        return Complaint.TOO_MANY
    if not _are_texts(_texts_of(order)):
        return Complaint.BAD_TEXT
    instants = [order.placed_at, *(getattr(order, name) for name in _INSTANTS)]
    instants.remove(order.promised_at)  # a promise is about the future
    if not _have_been([*instants, *(refund.at for refund in order.refunds)], now):
        return Complaint.BAD_INSTANT
    if not _are_numbers(order):
        return Complaint.BAD_NUMBER
    if len({refund.refund_no for refund in order.refunds}) < len(order.refunds):
        return Complaint.REFUND_NO_TAKEN
    if not order.lines:
        return None
    # What exceeds its own lines can be right for no stored order.
    change = advance(StoredOrder(UUID(int=0), stored_lines(order.lines)), order)
    return change if change is Complaint.REFUND_EXCEEDS else None


def fault_of_event(event: ReportedEvent, now: datetime) -> Complaint | None:
    """What is wrong with a reported event."""
    optional = (event.sku, event.category, event.app_version, event.touchpoint)
    texts = [(event.event_id, 128), *((text, _SHORT) for text in optional if text is not None)]
    if not _are_texts(texts):
        return Complaint.BAD_TEXT
    if not _have_been([event.at], now):
        return Complaint.BAD_INSTANT
    return None if 0 <= event.seconds <= LONGEST_SECONDS else Complaint.BAD_NUMBER


def stored_lines(lines: Sequence[ReportedLine]) -> list[StoredLine]:
    """Reported lines as they will be stored."""
    return [StoredLine(line.sku, line.quantity, line.paid_fen) for line in lines]


def advance(stored: StoredOrder, given: ReportedOrder) -> Change | Complaint:
    """What the report adds to the stored order, which only ever moves forward.

    Instants and flags that are set stay as they are; refunds known by their number are passed
    over. Complains of other lines, of a refund's number with another amount, of refunds beyond what
    was paid, of an order that would be settled or refunded without having been paid or before it
    was, and of what happened before it was placed.

    >>> at = datetime(2026, 3, 1, tzinfo=UTC)
    >>> line = ReportedLine("A", "apple", 2, 500)
    >>> from app.orders.tables import Channel; from app.orders.reports import Whose
    >>> report = ReportedOrder(Whose(), "1", Channel.APP, at, [line], paid_at=at)
    >>> advance(StoredOrder(UUID(int=1), [StoredLine("A", 2, 500)]), report).instants.keys()
    dict_keys(['paid_at'])
    """
    if given.lines and [(x.sku, x.quantity, x.paid_fen) for x in stored.lines] != [
        (x.sku, x.quantity, x.paid_fen) for x in given.lines
    ]:
        return Complaint.ORDER_DIFFERS
    known = stored.refund_nos
    if any(known.get(item.refund_no, item.amount_fen) != item.amount_fen for item in given.refunds):
        return Complaint.REFUND_NO_TAKEN
    fresh = [item for item in given.refunds if item.refund_no not in known]
    if not _fits(stored, fresh):
        return Complaint.REFUND_EXCEEDS
    instants = {
        name: value
        for name in _INSTANTS
        if (value := getattr(given, name)) is not None and getattr(stored, name) is None
    }
    paid_at = stored.paid_at or instants.get("paid_at")
    if paid_at is None and ("settled_at" in instants or fresh):
        return Complaint.NOT_PAID
    after = [(instants.get(name), given.placed_at) for name in _AFTER_PLACING]
    after += [(at, paid_at) for at in (instants.get("settled_at"), *(item.at for item in fresh))]
    if any(at and before and at < before - CLOCK_SKEW for at, before in after):
        return Complaint.BAD_INSTANT
    flags = {name for name in _FLAGS if getattr(given, name) and not getattr(stored, name)}
    return Change(instants, frozenset(flags), tuple(fresh))


def _fits(stored: StoredOrder, refunds: Sequence[ReportedRefund]) -> bool:
    """True if nothing goes back beyond what was paid and bought."""
    if stored.refunded_fen + sum(item.amount_fen for item in refunds) > stored.total_fen:
        return False
    for number in {item.line_no for item in refunds if item.line_no is not None}:
        if not 1 <= number <= len(stored.lines):
            return False
        line = stored.lines[number - 1]
        mine = [item for item in refunds if item.line_no == number]
        if line.refunded_fen + sum(item.amount_fen for item in mine) > line.paid_fen:
            return False
        if line.refunded_quantity + sum(item.quantity for item in mine) > line.quantity:
            return False
    return True


def _texts_of(order: ReportedOrder) -> list[tuple[str, int]]:
    texts = [(order.order_no, _SHORT)]
    for line in order.lines:
        texts += [(line.sku, _SHORT), (line.name, _LONG)]
        texts += [] if line.category is None else [(line.category, _SHORT)]
    for refund in order.refunds:
        texts.append((refund.refund_no, 128))
        texts += [] if refund.reason is None else [(refund.reason, _LONGEST)]
    return texts


def _are_texts(texts: Iterable[tuple[str, int]]) -> bool:
    return all(
        0 < len(text) <= longest and bool(text.strip()) and is_storable(text)
        for text, longest in texts
    )


def is_storable(text: str) -> bool:
    """False for NUL and halves of surrogate pairs, which PostgreSQL cannot store."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _have_been(instants: Iterable[datetime | None], now: datetime) -> bool:
    return all(at is None or EARLIEST <= at <= now + CLOCK_SKEW for at in instants)


def _are_numbers(order: ReportedOrder) -> bool:
    quantities = all(0 < line.quantity <= LARGEST_QUANTITY for line in order.lines)
    returned = all(0 <= refund.quantity <= LARGEST_QUANTITY for refund in order.refunds)
    amounts = [line.paid_fen for line in order.lines]
    amounts += [refund.amount_fen for refund in order.refunds] + [order.discount_fen]
    return quantities and returned and all(0 <= amount <= LARGEST_FEN for amount in amounts)
