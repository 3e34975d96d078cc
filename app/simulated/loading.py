"""A block's rows into the tables of the slices: COPY, and set SQL where rows meet others.

History announces nothing: no fact of what is stored here goes to the outbox.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Connection
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from app.kernel.db import Tx
from app.members import Community
from app.simulated.facts import (
    ACTIVITIES,
    COUPON_USES,
    IDENTITIES,
    LEADERS,
    LINES,
    MEMBERS,
    ORDERS,
    REFUNDS,
    UPDATES,
    Facts,
    Rows,
)

# What is stored with the cursor is lost with it in a crash of the server: nothing to wait for.
_NO_WAIT = "SET LOCAL synchronous_commit = off"

_IDENTITIES = f"""
INSERT INTO identity ({", ".join(IDENTITIES)})
SELECT {", ".join(IDENTITIES)} FROM sim_identity ORDER BY kind, app, blind
-- Somebody signed in under this name before the world began: theirs it stays.
ON CONFLICT DO NOTHING
"""
_UPDATES = f"""
UPDATE member_order o SET {", ".join(f"{name} = s.{name}" for name in list(UPDATES)[2:])}
FROM sim_update s WHERE o.member_id = s.member_id AND o.id = s.id
"""
_REFUNDS = (
    """
INSERT INTO refund (member_id, id, source, refund_no, order_id, line_no, sku, quantity,
                    amount_fen, at, reason)
SELECT s.member_id, s.id, s.source, s.refund_no, s.order_id, l.line_no, s.sku, s.quantity,
       s.amount_fen, s.at, s.reason
FROM sim_refund s LEFT JOIN order_line l
  ON l.member_id = s.member_id AND l.order_id = s.order_id AND l.sku = s.sku
""",
    """
UPDATE order_line l SET refunded_quantity = b.quantity, refunded_fen = b.fen
FROM (
  SELECT r.member_id, r.order_id, r.line_no, sum(r.quantity) AS quantity, sum(r.amount_fen) AS fen
  FROM refund r JOIN (SELECT DISTINCT member_id, order_id FROM sim_refund) AS s
    USING (member_id, order_id)
  GROUP BY r.member_id, r.order_id, r.line_no
) AS b
WHERE l.member_id = b.member_id AND l.order_id = b.order_id AND l.line_no = b.line_no
""",
    """
UPDATE member_order o SET refunded_fen = b.fen, refunded_at = b.at
FROM (
  SELECT r.member_id, r.order_id, sum(r.amount_fen) AS fen, max(r.at) AS at
  FROM refund r JOIN (SELECT DISTINCT member_id, order_id FROM sim_refund) AS s
    USING (member_id, order_id)
  GROUP BY r.member_id, r.order_id
) AS b
WHERE o.member_id = b.member_id AND o.id = b.order_id
""",
)
# Each of the shop's old coupons is a template with one batch, which is over: nobody is given any
# more of them.
_USES = (
    """
INSERT INTO coupon_template (id, name, kind, value, threshold_fen, max_discount_fen, validity,
    wait_days, valid_days, return_policy, per_member, created_at)
SELECT template_id, name, 'FIXED', max(discount_fen), max(threshold_fen), max(discount_fen),
    'RELATIVE', 0, 14, 'NEVER', 1000, min(at)
FROM sim_use GROUP BY template_id, name
ON CONFLICT DO NOTHING
""",
    """
INSERT INTO coupon_batch (id, template_id, quantity, budget_fen, code_mode, state, created_at)
SELECT batch_id, template_id, 100000000, 100000000 * max(discount_fen), 'NONE', 'ENDED', min(at)
FROM sim_use GROUP BY batch_id, template_id
ON CONFLICT DO NOTHING
""",
    """
INSERT INTO coupon (member_id, id, batch_id, template_id, nth, source, state, usable_from,
    expires_at, granted_at)
