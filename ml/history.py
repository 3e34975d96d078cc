"""Orders folded to one row a member and day, with the sums that windows need."""

from dataclasses import dataclass

import numpy as np

from ml.arrays import DAY, F64, I64, Numbers
from ml.facts import Facts, ascending


@dataclass(frozen=True, eq=False)
class Days:
    """Order-days of a population, sorted by member and day.

    Rows `start[i]` to `start[i + 1]` are those of the i-th member. `age` is whole days from the
    order to the cutoff's day; `fen` is paid less refunded, in minor units.
    """

    start: I64
    day: I64
    age: I64
    fen: I64
    refund: I64
    discount: I64
    items: I64
    products: I64
    hour: F64
    today: int
    first_day: int

    @property
    def size(self) -> int:
        """How many members there are."""
        return len(self.start) - 1

    @property
    def owner(self) -> I64:
        """The position of each row's member."""
        return np.repeat(np.arange(self.size), np.diff(self.start))

    def since(self, days: int) -> I64:
        """For each member the first row at most `days` days old (the end row if there is none)."""
        span = self.today - self.first_day + 2
        oldest = max(self.today - days - self.first_day, 0)
        keys = self.owner * span + (self.day - self.first_day)
        return np.searchsorted(keys, np.arange(self.size) * span + oldest)


def fold(facts: Facts, as_of: int, members: Numbers) -> Days:
    """Fold the orders of `members` (codes, ascending) before `as_of` to member-days.

    Refunds that had not happened by `as_of` are not seen. Members without orders get no rows.
    """
    place = np.full(len(facts.member_ids), -1, dtype=np.int64)
    place[members] = np.arange(len(members))
    rows = np.flatnonzero((facts.order_at < as_of) & (place[facts.order_member] >= 0))
    owner, at = place[facts.order_member[rows]], facts.order_at[rows]
    sorting = ascending(owner, at)
    if sorting is not None:
        rows, owner, at = rows[sorting], owner[sorting], at[sorting]
    local = at + facts.utc_offset
    day = local // DAY
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (owner[1:] != owner[:-1]) | (day[1:] != day[:-1])
    first = np.flatnonzero(new)

    def total(column: Numbers) -> I64:
        if not len(first):
            return np.zeros(0, np.int64)
        return np.add.reduceat(column.astype(np.int64), first)

    refunded = facts.order_refund_at[rows] < as_of
    refund = total(np.where(refunded, facts.order_refund_fen[rows], 0))
    today = (as_of + facts.utc_offset) // DAY
    return Days(
        start=np.concatenate(([0], np.cumsum(np.bincount(owner[first], minlength=len(members))))),
        day=day[first],
        age=today - day[first],
        fen=total(facts.order_fen[rows]) - refund,
        refund=refund,
        discount=total(facts.order_discount_fen[rows]),
        items=total(facts.order_items[rows]),
        products=total(facts.order_products[rows]),
        hour=(local[first] % DAY) / 3600,
        today=today,
        first_day=int(day.min()) if len(day) else today,
    )


def running(column: Numbers) -> Numbers:
    """Sums of the rows before each row: the sum over rows a..b is running[b] - running[a]."""
    answer = np.zeros(len(column) + 1, dtype=np.result_type(column, np.int64))
    np.cumsum(column, out=answer[1:])
    return answer
