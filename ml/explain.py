"""Why a member is at risk: the model's own weights, said with the member's own numbers.

Exact TreeSHAP contributions of the boosted trees are summed over groups of related columns. A
group speaks only if it raises the risk and one of its phrases is true of the member's raw
numbers; a weight without a true phrase stays unsaid.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.arrays import F64, I64
from ml.features import Matrix
from ml.ladder import Models
from ml.phrases import PHRASES, Phrase, Raw, record, silence

MOST: Final = 3
_GROUPS: Final[tuple[tuple[str, str], ...]] = (
    ("orders_trend", "trend"),
    ("orders_slope", "trend"),
    ("orders_31_60", "trend"),
    ("spend", "spend"),
    ("basket", "basket"),
    ("items", "basket"),
    ("products_mean", "basket"),
    ("products", "breadth"),
    ("categories", "breadth"),
    ("breadth", "breadth"),
    ("favourite_share", "breadth"),
    ("repeat_share", "breadth"),
    ("late", "delivery"),
    ("spoiled", "delivery"),
    ("complaints", "delivery"),
    ("coupon", "coupons"),
    ("recency_in", "rhythm"),
    ("recency_z", "rhythm"),
    ("interval", "rhythm"),
    ("days_until_due", "rhythm"),
    ("last_in", "rhythm"),
    ("recency", "silence"),
    ("orders_7", "silence"),
    ("orders_14", "silence"),
    ("orders_30", "silence"),
    ("orders", "frequency"),
    ("active_weeks", "frequency"),
    ("single_order", "frequency"),
    ("bgnbd", "frequency"),
    ("cnbd", "frequency"),
    ("discount", "discount"),
    ("refund", "refund"),
    ("sessions", "logins"),
    ("check_ins", "logins"),
    ("days_since_session", "logins"),
    ("usage", "usage"),
    ("browses", "browsing"),
    ("searches", "browsing"),
    ("carts", "browsing"),
    ("days_since_browse", "browsing"),
    ("opens", "messages"),
    ("click", "messages"),
    ("shares", "community"),
    ("posts", "community"),
    ("group_leaves", "community"),
)
"""The first prefix that fits a column gives its group; the rest (times of day) is not told."""


@dataclass(frozen=True)
class Reason:
    """One fact that raises a member's risk, in both languages; weight in log-odds."""

    code: str
    zh: str
    en: str
    weight: float


def group_of(column: str) -> str:
    """The group whose phrases speak for a column, or "untold"."""
    return next((group for prefix, group in _GROUPS if column.startswith(prefix)), "untold")


def reasons(models: Models, matrix: Matrix, rows: I64, *, threads: int = 0) -> list[list[Reason]]:
    """Up to three reasons for each of `rows` of the matrix, the weightiest first."""
    if not len(rows):
        return []
    part = Matrix(matrix.values[rows], matrix.names, matrix.members[rows])
    groups, weights = _weights(models, part, threads)
    order = np.argsort(-weights, axis=1, kind="stable")
    values = part.values.tolist()
    return [
        _told(dict(zip(matrix.names, row, strict=True)), groups, weight.tolist(), rank.tolist())
        for row, weight, rank in zip(values, weights, order, strict=True)
    ]


def _weights(models: Models, part: Matrix, threads: int) -> tuple[list[str], F64]:
    """Contributions [rows, groups] summed over the columns of each group that has phrases."""
    each = models.booster.contributions(part.only(models.names), threads=threads)[:, :-1]
    groups = list(PHRASES)
    belongs = np.array([[group_of(name) == group for group in groups] for name in models.names])
    return groups, each @ belongs.astype(np.float64)


def _told(raw: Raw, groups: list[str], weight: list[float], rank: list[int]) -> list[Reason]:
    answer: list[Reason] = []
    for place in rank:
        if weight[place] <= 0 or len(answer) == MOST:
            break
        said = _first(PHRASES[groups[place]], raw)
        if said is not None:
            answer.append(Reason(*said, weight=round(weight[place], 4)))
    return answer or [Reason(*(silence(raw) or record(raw)), weight=0.0)]


def _first(phrases: tuple[Phrase, ...], raw: Raw) -> tuple[str, str, str] | None:
    for phrase in phrases:
        said = phrase(raw)
        if said is not None:
            return said
    return None