SELECT s.member_id, s.id, s.batch_id, s.template_id,
    coalesce((SELECT max(c.nth) FROM coupon c
              WHERE c.member_id = s.member_id AND c.template_id = s.template_id), 0)
      + row_number() OVER (PARTITION BY s.member_id, s.template_id ORDER BY s.at, s.order_ref),
    'CAMPAIGN', 'REDEEMED', g.at, g.at + interval '14 days', g.at
FROM sim_use s JOIN member m ON m.id = s.member_id
CROSS JOIN LATERAL (SELECT greatest(m.registered_at, s.at - interval '2 days') AS at) AS g
""",
    """
INSERT INTO coupon_redemption (member_id, coupon_id, order_ref, discount_fen, explanation, at)
SELECT member_id, id, order_ref, discount_fen,
    jsonb_build_object('simulated', true, 'discount_fen', discount_fen), at
FROM sim_use
""",
    """
UPDATE coupon_batch b
SET granted = granted + s.uses, redeemed = redeemed + s.uses, spent_fen = spent_fen + s.fen
FROM (
  SELECT batch_id, count(*) AS uses, sum(discount_fen) AS fen FROM sim_use GROUP BY batch_id
) AS s
WHERE b.id = s.batch_id
""",
)


async def open_communities(
    tx: Tx, rows: Sequence[tuple[UUID, str, str, datetime]], *, names: Sequence[str]
) -> dict[str, UUID]:
    """Open communities (id, name, time zone, instant) unless theirs is a name that exists.

    Answers the ids of all `names` that there are.
    """
    if rows:
        columns = ("id", "name", "time_zone", "created_at")
        values = [dict(zip(columns, row, strict=True)) for row in rows]
        await tx.session.execute(insert(Community).values(values).on_conflict_do_nothing())
    found = await tx.session.execute(
        select(Community.name, Community.id).where(Community.name.in_(list(names)))
    )
    return {row[0]: row[1] for row in found}


async def store(tx: Tx, *, facts: Facts) -> None:
    """Store a block's rows, once: what is stored already is an error of the caller's."""
    await tx.session.execute(text(_NO_WAIT))
    await _copy(tx, "member", MEMBERS, facts.members)
    await _through(tx, "sim_identity", IDENTITIES, facts.identities, (_IDENTITIES,))
    await _copy(tx, "leader", LEADERS, facts.leaders)
    await _copy(tx, "member_order", ORDERS, facts.orders)
    await _copy(tx, "order_line", LINES, facts.lines)
    await _through(tx, "sim_update", UPDATES, facts.order_updates, (_UPDATES,))
    await _through(tx, "sim_refund", REFUNDS, facts.refunds, _REFUNDS)
    await _through(tx, "sim_use", COUPON_USES, facts.coupon_uses, _USES)
    await _copy(tx, "activity", ACTIVITIES, facts.activities)


async def _through(
    tx: Tx,
    name: str,
    columns: Mapping[str, str],
    rows: Rows,
    statements: Sequence[str],
) -> None:
    """Rows into a temporary table, from which the statements take them."""
    if not rows:
        return
    types = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    await tx.session.execute(text(f"CREATE TEMP TABLE {name} ({types}) ON COMMIT DROP"))
    await _copy(tx, name, tuple(columns), rows)
    await tx.session.execute(text(f"ANALYZE {name}"))
    for statement in statements:
        await tx.session.execute(text(statement))


async def _copy(tx: Tx, table: str, columns: Sequence[str], rows: Rows) -> None:
    if rows:
        connection = await _driver(tx)
        await connection.copy_records_to_table(table, records=rows, columns=list(columns))


async def _driver(tx: Tx) -> Connection:
    """The asyncpg connection beneath a transaction that has begun."""
    raw = await (await tx.session.connection()).get_raw_connection()
    connection = raw.driver_connection
    assert isinstance(connection, Connection)
    return connection
