"""What is known of members with an open alert, for models of what a measure changes.

One expression serves the action (whose row keeps it) and the queue (which a model ranks by it), so
that a model is asked with what it was taught with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Read
from app.playbooks.rules import FEATURES

# Of an alert `a`, at the instant :now. Only what lies before it is read.
# Value: what the alert says is at stake, never under an average order: who came long ago and spent
# much has bought nothing of late.
FACTS = """
    LEFT JOIN member_stage s ON s.member_id = a.member_id
    CROSS JOIN LATERAL (
        SELECT greatest(a.value_fen, s.average_order_fen) AS value_fen
    ) worth
    CROSS JOIN LATERAL (
        SELECT count(*) AS orders_180,
               sum(o.discount_fen)::float8
                   / nullif(sum(o.total_fen + o.discount_fen), 0)::float8 AS discount_share_180
        FROM member_order o
        WHERE o.member_id = a.member_id AND o.paid_at < :now
          AND o.paid_at >= CAST(:now AS timestamptz) - interval '180 days'
          AND o.status IN ('PAID', 'SETTLED', 'PARTLY_REFUNDED')
    ) bought
    CROSS JOIN LATERAL (
        SELECT count(*) AS coupons_used_180 FROM coupon_redemption r
        WHERE r.member_id = a.member_id AND r.at < :now
          AND r.at >= CAST(:now AS timestamptz) - interval '180 days'
    ) saved
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (
                   WHERE v.kind = 'SESSION' AND v.at >= CAST(:now AS timestamptz)
                       - interval '28 days') AS sessions_28,
               count(*) FILTER (
                   WHERE v.kind = 'SESSION' AND v.at < CAST(:now AS timestamptz)
                       - interval '28 days' AND v.at >= CAST(:now AS timestamptz)
                       - interval '56 days') AS sessions_28_before,
               count(*) FILTER (
                   WHERE v.kind IN ('MESSAGE_OPEN', 'MESSAGE_CLICK')) AS messages_opened_90
        FROM activity v
        WHERE v.member_id = a.member_id AND v.at < :now
          AND v.at >= CAST(:now AS timestamptz) - interval '90 days'
    ) did
"""
_VALUES = {
    "probability": "a.probability",
    "value_fen": "worth.value_fen",
    "recency_days": "extract(epoch FROM :now - s.last_order_at)::float8 / 86400",
    "orders": "s.orders",
    "orders_30": "s.orders30",
    "net_90_fen": "s.net90",
    "average_order_fen": "s.average_order_fen",
    "orders_180": "bought.orders_180",
    "discount_share_180": "bought.discount_share_180",
    "coupons_used_180": "saved.coupons_used_180",
    "sessions_28": "did.sessions_28",
    "sessions_28_before": "did.sessions_28_before",
    "messages_opened_90": "did.messages_opened_90",
}
AS_JSON = "jsonb_build_object({})".format(
    ", ".join(f"'{name}', {_VALUES[name]}" for name in FEATURES)
)

# The version that answers the alerts of a member's community `m`: its own before everybody's.
PLAYBOOK_OF_ALERT = """
    CROSS JOIN LATERAL (
        SELECT * FROM playbook b
        WHERE b.state = 'ACTIVE'
          AND (b.community_id = m.community_id OR b.community_id IS NULL)
        ORDER BY b.community_id NULLS LAST LIMIT 1
    ) p
"""

# The page is cut first, so that nothing is asked about members who are not on it.
_OPEN_SQL = f"""
    WITH a AS MATERIALIZED (
        SELECT c.* FROM churn_alert c
        WHERE c.state IN ('OPEN', 'L1', 'L2', 'L3')
          AND c.member_id > :after {{only}}
          AND (NOT :unranked OR NOT EXISTS (
              SELECT FROM alert_rank r WHERE r.member_id = c.member_id AND r.alert_id = c.id))
        ORDER BY c.member_id
        LIMIT :at_most
    )
    SELECT a.member_id, a.id, a.probability, worth.value_fen, p.experiment_id,
           {AS_JSON} AS features
    FROM a
    JOIN member m ON m.id = a.member_id
    {PLAYBOOK_OF_ALERT.replace("CROSS JOIN LATERAL", "LEFT JOIN LATERAL")} ON true
    {FACTS}
    ORDER BY a.member_id
    """
_OPEN, _OPEN_ONE = (text(_OPEN_SQL.format(only=only)) for only in ("", "AND c.id = :only"))
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An open alert with what a model is asked about its member."""

    member_id: UUID
    alert_id: UUID
    probability: float
    value_fen: int
    # Of the playbook that answers it; none where no playbook is active.
    experiment_id: UUID | None
    features: dict[str, Any]

    def row(self) -> list[float]:
        """The features in the order of `FEATURES`; NaN where nothing is known."""
        return feature_row(self.features)


def feature_row(features: dict[str, Any]) -> list[float]:
    """Kept features in the order of `FEATURES`; NaN for what was not known, or not kept then."""
    values: Iterable[Any] = (features.get(name) for name in FEATURES)
    return [float("nan") if value is None else float(value) for value in values]


async def open_alerts(
    read: Read,
    *,
    after: UUID | None = None,
    at_most: int,
    unranked: bool = False,
    alert_id: UUID | None = None,
) -> list[OpenAlert]:
    """Open alerts by member, at most so many, or the one that is named.

    `unranked`: only those without a place in the queue yet.
    """
    given = {"now": read.now, "after": after or _FIRST, "at_most": at_most, "unranked": unranked}
    if alert_id is None:
        rows = await read.session.execute(_OPEN, given)
    else:
        rows = await read.session.execute(_OPEN_ONE, {**given, "only": alert_id})
    return [OpenAlert(*row) for row in rows]
