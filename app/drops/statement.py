"""The statement that serves many claims of one drop, a transaction by itself.

It is built so that every row it writes follows from a coupon that was really given: a coupon that
meets a rival's is not given, and nothing is written for it.
"""

from dataclasses import dataclass
from enum import StrEnum

from app import coupons
from app.drops.errors import (
    AlreadyClaimed,
    DropNotFound,
    NotInAudience,
    NotOpen,
    NotYetYours,
    SoldOut,
)
from app.drops.events import DropClaimed, DropOpened, DropSoldOut
from app.drops.rules import COMMAND
from app.kernel.errors import IdempotencyKeyReused
from app.members import MemberNotActive, member_topic


class Outcome(StrEnum):
    """What the statement says of a claim, besides the codes of refusals."""

    GIVEN = "GIVEN"
    # This key was answered before; here is that answer.
    REPEATED = "REPEATED"
    # In turn, but those before it took the last ones: sold out, unless one of those is undecided.
    TOO_LATE = "TOO_LATE"
    # The same before the opening: they took the last that were set apart for early access so far.
    EARLY_GONE = "EARLY_GONE"
    # The drop changed while the statement waited for its row: nothing was written.
    STALE = "STALE"
    # Another grant of the same template to the same member was quicker.
    RIVALLED = "RIVALLED"
    # The terms do not hold the zone that the member's community runs by, or the drop's have changed
    # since they were read.
    NEW_TERMS = "NEW_TERMS"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What differs in the statement by whether the drop has conditions on who may claim."""

    seen: str
    judged: str
    uninvited: str
    early: str
    join: str
    gone: str
    answer: str


_FREE = _Parts(
    seen="""d.stock - d.claimed AS open_stock,
           d.state IN ('SCHEDULED', 'OPEN') AND d.closes_at > $2 AND d.opens_at <= $2 AS takes,""",
    judged="",
    uninvited="",
    early="",
    join="",
    gone=f"'{Outcome.TOO_LATE}'",
    answer="CAST(j.answer AS text)",
)
# Before the opening $18 is the rank that early access asks for at this instant (null before its
# first window) and $19 how many may be claimed by then in all. From the opening on both are idle:
# the instant decides, in this very statement, which of the two counts.
_CONDITIONAL = _Parts(
    seen="""d.min_rank, d.guests_only,
           CASE WHEN d.opens_at <= $2 THEN d.stock ELSE $19::bigint END - d.claimed AS open_stock,
           d.state IN ('SCHEDULED', 'OPEN') AND d.closes_at > $2
               AND (d.opens_at <= $2 OR d.early_opens_at IS NOT NULL) AS takes,
           d.min_rank IS NOT NULL OR (d.opens_at > $2 AND d.early_opens_at IS NOT NULL)
               AS ranked,""",
    judged="r.rank,",
    uninvited=""" OR r.rank < s.min_rank OR (s.guests_only AND NOT EXISTS (
                   SELECT FROM drop_guest AS u
                   WHERE (u.member_id, u.drop_id) >= (a.member_id, $1)
                       AND (u.member_id, u.drop_id) <= (a.member_id, $1)))""",
    early=f"""WHEN NOT s.opened AND (r.rank < $18::bigint) IS NOT FALSE
                   THEN '{NotYetYours.code}'""",
    join="""
    LEFT JOIN LATERAL (
        SELECT coalesce(
            (SELECT t.rank FROM tier AS t WHERE t.code = (
                SELECT p.tier_code FROM tier_standing AS p WHERE p.member_id = a.member_id)),
            (SELECT min(rank) FROM tier), 1) AS rank
        WHERE s.ranked
    ) AS r ON true""",
    gone=f"CASE WHEN s.opened THEN '{Outcome.TOO_LATE}' ELSE '{Outcome.EARLY_GONE}' END",
    answer="""coalesce(CAST(j.answer AS text), CASE
           WHEN s.ranked AND NOT s.opened THEN to_json(coalesce((
               SELECT min(w.opens_at) FROM drop_window AS w
               WHERE w.drop_id = $1 AND w.rank <= j.rank AND w.opens_at > $2
                   AND w.opens_at < s.opens_at), s.opens_at))::text
       END)""",
)


# The order of the verdicts is that of `claim_all`, the keys being asked first as `once` does.
#
# Most drops have no condition on who may claim: for those there is a statement without the parts
# that look at ranks, guests and early access, which would cost each batch the setting-up of plans
# that are never run. Whoever changes the conditions raises `terms`: asked by terms of before ($17),
# the statement serves nobody (NEW_TERMS).
#
# Every lookup is by a whole primary key, in a form that leaves the planner no other index: what
# it thinks of nearly empty tables would have it walk all that others claimed, for each who claims.
#
# `seen` is the drop as the statement's snapshot has it, `held` the drop as it is once its row is
# locked: the two differ when another transaction claimed in between. Then earlier claims may be
# missing from the snapshot, so nothing is given (STALE) and the caller tries again. The row is
# locked only if somebody can be served: refusals cost no lock and no write.
#
# Locks are taken as everywhere: the drop, the coupons by member, then the keys by member; sorting
# the keys also makes all coupons come before the first of them. A key that another transaction has
# stored meanwhile fails the whole statement (there it belongs to another drop's claim, since this
# drop is held), and the caller tries again.
_ASKED = """
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[])
        WITH ORDINALITY AS a(member_id, key, digest, coupon_id, code, place)
), windows AS MATERIALIZED (
    SELECT zone, usable_from, expires_at, CAST(facts AS jsonb) AS facts
    FROM unnest($8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[])
        AS w(zone, usable_from, expires_at, facts)
"""


_LOOKED_UP = f"""    FROM asked AS a
    LEFT JOIN seen AS s ON true
    LEFT JOIN LATERAL (
        SELECT k.digest, k.answer FROM idempotency_key AS k
        WHERE k.owner_id = a.member_id AND k.command = '{COMMAND}' AND k.key = a.key LIMIT 1
    ) AS e ON true
    LEFT JOIN LATERAL (
        SELECT m.status, m.community_id, h.time_zone
        FROM member AS m JOIN community AS h ON h.id = m.community_id
        WHERE m.id = a.member_id LIMIT 1
    ) AS m ON true
    LEFT JOIN windows AS w ON w.zone = m.time_zone
    LEFT JOIN LATERAL (
        SELECT true AS taken FROM drop_claim AS c
        WHERE (c.member_id, c.drop_id) >= (a.member_id, $1)
            AND (c.member_id, c.drop_id) <= (a.member_id, $1) LIMIT 1
    ) AS c ON true
    LEFT JOIN LATERAL (
        SELECT true AS known FROM identity AS o
        WHERE o.member_id = a.member_id AND (
            SELECT true FROM drop_identity AS k
            WHERE k.drop_id = $1 AND k.kind = o.kind AND k.app = o.app AND k.blind = o.blind
            LIMIT 1)
        LIMIT 1
    ) AS i ON true"""


def _judging(parts: _Parts) -> str:
    return f"""
), seen AS MATERIALIZED (
    SELECT d.id, d.version, d.state, d.community_id, d.batch_id, b.template_id, t.per_member,
           d.opens_at, d.stock - d.claimed AS remaining, d.opens_at <= $2 AS opened,
           d.terms <> $17::int AS outdated,
           {parts.seen}
           b.state = 'ACTIVE' AND $12::boolean AS gives
    FROM coupon_drop AS d
    JOIN coupon_batch AS b ON b.id = d.batch_id
    JOIN coupon_template AS t ON t.id = b.template_id
    WHERE d.id = $1
), judged AS MATERIALIZED (
    SELECT a.*, w.usable_from, w.expires_at, w.facts, e.answer, {parts.judged}
           CASE
               WHEN e.digest <> a.digest THEN '{IdempotencyKeyReused.code}'
               WHEN e.digest IS NOT NULL THEN '{Outcome.REPEATED}'
               WHEN s.id IS NULL THEN '{DropNotFound.code}'
               WHEN m.status IS DISTINCT FROM 'ACTIVE' THEN '{MemberNotActive.code}'
               WHEN c.taken OR i.known THEN '{AlreadyClaimed.code}'
               WHEN s.outdated THEN '{Outcome.NEW_TERMS}'
               WHEN s.state = 'SOLD_OUT' THEN '{SoldOut.code}'
               WHEN NOT s.takes THEN '{NotOpen.code}'
               WHEN s.community_id <> m.community_id{parts.uninvited} THEN '{NotInAudience.code}'
               {parts.early}
               WHEN NOT s.gives THEN '{NotOpen.code}'
               WHEN w.zone IS NULL THEN '{Outcome.NEW_TERMS}'
           END AS verdict
"""


_GIVING = f"""
), turn AS MATERIALIZED (
    SELECT n.*, count(*) FILTER (WHERE n.may) OVER (
               ORDER BY n.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ahead
    FROM (
        SELECT j.*, x.nth, x.nth <= s.per_member AS may
        FROM judged AS j CROSS JOIN seen AS s CROSS JOIN LATERAL (
            SELECT 1 + coalesce((
                SELECT o.nth FROM coupon AS o
                WHERE o.member_id = j.member_id AND o.template_id = s.template_id
                ORDER BY o.nth DESC LIMIT 1), 0) AS nth
            OFFSET 0 -- or it would be looked up again wherever it is mentioned
        ) AS x
        WHERE j.verdict IS NULL
    ) AS n
), held AS MATERIALIZED (
    SELECT d.version FROM coupon_drop AS d
    WHERE d.id = $1 AND EXISTS (SELECT FROM turn WHERE may)
    FOR NO KEY UPDATE
), given AS (
    INSERT INTO coupon (member_id, id, batch_id, template_id, nth, source, source_id, state,
                        code, usable_from, expires_at, granted_at)
    SELECT t.member_id, t.coupon_id, s.batch_id, s.template_id, t.nth, '{coupons.Source.DROP}', $1,
           CASE WHEN t.usable_from > $2 THEN 'WAITING' ELSE 'ACTIVE' END,
           t.code, t.usable_from, t.expires_at, $2
    FROM turn AS t CROSS JOIN seen AS s JOIN held AS h ON h.version = s.version
    WHERE t.may AND t.ahead < s.open_stock
    ORDER BY t.member_id
    ON CONFLICT (member_id, template_id, nth) DO NOTHING
    RETURNING member_id, id
), answered AS (
    INSERT INTO idempotency_key (owner_id, command, key, digest, answer, at)
    SELECT g.member_id, '{COMMAND}', a.key, a.digest,
           jsonb_build_object('coupon', g.id, 'at', $13::text), $2
    FROM given AS g JOIN asked AS a USING (member_id)
    ORDER BY g.member_id, a.key
), claimed AS (
    INSERT INTO drop_claim (member_id, drop_id, coupon_id, claimed_at)
    SELECT member_id, $1, id, $2 FROM given
), known AS (
    INSERT INTO drop_identity (drop_id, kind, app, blind)
    SELECT $1, o.kind, o.app, o.blind FROM given AS g JOIN identity AS o USING (member_id)
), counted AS (
    UPDATE coupon_drop AS d
    SET claimed = d.claimed + n.taken,
        version = d.version
            + CASE WHEN d.state = 'SCHEDULED' AND d.opens_at <= $2 THEN 2 ELSE 1 END,
        state = CASE WHEN d.claimed + n.taken = d.stock THEN 'SOLD_OUT'
                     WHEN d.opens_at <= $2 THEN 'OPEN' ELSE d.state END
    FROM (SELECT count(*) AS taken FROM given) AS n
    WHERE d.id = $1 AND n.taken > 0
    RETURNING d.version, d.state, d.stock - d.claimed AS remaining, d.opens_at, d.closes_at
), facts AS (
    INSERT INTO outbox (id, kind, topics, payload, at)
    SELECT g.id, '{coupons.CouponGranted.kind}', ARRAY['{member_topic("")}' || g.member_id],
           j.facts || jsonb_build_object('member_id', g.member_id, 'coupon_id', g.id), $2
    FROM given AS g JOIN judged AS j USING (member_id)
    UNION ALL
    SELECT p.fact_id, p.kind, ARRAY[$16::text],
           jsonb_build_object(
               'drop_id', $1, 'version', p.version, 'state', p.state, 'remaining', p.remaining,
               'opens_at', to_json(c.opens_at AT TIME ZONE 'UTC') #>> '{{}}' || '+00:00',
               'closes_at', to_json(c.closes_at AT TIME ZONE 'UTC') #>> '{{}}' || '+00:00'), $2
    FROM counted AS c CROSS JOIN seen AS s CROSS JOIN LATERAL (
        VALUES ($14::uuid, '{DropOpened.kind}', c.version - 1, 'OPEN', s.remaining,
                s.state = 'SCHEDULED' AND s.opened),
               ($15::uuid,
                CASE c.state WHEN 'SOLD_OUT' THEN '{DropSoldOut.kind}'
                    ELSE '{DropClaimed.kind}' END,
                c.version, c.state, c.remaining, true)
    ) AS p(fact_id, kind, version, state, remaining, happened)
    WHERE p.happened
)
"""


def _telling(parts: _Parts) -> str:
    return f"""SELECT coalesce(j.verdict, CASE
           WHEN g.id IS NOT NULL THEN '{Outcome.GIVEN}'
           WHEN t.ahead >= s.open_stock THEN {parts.gone}
           WHEN NOT t.may THEN '{coupons.CouponLimitReached.code}'
           WHEN h.version = s.version THEN '{Outcome.RIVALLED}'
           ELSE '{Outcome.STALE}'
       END) AS outcome, g.id AS coupon_id, {parts.answer} AS answer
FROM judged AS j
LEFT JOIN seen AS s ON true
LEFT JOIN held AS h ON true
LEFT JOIN turn AS t ON t.place = j.place
LEFT JOIN given AS g ON g.member_id = j.member_id
ORDER BY j.place
"""


def _statement(parts: _Parts) -> str:
    return _ASKED + _judging(parts) + _LOOKED_UP + parts.join + _GIVING + _telling(parts)


FREE = _statement(_FREE)
"""For drops that anybody of their community may claim from once they are open."""

CONDITIONAL = _statement(_CONDITIONAL)
"""The same with ranks, guests and early access; two arguments more."""

LOCK = "SELECT FROM coupon_drop WHERE id = $1 FOR NO KEY UPDATE"
