"""The home in SQL, as one would write it by hand: shared by the REST endpoints."""

SESSION = """
SELECT 1 FROM login_session WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2
"""

MEMBER = """
SELECT m.id::text, m.nickname, t.code, t.name_zh AS name, t.rank, t.benefits
FROM member m JOIN tier_standing s ON s.member_id = m.id JOIN tier t ON t.code = s.tier_code
WHERE m.id = $1
"""

# Lots that ripen or end between two nightly runs are counted in or out here, as Linli does it.
POINTS = """
SELECT a.active - l.overdue + l.matured - least(a.debt, l.matured) AS balance,
       a.pending - l.matured AS pending
FROM points_account a CROSS JOIN LATERAL (
    SELECT coalesce(sum(remaining) FILTER (WHERE status = 'PENDING' AND available_at <= $2), 0)
               ::bigint AS matured,
           coalesce(sum(remaining) FILTER (WHERE status = 'ACTIVE' AND expires_at <= $2), 0)
               ::bigint AS overdue
    FROM points_lot
    WHERE member_id = a.member_id AND currency = a.currency AND status IN ('PENDING', 'ACTIVE')
) l
WHERE a.member_id = $1 AND a.currency = 'POINTS'
"""

ENTRIES = """
SELECT kind, CASE WHEN kind = 'DEBT' OR active_delta + pending_delta < 0
                  THEN -amount ELSE amount END AS amount, at
FROM points_entry WHERE member_id = $1 AND currency = 'POINTS' ORDER BY seq DESC LIMIT 5
"""

COUPONS = """
SELECT c.id::text, c.code, c.expires_at,
       t.id::text AS template_id, t.name, t.kind, t.value, t.threshold_fen
FROM (
    SELECT * FROM coupon WHERE member_id = $1 AND state = 'ACTIVE' ORDER BY id DESC LIMIT 10
) c JOIN coupon_template t ON t.id = c.template_id
ORDER BY c.id DESC
"""

BADGES = """
SELECT b.code, b.name_zh AS name, a.issued_at
FROM badge_award a JOIN badge b ON b.code = a.badge_code
WHERE a.member_id = $1 AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > $2)
ORDER BY a.issued_at DESC, a.badge_code
"""

BALLOTS = """
SELECT b.id::text, b.question, b.closes_at
FROM ballot b JOIN member m ON m.id = $1
WHERE b.state = 'OPEN' AND (b.community_id IS NULL OR b.community_id = m.community_id)
ORDER BY b.opens_at DESC, b.id DESC LIMIT 5
"""

OPTIONS = """
SELECT ballot_id::text, id::text, label FROM ballot_option WHERE ballot_id = ANY($1::uuid[])
ORDER BY ballot_option.ballot_id, position
"""

INSTANT = """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

# Everything at once, the session's check included: the floor of what a server can spend.
WHOLE = f"""
SELECT json_build_object(
    'me', json_build_object(
        'id', m.id, 'nickname', m.nickname,
        'tier', (
            SELECT json_build_object('code', t.code, 'name', t.name_zh, 'rank', t.rank, 'benefits',
                (SELECT json_agg(json_build_object('code', e.b -> 'code', 'name', e.b -> 'zh',
                        'quota', e.b -> 'quota', 'window', e.b -> 'window') ORDER BY e.n)
                 FROM jsonb_array_elements(t.benefits) WITH ORDINALITY AS e(b, n)))
            FROM tier_standing s JOIN tier t ON t.code = s.tier_code WHERE s.member_id = m.id),
        'points', (
            SELECT json_build_object('balance', p.balance, 'pending', p.pending, 'entries',
                (SELECT json_agg(json_build_object('kind', e.kind, 'amount', e.amount,
                        'at', {INSTANT.format("e.at")}))
                 FROM ({ENTRIES}) e))
            FROM ({POINTS}) p),
        'coupons', (
            SELECT json_agg(json_build_object('id', c.id, 'code', c.code,
                'expiresAt', {INSTANT.format("c.expires_at")},
                'template', json_build_object('id', c.template_id, 'name', c.name,
                    'kind', c.kind, 'value', c.value, 'thresholdFen', c.threshold_fen)))
            FROM ({COUPONS}) c),
        'badges', (
            SELECT coalesce(json_agg(json_build_object('code', b.code, 'name', b.name,
                'issuedAt', {INSTANT.format("b.issued_at")})), '[]')
            FROM ({BADGES}) b)),
    'ballots', (
        SELECT json_agg(json_build_object('id', b.id, 'question', b.question,
            'closesAt', {INSTANT.format("b.closes_at")}, 'options',
            (SELECT json_agg(json_build_object('id', o.id, 'label', o.label) ORDER BY o.position)
             FROM ballot_option o WHERE o.ballot_id = b.id::uuid)))
        FROM ({BALLOTS}) b))::text
FROM member m
WHERE m.id = $1 AND EXISTS (
    SELECT FROM login_session WHERE id = $3 AND revoked_at IS NULL AND expires_at > $2)
"""
