"""The SQL of the ledger's movements, each over any number of accounts that are locked."""

from sqlalchemy import text

from app.points.tables import EntryKind

# The name is looked up once a statement, by the subquery: for each row it costs more than the row.
_SEQ = "nextval((SELECT CAST(pg_get_serial_sequence('points_entry', 'seq') AS regclass)))"

MISSING = text("""
INSERT INTO points_account (member_id, currency, changed_at)
SELECT member_id, CAST(:currency AS text), CAST(:now AS timestamptz)
FROM unnest(CAST(:members AS uuid[])) AS m(member_id)
ORDER BY member_id
ON CONFLICT DO NOTHING
""")

_LOCK = """
SELECT a.member_id, a.active, a.pending, a.debt, a.merged_into, EXISTS (
    SELECT FROM points_lot l
    WHERE l.member_id = a.member_id AND l.currency = a.currency
      AND l.status IN ('PENDING', 'ACTIVE')
      AND (l.status = 'PENDING' AND l.available_at <= CAST(:now AS timestamptz)
           OR l.status = 'ACTIVE' AND l.expires_at <= CAST(:now AS timestamptz))) AS due
FROM points_account a
WHERE a.currency = CAST(:currency AS text) AND a.member_id = ANY(CAST(:members AS uuid[]))
ORDER BY a.member_id
FOR UPDATE OF a
"""
LOCK = text(_LOCK)
LOCK_FREE = text(f"{_LOCK} SKIP LOCKED")

CREDIT = text(f"""
WITH given AS (
    SELECT * FROM jsonb_to_recordset(CAST(:grants AS jsonb)) AS g(
        id uuid, member_id uuid, source text, rule text, subject text, amount bigint,
        earned_at timestamptz, available_at timestamptz, expires_at timestamptz,
        order_id uuid, order_line_id uuid, episode_id uuid)
), fresh AS MATERIALIZED (
    SELECT g.*, {_SEQ} AS seq, (g.available_at <= CAST(:now AS timestamptz)) IS TRUE AS ready
    FROM given g
    WHERE NOT EXISTS (
        SELECT FROM points_lot l
        WHERE l.member_id = g.member_id AND l.currency = CAST(:currency AS text)
          AND l.rule = g.rule AND l.subject = g.subject)
      AND NOT EXISTS (
        SELECT FROM points_lot l
        WHERE l.member_id = g.member_id AND l.rule = g.rule
          AND l.episode_id = g.episode_id AND l.clawed < l.amount)
), lots AS (
    INSERT INTO points_lot (member_id, id, currency, source, rule, subject, order_id,
        order_line_id, episode_id, amount, remaining, status, earned_at, available_at, expires_at)
    SELECT member_id, id, CAST(:currency AS text), source, rule, subject, order_id,
        order_line_id, episode_id, amount, amount, CASE WHEN ready THEN 'ACTIVE' ELSE 'PENDING' END,
        earned_at, available_at, expires_at
    FROM fresh
), entries AS (
    INSERT INTO points_entry (member_id, seq, currency, kind, amount, active_delta,
        pending_delta, source, subject, order_id, actor_id, reason, at)
    SELECT member_id, seq, CAST(:currency AS text), CAST(:kind AS text), amount,
        CASE WHEN ready THEN amount ELSE 0 END, CASE WHEN ready THEN 0 ELSE amount END, source,
        CAST(:subject AS text), order_id, CAST(:actor AS uuid),
        CAST(:reason AS text), CAST(:now AS timestamptz)
    FROM fresh
), allocations AS (
    INSERT INTO points_allocation (member_id, entry_seq, lot_id, amount)
    SELECT member_id, seq, id, amount FROM fresh
)
SELECT member_id, id, seq, amount, ready FROM fresh
""")


