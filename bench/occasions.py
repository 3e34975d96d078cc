"""How long a festival takes to give everybody a coupon: `python -m bench.occasions`.

Makes members and a batch of coupons for the Mid-Autumn Festival, in an own server that is thrown
away, and runs the job's batches until there is nothing to do. At the end it counts what must hold:
everybody has one coupon and one gift, everybody is told, and the batch has paid for all. On a busy
machine the processor seconds say more than the clock: here are the job's own and PostgreSQL's.
"""

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

from alembic import command
from sqlalchemy import text

from app import coupons, gifts, members, tiers
from app.kernel.clock import day_start
from app.kernel.db import Database
from app.kernel.embedded import start_postgres
from app.kernel.garbage import collect_rarely
from bench.year import server_seconds
from cli.migrating import alembic_config

PLANNED, DAY = datetime(2026, 9, 1, tzinfo=UTC), date(2026, 9, 25)
_FILL = text(
    """INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
       SELECT gen_random_uuid(), :community, 'm' || n, 'ACTIVE', 'zh-CN', TIMESTAMPTZ '2025-01-01'
       FROM generate_series(1, :members) AS n"""
)
_SUMS = text(
    """SELECT (SELECT count(*) FROM coupon) AS coupons,
           (SELECT count(DISTINCT member_id) FROM coupon) AS members,
           (SELECT count(*) FROM occasion_grant WHERE outcome = 'GRANTED') AS gifts,
           (SELECT count(*) FROM outbox WHERE kind = 'occasion.given') AS told,
           (SELECT granted FROM coupon_batch) AS granted"""
)


async def _fill(url: str, count: int) -> None:
    await asyncio.to_thread(command.upgrade, alembic_config(url), "head")
    database = Database(url, clock=lambda: PLANNED)
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        community = (await members.create_community(tx, name="bench")).id
        await tx.session.execute(_FILL, {"community": community, "members": count})
        draft = coupons.TemplateDraft(
            name="中秋快乐",
            kind=coupons.Kind.FIXED,
            value=500,
            validity=coupons.Validity.RELATIVE,
            valid_days=7,
        )
        template = await coupons.create_template(tx, draft=draft, by=None)
        batch = await coupons.create_batch(tx, template_id=template.id, quantity=count)
        await coupons.approve_batch(tx, batch_id=batch.id, by=None)
        await coupons.move_batch(tx, batch_id=batch.id, to=coupons.BatchState.ACTIVE)
        await gifts.set_occasion_gift(tx, occasion="MID_AUTUMN", tier_code=None, batch_id=batch.id)
    await database.close()


async def _give(url: str) -> tuple[float, float, float]:
    """Give to everybody; wall seconds, processor seconds here, and PostgreSQL's."""
    database = Database(url, clock=lambda: day_start(DAY))
    collect_rarely()  # as every worker does
    server, own = server_seconds(), time.process_time()
    started, moved = time.perf_counter(), 1
    while moved:
        async with database.begin() as tx:
            moved = await gifts.give_occasions(tx)
    wall, own = time.perf_counter() - started, time.process_time() - own
    server = server_seconds() - server
    await database.close()
    return wall, own, server


async def main() -> None:
    """Fill, give, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=100_000)
    count: int = parser.parse_args().members
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder), durable=False)
        try:
            await _fill(server.url, count)
            wall, own, theirs = await _give(server.url)
            print(f"{'a festival given':<28}{wall:>8.1f} s   {count:,} members")
            print(f"{'processor':<28}{own + theirs:>8.1f} s   {own:.1f} here, {theirs:.1f} there")
            database = Database(server.url)
            async with database.read() as read:
                sums = (await read.session.execute(_SUMS)).mappings().one()
            await database.close()
        finally:
            server.stop()
    print("  " + ", ".join(f"{name} {value:,}" for name, value in sums.items()))
    if set(sums.values()) != {count}:
        raise SystemExit("the festival does not add up")


if __name__ == "__main__":
    asyncio.run(main())
