"""A statement of a member's account over a span: what it opened and closed with, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from app.kernel.db import Read
from app.points.queries import EntryLine
from app.points.tables import Currency, EntryKind, Source


@dataclass(frozen=True, slots=True)
class Figures:
    """What an account holds, or what movements did to it."""

    active: int = 0
    pending: int = 0
    debt: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        """Both together."""
        return Figures(
            self.active + other.active, self.pending + other.pending, self.debt + other.debt
        )


@dataclass(frozen=True, slots=True)
class KindTotal:
    """All movements of a kind within the span."""

    kind: EntryKind
    entries: int
    effect: Figures


@dataclass(frozen=True, slots=True)
class Span:
    """A member's account from an instant until another, which is no longer part of it."""

    member_id: UUID
    currency: Currency
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Statement:
    """The account over a span, as booked.

    `opening` is the sum of the movements before the span. `closing` is reckoned from the other
    end: the account's own totals less the movements after it. Where nothing is amiss the totals
    of the kinds lead from the one to the other.
    """

    span: Span
    opening: Figures
    totals: tuple[KindTotal, ...]
    closing: Figures

    @property
    def reconciles(self) -> bool:
        """True if opening and totals add up to closing."""
        return sum((one.effect for one in self.totals), self.opening) == self.closing


# One statement, so that all figures are of one instant of the database.
_FIGURES = text("""
WITH entries AS (
    SELECT kind, active_delta, pending_delta, debt_delta, CASE
        WHEN at < coalesce(CAST(:since AS timestamptz), '-infinity') THEN 'before'
        WHEN at < coalesce(CAST(:until AS timestamptz), 'infinity') THEN 'within'
        ELSE 'after' END AS part
    FROM points_entry WHERE member_id = :member AND currency = CAST(:currency AS text)
)
SELECT part, CASE WHEN part = 'within' THEN kind END AS kind, count(*) AS entries,
    CAST(sum(active_delta) AS bigint) AS active, CAST(sum(pending_delta) AS bigint) AS pending,
    CAST(sum(debt_delta) AS bigint) AS debt
FROM entries GROUP BY 1, 2
UNION ALL
SELECT 'account', NULL, 0, active, pending, debt FROM points_account
WHERE member_id = :member AND currency = CAST(:currency AS text)
""")

_LINES = text("""
SELECT seq, kind, source, reason, order_id, at,
    CASE WHEN debt_delta > 0 OR active_delta + pending_delta < 0
        THEN -amount ELSE amount END AS amount
FROM points_entry
WHERE member_id = :member AND currency = CAST(:currency AS text)
    AND at >= coalesce(CAST(:since AS timestamptz), '-infinity')
    AND at < coalesce(CAST(:until AS timestamptz), 'infinity')
    AND seq < coalesce(CAST(:before AS bigint), 9223372036854775807)
ORDER BY seq DESC LIMIT :first
""")


def _given(span: Span) -> dict[str, Any]:
    return {
        "member": span.member_id,
        "currency": span.currency.value,
        "since": span.since,
        "until": span.until,
    }


async def statement(read: Read, span: Span) -> Statement:
    """A member's account over a span; a member without an account has zeros."""
    rows = (await read.session.execute(_FIGURES, _given(span))).all()
    after = _part(rows, "after")
    return Statement(
        span=span,
        opening=_part(rows, "before"),
        totals=tuple(
            KindTotal(EntryKind(row.kind), row.entries, _figures(row))
            for row in sorted(rows, key=lambda row: row.kind or "")
            if row.part == "within"
        ),
        closing=_part(rows, "account") + Figures(-after.active, -after.pending, -after.debt),
    )


async def statement_lines(
    read: Read, span: Span, *, first: int, before: int | None = None
) -> list[EntryLine]:
    """The span's movements, newest first; one more than `first` if there are more."""
    given = {**_given(span), "before": before, "first": first + 1}
    return [
        EntryLine(
            seq=row.seq,
            kind=EntryKind(row.kind),
            amount=row.amount,
            source=None if row.source is None else Source(row.source),
            reason=row.reason,
            order_id=row.order_id,
            at=row.at,
        )
        for row in await read.session.execute(_LINES, given)
    ]


def _part(rows: "Sequence[Row[Any]]", part: str) -> Figures:
    return next((_figures(row) for row in rows if row.part == part), Figures())


def _figures(row: "Row[Any]") -> Figures:
    return Figures(row.active, row.pending, row.debt)
