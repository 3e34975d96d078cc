"""The ledger held against its own invariants, in set SQL; a clean ledger yields nothing."""

from dataclasses import dataclass
from uuid import UUID

from app.kernel.db import Read
from app.kernel.statements import Lines
from app.points.tables import Currency

MOST_BREACHES = 100


@dataclass(frozen=True, slots=True)
class Breach:
    """One account that breaks one invariant, with the two figures that ought to be equal."""

    rule: str
    member_id: UUID
    currency: Currency
    expected: int
    found: int


# Each query answers member_id, currency, expected, found where the two differ.
CHECKS = {
    "active is the sum of active lots": """
        SELECT a.member_id, a.currency, coalesce(l.active, 0) AS expected, a.active AS found
        FROM points_account a LEFT JOIN (
            SELECT member_id, currency, sum(remaining) AS active FROM points_lot
            WHERE status = 'ACTIVE' GROUP BY 1, 2) l USING (member_id, currency)
        WHERE a.active <> coalesce(l.active, 0)""",
    "pending is the sum of pending lots": """
        SELECT a.member_id, a.currency, coalesce(l.pending, 0) AS expected, a.pending AS found
        FROM points_account a LEFT JOIN (
            SELECT member_id, currency, sum(remaining) AS pending FROM points_lot
            WHERE status = 'PENDING' GROUP BY 1, 2) l USING (member_id, currency)
        WHERE a.pending <> coalesce(l.pending, 0)""",
    "totals are the sum of entries": """
        SELECT a.member_id, a.currency,
            coalesce(e.active, 0) + coalesce(e.pending, 0) - coalesce(e.debt, 0) AS expected,
            a.active + a.pending - a.debt AS found
        FROM points_account a LEFT JOIN (
            SELECT member_id, currency, sum(active_delta) AS active,
                sum(pending_delta) AS pending, sum(debt_delta) AS debt
            FROM points_entry GROUP BY 1, 2) e USING (member_id, currency)
        WHERE (a.active, a.pending, a.debt) IS DISTINCT FROM
            (coalesce(e.active, 0), coalesce(e.pending, 0), coalesce(e.debt, 0))""",
    "allocations add up to their entry": """
        SELECT e.member_id, e.currency, e.amount AS expected, coalesce(a.total, 0) AS found
        FROM points_entry e LEFT JOIN (
            SELECT member_id, entry_seq, sum(amount) AS total FROM points_allocation
            GROUP BY 1, 2) a ON a.member_id = e.member_id AND a.entry_seq = e.seq
        WHERE coalesce(a.total, 0) <> CASE
            WHEN e.active_delta = 0 AND e.pending_delta = 0 THEN 0 ELSE e.amount END""",
    "a lot holds what was put in less what was taken out": """
        SELECT l.member_id, l.currency, coalesce(m.net, 0) AS expected, l.remaining AS found
        FROM points_lot l LEFT JOIN (
            SELECT a.member_id, a.lot_id, sum(CASE
                WHEN e.kind = 'RELEASE' THEN 0
                WHEN e.active_delta + e.pending_delta > 0 THEN a.amount
                ELSE -a.amount END) AS net
            FROM points_allocation a
            JOIN points_entry e ON e.member_id = a.member_id AND e.seq = a.entry_seq
            GROUP BY 1, 2) m ON m.member_id = l.member_id AND m.lot_id = l.id
        WHERE l.remaining <> coalesce(m.net, 0)""",
    "what came back is what refunds returned": """
        SELECT s.member_id, s.currency, coalesce(r.total, 0) AS expected, s.returned AS found
        FROM (
            SELECT e.member_id, e.currency, e.seq, sum(a.returned) AS returned
            FROM points_entry e
            JOIN points_allocation a ON a.member_id = e.member_id AND a.entry_seq = e.seq
            WHERE e.kind = 'SPEND' GROUP BY 1, 2, 3) s
        LEFT JOIN (
            SELECT parent_seq, sum(amount) AS total FROM points_entry
            WHERE kind = 'SPEND_REFUND' GROUP BY 1) r ON r.parent_seq = s.seq
        WHERE s.returned <> coalesce(r.total, 0)""",
    "debt only without active points": """
        SELECT member_id, currency, 0 AS expected, least(active, debt) AS found
        FROM points_account WHERE active > 0 AND debt > 0""",
}


# One statement, so that all of it is of one instant while members go on.
_ALL = Lines(
    " UNION ALL ".join(
        f"(SELECT '{rule}' AS rule, c.* FROM ({query}) AS c LIMIT {MOST_BREACHES})"
        for rule, query in CHECKS.items()
    ),
    "rule member_id currency expected found",
)


async def audit(read: Read) -> list[Breach]:
    """Every breach of the ledger's invariants, at most 100 of each rule; empty when all is well."""
    return [
        Breach(
            rule=row["rule"],
            member_id=row["member_id"],
            currency=Currency(row["currency"]),
            expected=int(row["expected"]),
            found=int(row["found"]),
        )
        for row in await read.fetch(_ALL)
    ]
