"""A shop of 300 members with a year of orders, enough to train a model on."""

from sqlalchemy import text

from app.kernel.db import Database
from tests.make.members import community

# 300 members, id by number: two in three order about weekly, every third every 40 days; of the
# weekly ones every fourth stops at some day of the past, the last of them only lately.
_MEMBERS = text(
    """
    INSERT INTO member (id, community_id, nickname, status, locale, registered_at, consents)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, :home,
           'm' || n, 'ACTIVE', 'zh-CN', CAST(:now AS timestamptz) - interval '400 days', '{}'
    FROM generate_series(1, 300) n
    """
)
_ORDERS = text(
    """
    WITH habit AS (
        SELECT n, CASE WHEN n % 3 = 0 THEN 40 ELSE 7 END AS every,
               CASE WHEN n % 4 = 0 THEN 360 - (n * 37) % 330 ELSE 360 END AS until
        FROM generate_series(1, 300) n
    ), day AS (
        SELECT n, k * every + (n * k * 13) % (every / 2 + 1) + n % every AS day, k
        FROM habit, generate_series(0, 51) k
        WHERE k * every + n % every < least(until, 355)
    )
    INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, paid_at,
                              settled_at, total_fen)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, gen_random_uuid(),
           'test', n || '-' || k, 'APP', at, at, at, 1000 + (n * k) % 700
    FROM day, LATERAL (
        SELECT CAST(:now AS timestamptz) + (day - 361) * interval '1 day' AS at
    ) t
    WHERE at < CAST(:now AS timestamptz)
    """
)


async def shop(database: Database) -> None:
    """Fill the database; the last orders are a few days old."""
    async with database.begin() as tx:
        home = (await community(tx)).id
        await tx.session.execute(_MEMBERS, {"home": home, "now": tx.now})
        await tx.session.execute(_ORDERS, {"now": tx.now})
