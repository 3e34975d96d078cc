"""Orders folded to one row a member and day, with the sums that windows need."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml.arrays import DAY, F64, I64, Numbers
from ml.facts import Facts


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

    @cached_property
    def owner(self) -> I64:
        """The position of each row's member."""
        return np.repeat(np.arange(self.size), np.diff(self.start))

    @cached_property
    def _keys(self) -> I64:
        return self.owner * self._span + (self.day - self.first_day)

    @property
    def _span(self) -> int:
        return self.today - self.first_day + 2

    def since(self, days: int) -> I64:
        """For each member the first row at most `days` days old (the end row if there is none)."""
        oldest = max(self.today - days - self.first_day, 0)
        return np.searchsorted(self._keys, np.arange(self.size) * self._span + oldest)

    def total(self, column: F64) -> F64:
        """Sums over each member's rows; nothing of other members enters, not even by rounding."""
        answer = np.zeros(self.size)
        some = np.diff(self.start) > 0
        if some.any():
            answer[some] = np.add.reduceat(column, self.start[:-1][some])
        return answer

    def spread(self, column: F64, mean: F64) -> F64:
        """Standard deviation of each member's rows (population), NaN below two of them."""
        number = np.diff(self.start)
        away = column - mean[self.owner]
        squares = self.total(away * away)
        several = number > 1
        answer = np.full(self.size, np.nan)
        answer[several] = np.sqrt(squares[several] / number[several])
        return answer


def gathered(start: I64, members: Numbers) -> tuple[I64, I64]:
    """The rows of members whose rows begin at `start[code]`, and whose each one is (its place)."""
    first, number = start[members], start[members + 1] - start[members]
    begin = np.cumsum(number) - number
    owner = np.repeat(np.arange(len(members)), number)
    return np.arange(len(owner)) + (first - begin)[owner], owner


def fold(facts: Facts, as_of: int, members: Numbers) -> Days:
    """Fold the orders of `members` (codes, ascending) that count at `as_of` to member-days.

    Refunds that had not happened by `as_of` are not seen. Members without orders get no rows.
    """
    facts = facts.in_order()
    rows, owner = gathered(facts.starts[0], members)
    at = facts.order_at[rows]
    seen = (at < as_of) & (facts.order_gone_at[rows] >= as_of)
    if not seen.all():
        rows, owner, at = rows[seen], owner[seen], at[seen]
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
