"""What is known of members: orders and events as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
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

NEVER: Final = int(np.iinfo(np.int64).max)
"""The instant of a refund that has not happened, or whose time is unknown."""

_DTYPES: Final[dict[str, type[np.generic]]] = {
    "order_member": np.int32,
    "order_at": np.int64,
    "order_fen": np.int64,
    "order_items": np.int32,
    "order_discount_fen": np.int64,
    "order_refund_fen": np.int64,
    "order_refund_at": np.int64,
    "order_products": np.int32,
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
    """Orders and events of members, one array a column, in any row order.

    `member_ids` holds the keys (any kind); `order_member` and `event_member` are positions in it.
    Instants are UTC epoch seconds. `order_fen` is what was paid after discounts and before
    refunds, in minor units. A refund is seen from `order_refund_at` on; one without a time
    (`NEVER`, or the column left out) is never seen, since it might lie in the future of a
    cutoff. `order_products` counts distinct products. `utc_offset` (seconds east of UTC) says
    where days begin.

    Optional columns may be left empty: they become zeros. Raises ValueError when columns differ
    in length or a member code lies outside `member_ids`.
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
    event_member: I32 = field(default_factory=_none32)
    event_at: I64 = field(default_factory=_none64)
    event_kind: I16 = field(default_factory=_none16)
    event_seconds: I32 = field(default_factory=_none32)
    utc_offset: int = 0

    def __post_init__(self) -> None:
        """Fill the optional columns and check lengths and codes."""
        lengths = {"order": len(self.order_member), "event": len(self.event_member)}
        for name, dtype in _DTYPES.items():
            rows = lengths[name.split("_")[0]]
            column = np.asarray(getattr(self, name), dtype=dtype)
            if not len(column) and rows and name not in _REQUIRED:
                fill = NEVER if name == "order_refund_at" else 0
                column = np.full(rows, fill, dtype=dtype)
            if column.shape != (rows,):
                raise ValueError(f"{name} has shape {column.shape}, expected ({rows},)")
            object.__setattr__(self, name, column)
        for codes in (self.order_member, self.event_member):
            if len(codes) and (codes.min() < 0 or codes.max() >= len(self.member_ids)):
                raise ValueError("a member code lies outside member_ids")

    def before(self, as_of: int) -> "Facts":
        """Only what was known at `as_of`: earlier rows, and refunds that had happened by then.

        Member codes keep their meaning. Nothing that is added at or after `as_of` can change
        the answer's rows.
        """
        orders = self.order_at < as_of
        known = self._take(orders, self.event_at < as_of)
        hidden = known.order_refund_at >= as_of
        return replace(
            known,
            order_refund_fen=np.where(hidden, 0, known.order_refund_fen),
            order_refund_at=np.where(hidden, NEVER, known.order_refund_at),
        )

    def in_order(self) -> "Facts":
        """The same rows sorted by member and instant, so that cutoffs need not sort again."""
        orders = ascending(self.order_member, self.order_at)
        events = ascending(self.event_member, self.event_at)
        if orders is None and events is None:
            return self
        return self._take(
            slice(None) if orders is None else orders, slice(None) if events is None else events
        )

    def _take(self, orders: Bools | I64 | slice, events: Bools | I64 | slice) -> "Facts":
        rows = {"order": orders, "event": events}
        taken = {name: getattr(self, name)[rows[name.split("_")[0]]] for name in _DTYPES}
        return replace(self, **taken)


_REQUIRED: Final = frozenset(
    {"order_member", "order_at", "order_fen", "event_member", "event_at", "event_kind"}
)
assert set(_DTYPES) <= {column.name for column in fields(Facts)}


def ascending(member: I32 | I64, at: I64) -> I64 | None:
    """The stable order of rows by member and instant, or None when they already have it."""
    rises = member[1:] > member[:-1]
    if np.all(rises | ((member[1:] == member[:-1]) & (at[1:] >= at[:-1]))):
        return None
    return np.lexsort((at, member))
