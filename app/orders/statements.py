"""The set SQL that writes reported orders: each takes its rows as one array a column."""

from sqlalchemy import text

INSERT_ORDERS = text(
    """
    INSERT INTO member_order (member_id, id, source, order_no, channel, leader_id, placed_at,
                              total_fen, discount_fen)
    SELECT member_id, id, :source, order_no, channel, leader_id, placed_at, total_fen, discount_fen
    FROM unnest(
      CAST(:member_id AS uuid[]), CAST(:id AS uuid[]), CAST(:order_no AS text[]),
      CAST(:channel AS text[]), CAST(:leader_id AS uuid[]), CAST(:placed_at AS timestamptz[]),
      CAST(:total_fen AS bigint[]), CAST(:discount_fen AS bigint[])
    ) AS r (member_id, id, order_no, channel, leader_id, placed_at, total_fen, discount_fen)
    ORDER BY member_id, order_no
    ON CONFLICT (member_id, source, order_no) DO NOTHING
    RETURNING id
    """
)
INSERT_LINES = text(
    """
    INSERT INTO order_line (member_id, order_id, line_no, sku, name, category, quantity, paid_fen)
    SELECT * FROM unnest(
      CAST(:member_id AS uuid[]), CAST(:order_id AS uuid[]), CAST(:line_no AS integer[]),
      CAST(:sku AS text[]), CAST(:name AS text[]), CAST(:category AS text[]),
      CAST(:quantity AS integer[]), CAST(:paid_fen AS bigint[]))
    """
)
# In the order of the insert above, so that two batches never wait for each other in a circle.
LOCK_ORDERS = text(
    """
    SELECT o.* FROM member_order o
    WHERE source = :source AND (member_id, order_no) IN (
      SELECT * FROM unnest(CAST(:member_id AS uuid[]), CAST(:order_no AS text[])))
    ORDER BY member_id, order_no FOR UPDATE
    """
)
LINES_OF_ORDERS = text(
    """
    SELECT l.* FROM order_line l JOIN unnest(
      CAST(:member_id AS uuid[]), CAST(:order_id AS uuid[])) AS r (member_id, order_id)
    USING (member_id, order_id) ORDER BY line_no
    """
)
REFUND_NUMBERS = text(
    """
    SELECT f.member_id, f.refund_no, f.order_id, o.order_no, f.amount_fen
    FROM refund f LEFT JOIN member_order o ON o.member_id = f.member_id AND o.id = f.order_id
    WHERE f.source = :source AND (f.member_id, f.refund_no) IN (
      SELECT * FROM unnest(CAST(:member_id AS uuid[]), CAST(:refund_no AS text[])))
    """
)
ADVANCE_ORDERS = text(
    """
    UPDATE member_order o SET
      paid_at = coalesce(o.paid_at, r.paid_at),
      settled_at = coalesce(o.settled_at, r.settled_at),
      cancelled_at = coalesce(o.cancelled_at, r.cancelled_at),
      promised_at = coalesce(o.promised_at, r.promised_at),
      delivered_at = coalesce(o.delivered_at, r.delivered_at),
      late = o.late OR r.late,
      spoiled = o.spoiled OR r.spoiled,
      complaint = o.complaint OR r.complaint,
      complained_at = coalesce(o.complained_at, r.complained_at),
      refunded_fen = o.refunded_fen + r.back_fen,
      refunded_at = greatest(o.refunded_at, r.back_at)
    FROM unnest(
      CAST(:member_id AS uuid[]), CAST(:order_id AS uuid[]), CAST(:paid_at AS timestamptz[]),
      CAST(:settled_at AS timestamptz[]), CAST(:cancelled_at AS timestamptz[]),
      CAST(:promised_at AS timestamptz[]), CAST(:delivered_at AS timestamptz[]),
      CAST(:late AS boolean[]), CAST(:spoiled AS boolean[]), CAST(:complaint AS boolean[]),
      CAST(:complained_at AS timestamptz[]),
      CAST(:back_fen AS bigint[]), CAST(:back_at AS timestamptz[])
    ) AS r (member_id, order_id, paid_at, settled_at, cancelled_at, promised_at, delivered_at,
            late, spoiled, complaint, complained_at, back_fen, back_at)
    WHERE o.member_id = r.member_id AND o.id = r.order_id
    """
)
INSERT_REFUNDS = text(
    """
    INSERT INTO refund (source, member_id, id, order_id, refund_no, line_no, sku, quantity,
                        amount_fen, at, reason)
    SELECT :source, r.* FROM unnest(
      CAST(:member_id AS uuid[]), CAST(:id AS uuid[]), CAST(:order_id AS uuid[]),
      CAST(:refund_no AS text[]), CAST(:line_no AS integer[]), CAST(:sku AS text[]),
      CAST(:quantity AS integer[]), CAST(:amount_fen AS bigint[]), CAST(:at AS timestamptz[]),
      CAST(:reason AS text[])) AS r
    """
)
ADVANCE_LINES = text(
    """
    UPDATE order_line l SET
      refunded_quantity = l.refunded_quantity + r.quantity,
      refunded_fen = l.refunded_fen + r.fen
    FROM (
      SELECT member_id, order_id, line_no, sum(quantity) AS quantity, sum(fen) AS fen
      FROM unnest(CAST(:member_id AS uuid[]), CAST(:order_id AS uuid[]),
                  CAST(:line_no AS integer[]), CAST(:quantity AS integer[]),
                  CAST(:amount_fen AS bigint[])) AS p (member_id, order_id, line_no, quantity, fen)
      WHERE line_no IS NOT NULL GROUP BY member_id, order_id, line_no
    ) AS r
    WHERE l.member_id = r.member_id AND l.order_id = r.order_id AND l.line_no = r.line_no
    """
)
