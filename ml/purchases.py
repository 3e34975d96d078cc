"""Order lines gathered to one order a customer and day, in bounded memory."""

from dataclasses import replace
from typing import Final

import numpy as np

from ml.arrays import DAY, F64, I64, Bools
from ml.articles import Articles
from ml.facts import NEVER, Facts

_PENDING: Final = 2_000_000
"""So many lines are pending at least, and as many as there are orders: folding sorts both."""


class Purchases:
    """Collects lines batch by batch and folds them to customer-days whenever many are pending."""

    def __init__(self, articles: Articles | None = None) -> None:
        """With `articles` for a file that names products or categories."""
        self.articles, self.counts_products = articles, False
        self._codes: dict[bytes, int] = {}
        self._lines: list[I64] = []
        self._pending = 0
        self._orders = np.empty((0, 6), dtype=np.int64)
        self._refunds: list[I64] = []

    def add(
        self,
        words: list[bytes],
        codes: I64,
        at: I64,
        amount: F64,
        items: I64,
        products: I64,
        discount: F64,
        things: tuple[I64, I64] | None = None,
    ) -> None:
        """Take lines whose customer is words[code]; a negative amount is a refund.

        `things` are the numbers of products and of categories, for the articles.
        """
        used = np.flatnonzero(np.bincount(codes, minlength=len(words)))
        place = np.empty(len(words), dtype=np.int64)
        place[used] = np.arange(len(used))
        found = [self._codes.setdefault(words[code], len(self._codes)) for code in used]
        fen = np.round(amount * 100).astype(np.int64)
        member = np.array(found, dtype=np.int64)[place[codes]]
        off = np.round(discount * 100).astype(np.int64)
        lines = np.stack([member, at, fen, items, products, off], axis=1)
        if self.articles is not None and things is not None:
            sold = fen >= 0
            self.articles.add(member[sold], at[sold], *(thing[sold] for thing in things))
        self._lines.append(lines[fen >= 0])
        self._refunds.append(lines[fen < 0][:, :3])
        self._pending += len(lines)
        if self._pending >= max(_PENDING, len(self._orders)):
            self._fold()

    def facts(self) -> tuple[Facts, int]:
        """The orders with their refunds, and how many refunds had no order before them.

        An order's later refunds follow as rows without amounts, each with its own instant.
        """
        self._fold()
        order, back, at, orphans = self._refunded()
        rows = np.concatenate([np.arange(len(self._orders)), order[_repeats(order)]])
        member, placed, fen, items, products, discount = self._orders[rows].T
        amounts = np.arange(len(rows)) < len(self._orders)
        refund, refund_at = np.zeros_like(fen), np.full_like(fen, NEVER)
        first = ~_repeats(order)
        for chosen, place in ((first, order[first]), (~first, np.flatnonzero(~amounts))):
            refund[place], refund_at[place] = back[chosen], at[chosen]
        facts = Facts(
            member_ids=list(self._codes),
            order_member=member.astype(np.int32),
            order_at=placed,
            order_fen=fen * amounts,
            order_items=np.clip(items * amounts, 0, 2**31 - 1).astype(np.int32),
            order_discount_fen=discount * amounts,
            order_refund_fen=refund,
            order_refund_at=refund_at,
            order_products=np.clip(products * amounts, 0, 2**31 - 1).astype(np.int32),
        )
        return self._with_lines(facts), orphans

    def _with_lines(self, facts: Facts) -> Facts:
        """The facts with what was bought, and how many articles where the file counts none."""
        if self.articles is None or not len(self._orders):
            return facts
        lines = self.articles.lines(self._orders[:, 0], self._orders[:, 1])
        if not len(lines.order):
            return facts
        counted = facts.order_products
        if not self.counts_products:
            rest = np.zeros(len(counted) - len(lines.products), dtype=np.int64)
            counted = np.concatenate([lines.products, rest]).astype(np.int32)
        return replace(
            facts,
            order_products=counted,
            line_order=lines.order,
            line_product=lines.product,
            line_category=lines.category,
        )

    def _fold(self) -> None:
        lines = np.concatenate([self._orders, *self._lines])
        self._orders, self._lines, self._pending = lines[:0], [], 0
        lines = lines[np.lexsort((lines[:, 1], lines[:, 0]))]
        day = lines[:, 1] // DAY
        new = np.ones(len(lines), dtype=np.bool_)
        new[1:] = (lines[1:, 0] != lines[:-1, 0]) | (day[1:] != day[:-1])
        first = np.flatnonzero(new)
        if len(first):
            totals = np.add.reduceat(lines[:, 2:], first, axis=0)
            self._orders = np.column_stack([lines[first, :2], totals])

    def _refunded(self) -> tuple[I64, I64, I64, int]:
        """Refunds: their customer's latest order before, sorted by it, the money and the instant.

        Also how many had none. Refunds of one instant and order are one.
        """
        member, at = self._orders[:, 0], self._orders[:, 1]
        refunds = np.concatenate([np.empty((0, 3), dtype=np.int64), *self._refunds])
        nothing = np.empty(0, dtype=np.int64)
        if not len(member) or not len(refunds):
            return nothing, nothing, nothing, len(refunds)
        low = min(int(at.min()), int(refunds[:, 1].min()))
        span = max(int(at.max()), int(refunds[:, 1].max())) - low + 1
        keys = member * span + (at - low)
        place = np.searchsorted(keys, refunds[:, 0] * span + refunds[:, 1] - low, "right") - 1
        known = (place >= 0) & (member[place] == refunds[:, 0])
        place, when, back = place[known], refunds[known, 1], -refunds[known, 2]
        turned = np.lexsort((when, place))
        place, when, back = place[turned], when[turned], back[turned]
        first = np.flatnonzero(~(_repeats(place) & _repeats(when)))
        total = np.add.reduceat(back, first) if len(first) else nothing
        return place[first], total, when[first], int((~known).sum())


def _repeats(sorted_column: I64) -> Bools:
    """Which rows hold what the row before them holds."""
    answer = np.zeros(len(sorted_column), dtype=np.bool_)
    np.equal(sorted_column[1:], sorted_column[:-1], out=answer[1:])
    return answer
