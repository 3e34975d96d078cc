-- What PostGraphile is given: the home's tables as views with the names of its document, money and
-- points as integers that JSON can hold. The planner sees through each of them.
DROP SCHEMA IF EXISTS peer CASCADE;
CREATE SCHEMA peer;

CREATE VIEW peer.member AS SELECT id, nickname, community_id FROM public.member;
COMMENT ON VIEW peer.member IS '@primaryKey id';

CREATE VIEW peer.tier AS
SELECT s.member_id, t.code, t.name_zh AS name, t.rank::int, t.benefits
FROM public.tier_standing s JOIN public.tier t ON t.code = s.tier_code;
COMMENT ON VIEW peer.tier IS
  E'@primaryKey member_id\n@foreignKey (member_id) references peer.member (id)|@foreignSingleFieldName tier';

CREATE VIEW peer.account AS
SELECT a.member_id,
  (a.active - l.overdue + l.matured - least(a.debt, l.matured))::int AS balance,
  (a.pending - l.matured)::int AS pending
FROM public.points_account a CROSS JOIN LATERAL (
  SELECT
    coalesce(sum(remaining) FILTER (WHERE status = 'PENDING' AND available_at <= now()), 0)
      AS matured,
    coalesce(sum(remaining) FILTER (WHERE status = 'ACTIVE' AND expires_at <= now()), 0)
      AS overdue
  FROM public.points_lot
  WHERE member_id = a.member_id AND currency = a.currency AND status IN ('PENDING', 'ACTIVE')
) l
WHERE a.currency = 'POINTS';
COMMENT ON VIEW peer.account IS
  E'@primaryKey member_id\n@foreignKey (member_id) references peer.member (id)|@foreignSingleFieldName points';

CREATE VIEW peer.entry AS
SELECT member_id, seq, kind::text, at,
  (CASE WHEN kind = 'DEBT' OR active_delta + pending_delta < 0 THEN -amount ELSE amount END)::int
    AS amount
FROM public.points_entry WHERE currency = 'POINTS';
COMMENT ON VIEW peer.entry IS
  E'@primaryKey member_id,seq\n@foreignKey (member_id) references peer.account (member_id)|@foreignFieldName entries';

CREATE VIEW peer.template AS
SELECT id, name, kind::text, value::int, threshold_fen::int FROM public.coupon_template;
COMMENT ON VIEW peer.template IS '@primaryKey id';

CREATE VIEW peer.coupon AS
SELECT member_id, id, code, state::text, expires_at, template_id FROM public.coupon;
COMMENT ON VIEW peer.coupon IS
  E'@primaryKey member_id,id\n@foreignKey (member_id) references peer.member (id)|@foreignFieldName coupons\n@foreignKey (template_id) references peer.template (id)|@fieldName template';

CREATE VIEW peer.badge AS
SELECT a.member_id, b.code, b.name_zh AS name, a.issued_at
FROM public.badge_award a JOIN public.badge b ON b.code = a.badge_code
WHERE a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > now());
COMMENT ON VIEW peer.badge IS
  E'@primaryKey member_id,code\n@foreignKey (member_id) references peer.member (id)|@foreignFieldName badges';

CREATE VIEW peer.ballot AS
SELECT id, question, opens_at, closes_at, community_id FROM public.ballot WHERE state = 'OPEN';
COMMENT ON VIEW peer.ballot IS '@primaryKey id';

CREATE VIEW peer.option AS
SELECT ballot_id, position::int, id, label FROM public.ballot_option;
COMMENT ON VIEW peer.option IS
  E'@primaryKey ballot_id,id\n@foreignKey (ballot_id) references peer.ballot (id)|@foreignFieldName options';

-- Those that the member may see: of everyone, and of their own community.
CREATE FUNCTION peer.member_ballots(m peer.member) RETURNS SETOF peer.ballot
LANGUAGE sql STABLE AS $$
  SELECT b.* FROM peer.ballot b
  WHERE b.community_id IS NULL OR b.community_id = m.community_id
  ORDER BY b.opens_at DESC, b.id DESC
$$;
