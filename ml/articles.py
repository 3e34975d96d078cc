"""What customers bought, from a file's columns of products and categories, in bounded memory."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.arrays import DAY, I32, I64
from ml.values import Texts

MOST_NAMES: Final = 1_000_000
"""A column of more different names tells no articles apart: it holds numbers of orders, say."""

LONGEST_NAME: Final = 200
"""Names that agree in so many bytes are one."""

_PENDING: Final = 2_000_000
_EARLY: Final = 1 << 20
"""More days than any year that is read lies before 1970."""


@dataclass(frozen=True, eq=False)
class Lines:
    """The distinct articles of each order, as `Facts` has them; and how many each order has."""

    order: I32
    product: I32
    category: I32
    products: I64


class Names:
    """A number for each name of a column; the column is given up where there are too many."""

    def __init__(self, column: str) -> None:
        self.column, self.is_given_up = column, False
        self._numbers: dict[bytes, int] = {}

    def numbers(self, told: Texts) -> I64:
        """The number of each row's name; -1 where it has none."""
        if self.is_given_up:
            return np.full(len(told.codes), -1, dtype=np.int64)
        known = self._numbers
        found = [
            known.setdefault(word[:LONGEST_NAME], len(known)) if word else -1 for word in told.words
        ]
        if len(known) > MOST_NAMES:
            self.is_given_up = True
            known.clear()
        return np.array([*found, -1], dtype=np.int64)[told.codes]


class Articles:
    """Collects articles batch by batch, each once a customer and day.

    A category without a product stands for the product as well. Rows without either have no
    article.
    """

    def __init__(self) -> None:
        self.products, self.categories = Names("product"), Names("category")
        self._kept = np.empty((0, 2), dtype=np.int64)
        self._new: list[I64] = []
        self._pending = 0

    def add(self, member: I64, at: I64, product: I64, category: I64) -> None:
        """Take articles of customers; -1 where the name is not known."""
        named = np.where(product >= 0, product, category)
        known = named >= 0
        thing = (named << 32) | ((category + 1) & 0xFFFF_FFFF)
        self._new.append(np.stack([_order_day(member, at // DAY), thing], axis=1)[known])
        self._pending += int(known.sum())
        if self._pending >= max(_PENDING, len(self._kept)):
            self._fold()

    def lines(self, member: I64, at: I64) -> Lines:
        """The lines of orders, one a customer and day, that ascend by both.

        None where a column was given up: it would tell some rows apart and others not.
        """
        self._fold()
        if self.products.is_given_up or self.categories.is_given_up:
            self._kept = self._kept[:0]
        orders = _order_day(member, at // DAY)
        whose = self._kept[:, 0]
        place = np.searchsorted(orders, whose)
        there = (place < len(orders)) & (orders[np.minimum(place, len(orders) - 1)] == whose)
        place, thing = place[there], self._kept[there, 1]
        product = thing >> 32
        first = np.ones(len(place), dtype=np.bool_)
        first[1:] = (place[1:] != place[:-1]) | (product[1:] != product[:-1])
        return Lines(
            place.astype(np.int32),
            product.astype(np.int32),
            ((thing & 0xFFFF_FFFF) - 1).astype(np.int32),
            np.bincount(place[first], minlength=len(orders)),
        )

    def _fold(self) -> None:
        rows = np.concatenate([self._kept, *self._new])
        self._kept, self._new, self._pending = rows[:0], [], 0
        if not len(rows):
            return
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        new = np.ones(len(rows), dtype=np.bool_)
        new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        self._kept = rows[new]


def _order_day(member: I64, day: I64) -> I64:
    return (member << 24) | (day + _EARLY)
