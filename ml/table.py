"""Recency by frequency: the share of silent members in each cell of a table."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.arrays import F32, F64, I64

SHAPE: Final = ("recency", "orders_365", "spend_365", "basket_mean", "orders_90")
"""Recency, frequency and money: what the models of few columns read, the table the first two."""

COLUMNS: Final = SHAPE[:2]
_PRIOR: Final = 10.0
_TENTHS: Final = tuple(n / 10 for n in range(1, 10))
_ORDERS: Final = (1.5, 2.5, 3.5, 5.5, 10.5)


@dataclass(frozen=True, eq=False)
class Table:
    """Probability of falling silent by tenths of recency and by order-days in 365 days."""

    edges: F64
    rate: F64

    def chance(self, values: F32) -> F64:
        """Probability for rows of the two columns of `COLUMNS`."""
        return self.rate[_cell(values, self.edges)]


def fit(values: F32, outcome: F64) -> Table:
    """The table of these rows; each cell is drawn to the overall share by ten members' weight."""
    edges = np.unique(np.quantile(values[:, 0].astype(np.float64), _TENTHS))
    cell = _cell(values, edges)
    cells = (len(edges) + 1) * (len(_ORDERS) + 1)
    size = np.bincount(cell, minlength=cells)
    silent = np.bincount(cell, weights=outcome, minlength=cells)
    return Table(edges, (silent + _PRIOR * outcome.mean()) / (size + _PRIOR))


def _cell(values: F32, edges: F64) -> I64:
    recent = np.searchsorted(edges, values[:, 0].astype(np.float64))
    often = np.searchsorted(np.array(_ORDERS), np.nan_to_num(values[:, 1]).astype(np.float64))
    return (recent * (len(_ORDERS) + 1) + often).astype(np.int64)
