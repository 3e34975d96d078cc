"""How long the monthly run of the tiers takes: `python -m bench.tier_run --members 1000000`.

Makes members with orders over the last year, one in a hundred of them refunded, and standings in
every state, in an own server that is thrown away. The first run ever, of the month before, gives
everybody a standing and is measured by itself; then the month is previewed and published batch by
batch. Halfway through the publication the run is left and taken up on new connections, as after
a kill. At the end it counts what must hold: nobody was changed twice, everybody who had to be was.
"""

import argparse
import asyncio
import tempfile
import time
from datetime import date
from pathlib import Path

from alembic import command
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app import tiers
from app.kernel.db import Database, sqlalchemy_url
from app.kernel.embedded import start_postgres
from cli.migrating import alembic_config

BEFORE, MONTH = date(2026, 3, 1), date(2026, 4, 1)
CUTOFF = tiers.cutoff_of(MONTH)
# Small enough that there is a half-way.
PUBLISH_BATCH = 5_000

# A tenth of the members stand in GOLD or DIAMOND, in all three states; four orders each, of which
# the amounts lie so that some reach a tier, some keep theirs and some fall.
_FILL = [
    """INSERT INTO community (id, name, time_zone, created_at)
       VALUES (gen_random_uuid(), 'bench', 'Asia/Shanghai', :at)""",
    """INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
       SELECT gen_random_uuid(), (SELECT id FROM community), 'm' || n, 'ACTIVE', 'zh-CN',
              CAST(:at AS timestamptz) - interval '700 days'
       FROM generate_series(1, :members) AS n""",
    """INSERT INTO member_order (member_id, id, source, order_no, channel, placed_at, paid_at,
                                 settled_at, total_fen, refunded_fen, refunded_at)
       SELECT m.id, gen_random_uuid(), 'bench', n::text, 'APP', o.at, o.at, o.at, o.fen,
              CASE WHEN o.back THEN o.fen ELSE 0 END, CASE WHEN o.back THEN o.at END
       FROM member AS m, generate_series(1, :orders) AS n, LATERAL (
           SELECT CAST(:at AS timestamptz) - interval '1 day' * (10 + 110 * (n - 1)
                      + (hashtext(m.id::text) & 63)) AS at,
                  (1000 * exp(3 * random() + (hashtext(m.id::text) & 3)))::bigint AS fen,
                  hashtext(m.id::text || n) % 100 = 0 AS back) AS o""",
    """INSERT INTO refund (member_id, id, source, refund_no, order_id, quantity, amount_fen, at)
       SELECT member_id, gen_random_uuid(), 'bench', id::text, id, 0, refunded_fen, refunded_at
       FROM member_order WHERE refunded_fen > 0""",
    """INSERT INTO tier_standing (member_id, tier_code, since, growth, growth_at, state,
                                  at_risk_since, grace_until)
       SELECT id, CASE n % 30 WHEN 0 THEN 'DIAMOND' ELSE 'GOLD' END,
              CAST(:at AS timestamptz) - interval '200 days', 0,
              CAST(:at AS timestamptz) - interval '31 days', s.state,
              CASE WHEN s.state <> 'STEADY' THEN CAST(:at AS timestamptz) - interval '60 days' END,
              CASE WHEN s.state = 'GRACE' THEN CAST(:at AS timestamptz) - interval '1 day' END
       FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM member) AS m,
            LATERAL (SELECT (ARRAY['STEADY', 'AT_RISK', 'GRACE'])[1 + n / 10 % 3] AS state) AS s
       WHERE n % 10 = 0""",
    "ANALYZE",
]
_SUMS = """SELECT
    (SELECT count(*) FROM tier_move WHERE kind IN ('UPGRADE', 'DOWNGRADE') AND applied
        AND month = :month) AS moved,
    (SELECT count(*) FROM tier_change WHERE month = :month) AS changes,
    (SELECT count(DISTINCT member_id) FROM tier_change WHERE month = :month) AS people,
    (SELECT count(*) FROM tier_move WHERE applied IS NULL) AS waiting,
    (SELECT count(*) FROM tier_change) - (SELECT count(*) FROM outbox
        WHERE kind = 'tier.changed') AS untold"""


async def _fill(url: str, members: int, orders: int) -> None:
    # By the migrations: with the triggers that every installation has.
    await asyncio.to_thread(command.upgrade, alembic_config(url), "head")
    engine = create_async_engine(sqlalchemy_url(url))
    database = Database(url, clock=lambda: CUTOFF)
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
    await database.close()
    given = {"at": CUTOFF, "members": members, "orders": orders}
    async with engine.begin() as connection:
        for statement in _FILL:
            names = {name for name in given if f":{name}" in statement}
            await connection.execute(text(statement), {name: given[name] for name in names})
    await engine.dispose()


async def _advance(
    url: str, month: date, *, preview: bool, most: int | None = None
) -> tuple[float, int, int]:
    """Batches on connections of their own; answers seconds, batches and what was done in them."""
    database = Database(url, clock=lambda: CUTOFF)
    started, batches, done = time.perf_counter(), 0, 0
    while most is None or batches < most:
        async with database.begin() as tx:
            progress = await tiers.advance(
                tx, month=month, preview_only=preview, publish_batch=PUBLISH_BATCH
            )
        batches, done = batches + 1, done + progress.done
        if progress.finished:
            break
    seconds = time.perf_counter() - started
    await database.close()
    return seconds, batches, done


async def _report(url: str) -> None:
    database = Database(url)
    async with database.read() as read:
        sums = (await read.session.execute(text(_SUMS), {"month": MONTH})).mappings().one()
        counts = await tiers.move_counts(read, MONTH)
    for count in counts:
        print(f"  {count.kind:<10} {count.from_code:>8} -> {count.to_code:<8}{count.members:>10,}")
    print("  " + ", ".join(f"{name} {value:,}" for name, value in sums.items()))
    alike = sums["moved"] == sums["changes"] == sums["people"]
    if sums["waiting"] or sums["untold"] or not alike:
        raise SystemExit("the run does not add up")
    await database.close()


async def main() -> None:
    """Fill, run, leave, take up, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--orders", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder), durable=False)
        try:
            started = time.perf_counter()
            await _fill(server.url, given.members, given.orders)
            took = time.perf_counter() - started
            print(f"{'filled':<28}{took:>8.1f} s   {given.members:,} members")
            first, _, _ = await _advance(server.url, BEFORE, preview=False)
            print(f"{'the first run ever':<28}{first:>8.1f} s")
            judged, _, people = await _advance(server.url, MONTH, preview=True)
            print(f"{'previewed':<28}{judged:>8.1f} s   {people:,} members judged")
            half, batches, moved = await _advance(server.url, MONTH, preview=False, most=2)
            print(
                f"{'published until left':<28}{half:>8.1f} s   {moved:,} moves, {batches} batches"
            )
            rest, _, second = await _advance(server.url, MONTH, preview=False)
            print(f"{'taken up and finished':<28}{rest:>8.1f} s   {second:,} moves")
            again, _, none = await _advance(server.url, MONTH, preview=False)
            print(f"{'run once more':<28}{again:>8.1f} s   {none:,} moves")
            print(f"{'the run in all':<28}{judged + half + rest:>8.1f} s")
            await _report(server.url)
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
