"""Check-ins that the world's events tell of, as days of the members' books."""

from sqlalchemy import CursorResult, text

from app.kernel.db import Tx

# Days in a row share the difference between the day and its place among the member's days. The
# present day is left out, so that a visitor can still check in.
_RECORD = text("""
WITH visit AS (
    SELECT a.member_id, (a.at AT TIME ZONE c.time_zone)::date AS day, min(a.at) AS at
    FROM activity a JOIN member m ON m.id = a.member_id JOIN community c ON c.id = m.community_id
    WHERE a.kind = 'CHECK_IN'
      AND (a.at AT TIME ZONE c.time_zone)::date
        < (CAST(:now AS timestamptz) AT TIME ZONE c.time_zone)::date
    GROUP BY a.member_id, (a.at AT TIME ZONE c.time_zone)::date
), numbered AS (
    SELECT member_id, day, at,
        day - CAST(row_number() OVER (PARTITION BY member_id ORDER BY day) AS integer) AS island
    FROM visit
)
INSERT INTO check_in (member_id, day, streak, points, at)
SELECT member_id, day, row_number() OVER (PARTITION BY member_id, island ORDER BY day), 0, at
FROM numbered
ON CONFLICT DO NOTHING
""")


async def record_check_ins(tx: Tx) -> int:
    """Enter past check-ins with their streaks, worth no points; answers how many were new."""
    raw = await tx.session.execute(_RECORD, {"now": tx.now})
    return raw.rowcount if isinstance(raw, CursorResult) else 0
