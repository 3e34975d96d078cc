"""A small world, what its tables should hold, and what they hold."""

from collections import Counter
from datetime import UTC, datetime

from sqlalchemy import text

from app import simulated
from app.kernel.db import Database
from simulation import MONTH, World

AS_OF = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MONTHS = 3.0
SMALL = simulated.World(seed=5, members=120, months=MONTHS, start=AS_OF - MONTHS * MONTH)

# What identifies a row and what is said of it; sealed texts differ each time they are sealed.
TABLES = {
    "community": "*",
    "member": "*",
    "identity": "kind, app, blind, member_id, linked_at",
    "leader": "*",
    "member_order": "*",
    "order_line": "*",
    "refund": "*",
    "activity": "*",
    "coupon_template": "*",
    "coupon_batch": "*",
    "coupon": "*",
    "coupon_redemption": "*",
    "simulated_world": "*",
}


def world_of(wanted: simulated.World) -> World:
    return World(wanted.seed, wanted.members, wanted.start, wanted.months)


def expected(wanted: simulated.World, until: datetime) -> Counter[str]:
    """How many rows the neutral tables have."""
    rows: Counter[str] = Counter()
    for block in world_of(wanted).blocks(until):
        rows.update({name: len(table) for name, table in block.tables()})
    return rows


async def counted(database: Database) -> dict[str, int]:
    async with database.read() as read:
        return {
            name: await read.session.scalar(text(f"SELECT count(*) FROM {name}")) or 0
            for name in TABLES
        }


async def digest(database: Database) -> dict[str, str | None]:
    """A hash of each table's rows, whatever the order they lie in."""
    found: dict[str, str | None] = {}
    async with database.read() as read:
        for name, columns in TABLES.items():
            found[name] = await read.session.scalar(
                text(
                    "SELECT md5(string_agg(md5(CAST(r AS text)), '' ORDER BY CAST(r AS text)))"
                    f" FROM (SELECT {columns} FROM {name}) AS r"
                )
            )
    return found


async def emptied(database: Database) -> None:
    names = ", ".join(TABLES)
    async with database.begin() as tx:
        await tx.session.execute(text(f"TRUNCATE {names} CASCADE"))
