"""What is known of members: orders and events as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.arrays import I16, I32, I64, Bools

SESSION: Final = 1
BROWSE: Final = 2
SEARCH: Final = 3
CART: Final = 4
SHARE: Final = 5
CHECK_IN: Final = 6
GROUP_POST: Final = 7
GROUP_LEAVE: Final = 8
MESSAGE_OPEN: Final = 9
MESSAGE_CLICK: Final = 10
LATE: Final = 11
SPOILED: Final = 12
COMPLAINT: Final = 13
COUPON_GRANTED: Final = 14
COUPON_USED: Final = 15
COUPON_EXPIRED: Final = 16
KINDS: Final = 17
"""One more than the highest kind: kinds up to 10 are what members do, the others befall them."""

NEVER: Final = int(np.iinfo(np.int64).max)
"""The instant of what has not happened, or whose time is unknown."""

_DTYPES: Final[dict[str, type[np.generic]]] = {
    "order_member": np.int32,
    "order_at": np.int64,
    "order_fen": np.int64,
    "order_items": np.int32,
    "order_discount_fen": np.int64,
    "order_refund_fen": np.int64,
    "order_refund_at": np.int64,
    "order_products": np.int32,
    "order_gone_at": np.int64,
    "line_order": np.int32,
    "line_product": np.int32,
    "line_category": np.int32,
    "event_member": np.int32,
    "event_at": np.int64,
    "event_kind": np.int16,
    "event_seconds": np.int32,
}


def _none64() -> I64:
    return np.empty(0, np.int64)


def _none32() -> I32:
    return np.empty(0, np.int32)


def _none16() -> I16:
    return np.empty(0, np.int16)


@dataclass(frozen=True, eq=False)
class Facts:
    """Orders with their lines and events of members, one array a column, in any row order.

    `member_ids` holds the keys (any kind); `order_member` and `event_member` are positions in it.
    Instants are UTC epoch seconds. `order_fen` is what was paid after discounts and before
    refunds, in minor units. A refund is seen from `order_refund_at` on; one without a time
    (`NEVER`, or the column left out) is never seen, since it might lie in the future of a
    cutoff. An order that was refunded several times takes one row a refund, of which only the
    first carries amounts: rows of one member and day are one order in any case. From
    `order_gone_at` on an order counts as if it had never been (cancelled); before, it counts.
    `order_products` counts distinct products.

    `line_order` is the position of a line's order among the orders; products and categories are
    any numbers that tell them apart, and a negative category is unknown. `utc_offset` (seconds
    east of UTC) says where days begin.

    Optional columns may be left empty: they become zeros, or NEVER where they are instants.
    Raises ValueError when columns differ in length or a code lies outside what it points into.
    """

    member_ids: Sequence[Any] | NDArray[Any]
    order_member: I32 = field(default_factory=_none32)
    order_at: I64 = field(default_factory=_none64)
    order_fen: I64 = field(default_factory=_none64)
    order_items: I32 = field(default_factory=_none32)
    order_discount_fen: I64 = field(default_factory=_none64)
    order_refund_fen: I64 = field(default_factory=_none64)
    order_refund_at: I64 = field(default_factory=_none64)
    order_products: I32 = field(default_factory=_none32)
    order_gone_at: I64 = field(default_factory=_none64)
    line_order: I32 = field(default_factory=_none32)
    line_product: I32 = field(default_factory=_none32)
    line_category: I32 = field(default_factory=_none32)
    event_member: I32 = field(default_factory=_none32)
    event_at: I64 = field(default_factory=_none64)
    event_kind: I16 = field(default_factory=_none16)
    event_seconds: I32 = field(default_factory=_none32)
    utc_offset: int = 0

    def __post_init__(self) -> None:
        """Fill the optional columns and check lengths and codes."""
        lengths = {
            "order": len(self.order_member),
            "line": len(self.line_order),
            "event": len(self.event_member),
        }
        for name, dtype in _DTYPES.items():
            rows = lengths[name.split("_")[0]]
            column = np.asarray(getattr(self, name), dtype=dtype)
            if not len(column) and rows and name not in _REQUIRED:
                column = np.full(rows, NEVER if name in _INSTANTS else 0, dtype=dtype)
            if column.shape != (rows,):
                raise ValueError(f"{name} has shape {column.shape}, expected ({rows},)")
            object.__setattr__(self, name, column)
        for name, codes, size in (
            ("member_ids", self.order_member, len(self.member_ids)),
            ("member_ids", self.event_member, len(self.member_ids)),
            ("the orders", self.line_order, len(self.order_member)),
        ):
            if len(codes) and (codes.min() < 0 or codes.max() >= size):
                raise ValueError(f"a code lies outside {name}")

    def seen(self, as_of: int) -> Bools:
        """Which orders count at `as_of`: earlier ones that were not gone by then."""
        return (self.order_at < as_of) & (self.order_gone_at >= as_of)

    def before(self, as_of: int) -> "Facts":
        """Only what was known at `as_of`: earlier rows, and refunds that had happened by then.

        Member codes keep their meaning. Nothing that is added at or after `as_of` can change
        the answer's rows. Answers the same object where all of it was known.
        """
        orders, events = self.order_at < as_of, self.event_at < as_of
        known = self if orders.all() and events.all() else self._take(orders, events)
        late = known.order_refund_at >= as_of
        stayed = known.order_gone_at >= as_of
        changed: dict[str, I64] = {}
        if np.any(known.order_refund_fen[late]) or np.any(known.order_refund_at[late] != NEVER):
            changed["order_refund_fen"] = np.where(late, 0, known.order_refund_fen)
            changed["order_refund_at"] = np.where(late, NEVER, known.order_refund_at)
        if np.any(known.order_gone_at[stayed] != NEVER):
            changed["order_gone_at"] = np.where(stayed, NEVER, known.order_gone_at)
        return replace(known, **changed) if changed else known

    def in_order(self) -> "Facts":
        """The same rows sorted by member and instant, and lines as their orders are.

        Facts that are sorted already answer themselves.
        """
        return self._sorted

    @cached_property
    def _sorted(self) -> "Facts":
        orders = ascending(self.order_member, self.order_at)
        events = ascending(self.event_member, self.event_at)
        facts = self
        if orders is not None or events is not None:
            facts = self._take(
                slice(None) if orders is None else orders, slice(None) if events is None else events
            )
        if np.any(facts.line_order[1:] < facts.line_order[:-1]):
            lines = np.argsort(facts.line_order, kind="stable")
            facts = replace(facts, **{name: getattr(facts, name)[lines] for name in _LINES})
        return facts

    @cached_property
    def starts(self) -> tuple[I64, I64, I64]:
        """Where each member's orders, lines and events begin, and an end; of sorted facts only."""
        members = np.arange(len(self.member_ids) + 1)
        orders = np.searchsorted(self.order_member, members)
        lines = np.searchsorted(self.line_order, orders)
        return orders, lines, np.searchsorted(self.event_member, members)

    def _take(self, orders: Bools | I64 | slice, events: Bools | I64 | slice) -> "Facts":
        rows = {"order": orders, "event": events}
        taken: dict[str, Any] = {
            name: getattr(self, name)[rows[name.split("_")[0]]]
            for name in _DTYPES
            if name not in _LINES
        }
        if len(self.line_order) and not isinstance(orders, slice):
            taken |= self._lines_of(orders)
        return replace(self, **taken)

    def _lines_of(self, orders: Bools | I64) -> "dict[str, I32]":
        """Lines of the orders that are taken, pointing to where those will be."""
        places = np.flatnonzero(orders) if orders.dtype == np.bool_ else orders
        place = np.full(len(self.order_member), -1, dtype=np.int32)
        place[places] = np.arange(len(places), dtype=np.int32)
        moved = place[self.line_order]
        kept = moved >= 0
        return {
            "line_order": moved[kept],
            "line_product": self.line_product[kept],
            "line_category": self.line_category[kept],
        }


_REQUIRED: Final = frozenset(
    {"order_member", "order_at", "order_fen", "event_member", "event_at", "event_kind"}
)
_INSTANTS: Final = frozenset({"order_refund_at", "order_gone_at"})
_LINES: Final = ("line_order", "line_product", "line_category")
assert set(_DTYPES) <= {column.name for column in fields(Facts)}


def ascending(member: I32 | I64, at: I64) -> I64 | None:
    """The stable order of rows by member and instant, or None when they already have it."""
    rises = member[1:] > member[:-1]
    if np.all(rises | ((member[1:] == member[:-1]) & (at[1:] >= at[:-1]))):
        return None
    return np.lexsort((at, member))
