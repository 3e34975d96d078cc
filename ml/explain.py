"""Why a member is at risk: the score's own log-odds in parts, said with the member's own numbers.

A score is a weighted sum of models, so the parts of its log-odds are the weighted parts of theirs:
of trees the exact TreeSHAP contributions, of a logistic model each column's term, of a model of
buying what their silence adds to a usual one, and what their orders say after such a silence.
Together with where everybody starts from they add up to the score. Parts are summed over groups of
related columns. A group speaks only if it raises the risk and one of its phrases is true of the
member's raw numbers; a weight without a true phrase stays unsaid.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ml import bgnbd, cnbd, table
from ml.arrays import F64, I64, Bools, logit
from ml.artifact import Artifact
from ml.bgnbd import Counts
from ml.cnbd import Rhythms
from ml.expectations import Expectations
from ml.facts import Facts
from ml.features import Matrix
from ml.history import Days, fold
from ml.ladder import Rung
from ml.logistic import Logistic
from ml.phrases import PHRASES, READ, Phrase, Raw, is_past_rhythm, record, silence
from ml.scorer import voices

MOST: Final = 3
_PART: Final = 16_384
"""Members explained at once, so that memory stays bounded."""

UNTOLD: Final = "untold"
GROUPS: Final = (*PHRASES, UNTOLD)

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
    """One fact that raises a member's risk, in both languages; weight in log-odds of the score."""

    code: str
    zh: str
    en: str
    weight: float


@dataclass(frozen=True, eq=False)
class Parts:
    """Log-odds of members' scores: `start`, the same for all, and a part [members, `GROUPS`]."""

    start: float
    groups: F64


def group_of(column: str) -> str:
    """The group whose phrases speak for a column, or "untold"."""
    return next((group for prefix, group in _GROUPS if column.startswith(prefix)), UNTOLD)


def reasons(
    artifact: Artifact, facts: Facts, matrix: Matrix, rows: I64, *, as_of: int, threads: int = 0
) -> list[list[Reason]]:
    """Up to three reasons for each of `rows` of the matrix, the weightiest first."""
    answer: list[list[Reason]] = [[] for _ in rows]
    ascending = np.argsort(rows, kind="stable")
    for start in range(0, len(rows), _PART):
        places = ascending[start : start + _PART]
        chosen = rows[places]
        part = Matrix(matrix.values[chosen], matrix.names, matrix.members[chosen])
        weights = parts(artifact, facts, part, as_of=as_of, threads=threads).groups[:, :-1]
        ranks = np.argsort(-weights, axis=1, kind="stable").tolist()
        raws = part.only(READ).tolist()
        for place, raw, weight, rank in zip(places, raws, weights.tolist(), ranks, strict=True):
            answer[place] = _told(dict(zip(READ, raw, strict=True)), weight, rank)
    return answer


def parts(
    artifact: Artifact, facts: Facts, matrix: Matrix, *, as_of: int, threads: int = 0
) -> Parts:
    """What each group adds to the log-odds of each member (of ascending codes) of the matrix."""
    models, asked = artifact.models, voices(artifact)
    # What models of buying and the table are held against: an average member's log-odds.
    usual = models.logistic.intercept
    start, groups = 0.0, np.zeros((len(matrix.members), len(GROUPS)))
    bought = _Bought(artifact, facts, matrix, as_of)
    for rung, weight in asked.items():
        begin = usual
        if rung == "xgboost":
            each = models.booster.contributions(matrix.only(models.names), threads=threads)
            groups += weight * (each[:, :-1] @ _belongs(models.names))
            begin = float(each[0, -1]) if len(each) else 0.0
        elif rung == "logistic":
            begin = models.logistic.intercept
            groups += weight * _terms(models.logistic, matrix, models.names)
        elif rung == "logistic_rfm" and models.logistic_rfm is not None:
            begin = models.logistic_rfm.intercept
            groups += weight * _terms(models.logistic_rfm, matrix, table.SHAPE)
        else:
            groups += weight * bought.parts(rung, usual)
        start += weight * begin
    return Parts(start, groups)


