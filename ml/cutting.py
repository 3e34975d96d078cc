"""The facts of some members alone, so that another process can have just those."""

from typing import Final

import numpy as np

from ml.arrays import I64, Numbers
from ml.facts import Facts

_ORDER_COLUMNS: Final = (
    "order_at",
    "order_fen",
    "order_items",
    "order_discount_fen",
    "order_refund_fen",
    "order_refund_at",
    "order_products",
    "order_gone_at",
)


def cut(facts: Facts, members: Numbers) -> Facts:
    """The rows of some members (codes, ascending), who become 0, 1, 2 …; of sorted facts."""
    orders, lines, events = facts.starts
    rows, owner = _ranges(orders[members], orders[members + 1])
    line_rows, line_owner = _ranges(lines[members], lines[members + 1])
    event_rows, event_owner = _ranges(events[members], events[members + 1])
    sizes = orders[members + 1] - orders[members]
    moved = (np.cumsum(sizes) - sizes) - orders[members]
    columns = {
        name: getattr(facts, name)[part]
        for names, part in (
            (_ORDER_COLUMNS, rows),
            (("line_product", "line_category"), line_rows),
            (("event_at", "event_kind", "event_seconds"), event_rows),
        )
        for name in names
    }
    return Facts(
        member_ids=np.arange(len(members)),
        order_member=owner.astype(np.int32),
        line_order=(facts.line_order[line_rows] + moved[line_owner]).astype(np.int32),
        event_member=event_owner.astype(np.int32),
        utc_offset=facts.utc_offset,
        **columns,
    )


def _ranges(starts: I64, ends: I64) -> tuple[I64, I64]:
    """All rows from each start to its end, and which range each is of."""
    sizes = ends - starts
    owner = np.repeat(np.arange(len(sizes)), sizes)
    before = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) - before[owner] + starts[owner], owner
