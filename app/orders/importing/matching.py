"""Returns that do not name their order are given to the order they most likely came from.

The latest earlier line of the same member and article takes a return, if as many units and as much
money of it have not gone back yet. Returns choose in the order of their instants. Of the
lines of one order the smallest that suffices is taken. The result is a function of the stored lines
and returns alone: for the members concerned it is made anew each time,
so it does not matter in which order files came.
"""

from sqlalchemy import text

from app.kernel.db import Tx
from app.orders.importing.runs import advance_run
from app.orders.importing.staging import stage_of
from app.orders.tables import ImportPhase, ImportRun

_TABLES = (
    """CREATE TEMP TABLE coming_back (member_id uuid, id uuid, sku text, quantity integer,
       amount_fen bigint, at timestamptz, turn bigint, order_id uuid, line_no integer)
       ON COMMIT DROP""",
    "CREATE TEMP TABLE wanted (member_id uuid, sku text, until timestamptz) ON COMMIT DROP",
    """CREATE TEMP TABLE repaid (member_id uuid, order_id uuid, fen bigint, at timestamptz)
       ON COMMIT DROP""",
    """CREATE TEMP TABLE room (member_id uuid, order_id uuid, line_no integer, sku text,
       placed_at timestamptz, order_no text, bought integer, paid bigint, units bigint, fen bigint)
       ON COMMIT DROP""",
)
_RETURNS = """
    INSERT INTO coming_back (member_id, id, sku, quantity, amount_fen, at, turn)
    SELECT member_id, id, sku, quantity, amount_fen, at,
           row_number() OVER (PARTITION BY member_id, sku ORDER BY at, refund_no) AS turn
    FROM refund JOIN (SELECT DISTINCT member_id FROM {stage}) AS concerned USING (member_id)
    WHERE source = :source AND (order_id IS NULL OR matched) AND sku IS NOT NULL AND quantity > 0
"""
# What could still go back if nothing had been matched, in steps that the planner cannot mistake.
_WANTED = """
    INSERT INTO wanted SELECT member_id, sku, max(at) FROM coming_back GROUP BY member_id, sku
"""
_ROOM = """
    INSERT INTO room
    WITH theirs AS MATERIALIZED (
      SELECT l.member_id, l.order_id, l.line_no, l.sku, l.quantity, l.refunded_quantity, l.paid_fen,
             l.refunded_fen
      FROM order_line l
      JOIN (SELECT DISTINCT member_id FROM wanted) AS concerned USING (member_id)
    )
    SELECT l.member_id, l.order_id, l.line_no, l.sku, o.placed_at, o.order_no,
           l.quantity, l.paid_fen,
           l.quantity - l.refunded_quantity, l.paid_fen - l.refunded_fen
    FROM wanted
    JOIN theirs l ON l.member_id = wanted.member_id AND l.sku = wanted.sku
    JOIN member_order o ON o.member_id = l.member_id AND o.id = l.order_id
    WHERE o.source = :source AND o.cancelled_at IS NULL AND o.paid_at IS NOT NULL
      AND o.placed_at < wanted.until
"""
_UNDO = """
    UPDATE room SET units = room.units + g.units, fen = room.fen + g.fen
    FROM (
      SELECT r.member_id, r.order_id, r.line_no, sum(quantity) AS units, sum(amount_fen) AS fen
      FROM refund r JOIN (SELECT DISTINCT member_id FROM wanted) AS concerned USING (member_id)
      WHERE matched AND source = :source
      GROUP BY r.member_id, r.order_id, r.line_no
    ) AS g
    WHERE g.member_id = room.member_id AND g.order_id = room.order_id AND g.line_no = room.line_no
"""
# Orders with a return that names the order but no line are left alone: nobody knows how much of
# which line is left.
_LEAVE_ALONE = """
    DELETE FROM room USING refund r
    WHERE r.member_id = room.member_id AND r.order_id = room.order_id AND r.line_no IS NULL
"""
_TURN = """
    WITH chosen AS (
      SELECT DISTINCT ON (b.member_id, b.id)
             b.member_id, b.id, r.order_id, r.line_no, b.quantity, b.amount_fen
      FROM coming_back b JOIN room r ON r.member_id = b.member_id AND r.sku = b.sku
      WHERE b.turn = :turn AND r.placed_at < b.at
        AND r.units >= b.quantity AND r.fen >= b.amount_fen
      ORDER BY b.member_id, b.id, r.placed_at DESC, r.order_no DESC,
               r.bought, r.paid, r.line_no
    ), noted AS (
      UPDATE coming_back b SET order_id = c.order_id, line_no = c.line_no
      FROM chosen c WHERE b.turn = :turn AND b.member_id = c.member_id AND b.id = c.id
    )
    UPDATE room r SET units = units - c.quantity, fen = fen - c.amount_fen
    FROM chosen c
    WHERE r.member_id = c.member_id AND r.order_id = c.order_id AND r.line_no = c.line_no
"""
_WRITE = (
    """
    UPDATE refund r
    SET order_id = b.order_id, line_no = b.line_no, matched = b.order_id IS NOT NULL
    FROM coming_back b
    WHERE r.member_id = b.member_id AND r.id = b.id
      AND (r.order_id, r.line_no) IS DISTINCT FROM (b.order_id, b.line_no)
    """,
    """
    UPDATE order_line l
    SET refunded_quantity = l.quantity - r.units, refunded_fen = l.paid_fen - r.fen
    FROM room r
    WHERE l.member_id = r.member_id AND l.order_id = r.order_id AND l.line_no = r.line_no
      AND (l.refunded_quantity, l.refunded_fen) IS DISTINCT FROM
          (l.quantity - r.units, l.paid_fen - r.fen)
    """,
    """
    INSERT INTO repaid
    SELECT member_id, order_id, sum(amount_fen), max(at)
    FROM refund JOIN (SELECT DISTINCT member_id FROM wanted) AS concerned USING (member_id)
    WHERE order_id IS NOT NULL GROUP BY member_id, order_id
    """,
    "ANALYZE repaid",
    """
    UPDATE member_order o SET refunded_fen = coalesce(b.fen, 0), refunded_at = b.at
    FROM (SELECT DISTINCT member_id, order_id FROM room) AS r
    LEFT JOIN repaid b USING (member_id, order_id)
    WHERE o.member_id = r.member_id AND o.id = r.order_id
      AND (o.refunded_fen, o.refunded_at) IS DISTINCT FROM (coalesce(b.fen, 0), b.at)
    """,
)
_FIRST_SEEN = """
    UPDATE member m SET registered_at = s.at
    FROM (SELECT member_id, min(at) AS at FROM {stage} GROUP BY member_id) AS s
    WHERE m.id = s.member_id AND s.at < m.registered_at
"""