def _belongs(names: tuple[str, ...]) -> F64:
    """[columns, groups]: 1 where a column is of a group."""
    return np.array([[group_of(name) == group for group in GROUPS] for name in names], np.float64)


def _terms(model: Logistic, matrix: Matrix, names: tuple[str, ...]) -> F64:
    return (model.standard(matrix.only(names)) * model.weight) @ _belongs(names)


class _Bought:
    """Models of recency and frequency: what they say now, and would after a usual silence."""

    def __init__(self, artifact: Artifact, facts: Facts, matrix: Matrix, as_of: int) -> None:
        self._artifact, self._facts, self._matrix, self._as_of = artifact, facts, matrix, as_of
        # Half of those whom the model learned from had been silent for longer.
        edges = artifact.models.table.edges
        self._days = float(edges[len(edges) // 2]) if len(edges) else 0.0

    def parts(self, rung: Rung, usual: float) -> F64:
        """What the silence adds to a usual one, and the orders beside an average member's."""
        if rung == "recency_frequency":
            now, then = self._in_table()
        else:
            now = logit(self._matrix.column(f"{rung}_silent"))
            then = self._usually_silent(rung)
        late = is_past_rhythm(*(self._matrix.column(name) for name in _OWN_RHYTHM))
        groups = np.zeros((len(now), len(GROUPS)))
        groups[late, GROUPS.index("rhythm")] = (now - then)[late]
        groups[~late, GROUPS.index("silence")] = (now - then)[~late]
        groups[:, GROUPS.index("frequency")] = then - usual
        return np.nan_to_num(groups)

    def _in_table(self) -> tuple[F64, F64]:
        known = self._artifact.models.table
        values = self._matrix.only(table.COLUMNS)
        now = logit(known.chance(values))
        values[:, 0] = self._days
        return now, logit(known.chance(values))

    def _usually_silent(self, rung: Rung) -> F64:
        days = fold(self._facts, self._as_of, self._matrix.members)
        some: Bools = np.diff(days.start) > 0
        answer = np.full(days.size, np.nan)
        if some.any():
            # Rows belong to members with orders only: without the others they stay aligned.
            known = replace(days, start=np.concatenate((days.start[:-1][some], days.start[-1:])))
            horizon = self._artifact.about.horizon_days
            found = _after(self._days, rung, known, self._artifact.purchases, horizon)
            answer[some] = logit(found)
        return answer


def _after(waited: float, rung: Rung, days: Days, expected: Expectations, horizon: int) -> F64:
    """P(no order in the horizon) had the last order been so many days ago."""
    if rung == "bgnbd":
        counts = bgnbd.counts(days)
        then = Counts(counts.x, counts.last, counts.last + waited)
        return bgnbd.silent(expected.bgnbd, then, horizon)
    seen = cnbd.rhythms(days)
    then = Rhythms(seen.x, seen.last, seen.last + waited, seen.log_gaps)
    return cnbd.silent(expected.cnbd, then, horizon)


_OWN_RHYTHM: Final = ("recency", "interval_median", "interval_sd")


def _told(raw: Raw, weight: list[float], rank: list[int]) -> list[Reason]:
    answer: list[Reason] = []
    for place in rank:
        if weight[place] <= 0 or len(answer) == MOST:
            break
        said = _first(PHRASES[GROUPS[place]], raw)
        if said is not None:
            answer.append(Reason(*said, weight=round(weight[place], 4)))
    return answer or [Reason(*(silence(raw) or record(raw)), weight=0.0)]


def _first(phrases: tuple[Phrase, ...], raw: Raw) -> tuple[str, str, str] | None:
    for phrase in phrases:
        said = phrase(raw)
        if said is not None:
            return said
    return None