def _whole(kind: EntryKind, *, found: str, due: str, then: str, left: str, effect: str) -> str:
    """The statement that moves whole lots whose time has come."""
    return f"""
WITH due AS MATERIALIZED (
    SELECT member_id, id, remaining AS part, source, order_id, {_SEQ} AS seq
    FROM points_lot
    WHERE currency = CAST(:currency AS text) AND member_id = ANY(CAST(:members AS uuid[]))
      AND status = '{found}' AND {due} <= CAST(:now AS timestamptz)
), lots AS (
    UPDATE points_lot l SET status = '{then}', remaining = {left}
    FROM due d WHERE l.member_id = d.member_id AND l.id = d.id
), entries AS (
    INSERT INTO points_entry (member_id, seq, currency, kind, amount, active_delta,
        pending_delta, source, order_id, at)
    SELECT member_id, seq, CAST(:currency AS text), '{kind}', part, {effect}, source, order_id,
        CAST(:now AS timestamptz)
    FROM due
), allocations AS (
    INSERT INTO points_allocation (member_id, entry_seq, lot_id, amount)
    SELECT member_id, seq, id, part FROM due
)
SELECT member_id, CAST(sum(part) AS bigint) AS part FROM due GROUP BY member_id
"""


RELEASE = text(
    _whole(
        EntryKind.RELEASE,
        found="PENDING",
        due="available_at",
        then="ACTIVE",
        left="l.remaining",
        effect="part, -part",
    )
)
EXPIRE = text(
    _whole(
        EntryKind.EXPIRE,
        found="ACTIVE",
        due="expires_at",
        then="EXPIRED",
        left="0",
        effect="-part, 0",
    )
)

# Soonest expiry first, then oldest; lots named in `own` before all others, even if pending.
DRAW = text(f"""
WITH wanted AS (
    SELECT * FROM unnest(CAST(:members AS uuid[]), CAST(:amounts AS bigint[]))
        AS w(member_id, amount)
), ranked AS (
    SELECT l.member_id, l.id, l.status, l.remaining, w.amount, sum(l.remaining) OVER (
        PARTITION BY l.member_id
        ORDER BY l.id = ANY(CAST(:own AS uuid[])) DESC, l.expires_at NULLS LAST, l.earned_at, l.id
    ) - l.remaining AS before
    FROM points_lot l JOIN wanted w ON w.member_id = l.member_id
    WHERE l.currency = CAST(:currency AS text) AND (l.status = 'ACTIVE'
        OR l.status = 'PENDING' AND l.id = ANY(CAST(:own AS uuid[])))
), drawn AS MATERIALIZED (
    SELECT member_id, id, status, CAST(least(remaining, amount - before) AS bigint) AS part
    FROM ranked WHERE before < amount
), summed AS MATERIALIZED (
    SELECT member_id, {_SEQ} AS seq,
        CAST(coalesce(sum(part) FILTER (WHERE status = 'ACTIVE'), 0) AS bigint) AS active,
        CAST(coalesce(sum(part) FILTER (WHERE status = 'PENDING'), 0) AS bigint) AS pending
    FROM drawn GROUP BY member_id
), lots AS (
    UPDATE points_lot l SET remaining = l.remaining - d.part, status = CASE
        WHEN l.remaining > d.part THEN l.status
        WHEN l.clawed = l.amount THEN 'REVERSED' ELSE 'EXHAUSTED' END
    FROM drawn d WHERE l.member_id = d.member_id AND l.id = d.id
), entries AS (
    INSERT INTO points_entry (member_id, seq, currency, kind, amount, active_delta,
        pending_delta, debt_delta, subject, order_id, actor_id, reason, at)
    SELECT member_id, seq, CAST(:currency AS text), CAST(:kind AS text), active + pending,
        -active, -pending, CASE WHEN CAST(:kind AS text) = 'SETTLE' THEN -active ELSE 0 END,
        CAST(:subject AS text), CAST(:order AS uuid), CAST(:actor AS uuid),
        CAST(:reason AS text), CAST(:now AS timestamptz)
    FROM summed
), allocations AS (
    INSERT INTO points_allocation (member_id, entry_seq, lot_id, amount)
    SELECT d.member_id, s.seq, d.id, d.part FROM drawn d JOIN summed s USING (member_id)
)
SELECT member_id, seq, active, pending FROM summed
""")

CLOSE = text("""
UPDATE points_account a SET active = t.active, pending = t.pending, debt = t.debt,
    changed_at = CAST(:now AS timestamptz)
FROM unnest(CAST(:members AS uuid[]), CAST(:active AS bigint[]), CAST(:pending AS bigint[]),
    CAST(:debt AS bigint[])) AS t(member_id, active, pending, debt)
WHERE a.currency = CAST(:currency AS text) AND a.member_id = t.member_id
""")