async def match_refunds(tx: Tx, run: ImportRun) -> int:
    """Match the returns of the members in the file; answers how many have an order now.

    Members' registration moves back to the first thing that the file knows of them.
    """
    stage, source = stage_of(run), {"source": run.source}
    for statement, bind in (
        ("SET LOCAL work_mem = '128MB'", {}),
        ("SET LOCAL jit = off", {}),
        ("SET LOCAL client_connection_check_interval = '1s'", {}),
        # Right after a great load the planner knows nothing of these yet.
        ("ANALYZE member_order, order_line, refund", {}),
        *((table, {}) for table in _TABLES),
        (_RETURNS.format(stage=stage), source),
        ("CREATE INDEX ON coming_back (turn)", {}),
        ("ANALYZE coming_back", {}),
        (_WANTED, {}),
        ("ANALYZE wanted", {}),
        (_ROOM, source),
        ("CREATE INDEX ON room (member_id, sku)", {}),
        ("ANALYZE room", {}),
        (_UNDO, source),
        (_LEAVE_ALONE, {}),
    ):
        await tx.session.execute(text(statement), bind)
    turns = await tx.session.scalar(text("SELECT coalesce(max(turn), 0) FROM coming_back")) or 0
    for turn in range(1, turns + 1):
        await tx.session.execute(text(_TURN), {"turn": turn})
    for statement in (*_WRITE, _FIRST_SEEN.format(stage=stage)):
        await tx.session.execute(text(statement))
    matched = await tx.session.scalar(
        text("SELECT count(*) FROM coming_back WHERE order_id IS NOT NULL")
    )
    await advance_run(tx, run, phase=ImportPhase.MATCHING)
    return matched or 0
