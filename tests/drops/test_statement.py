"""The plans of the statement that serves claims, and what makes its terms out of date."""

import re

import asyncpg
import pytest
from sqlalchemy import text

from app.drops import Claims, NotInAudience
from app.drops.connecting import Wire
from app.drops.statement import CONDITIONAL, FREE
from app.kernel.db import Database
from tests.drops.claimants import gathered, members, open_drop

# By which whole key each table is asked, so that no lookup walks what others have.
KEYS = {
    "drop_claim": "ROW(member_id, drop_id)",
    "drop_identity": "AND (app = o.app) AND (blind = o.blind)",
    "idempotency_key": "(owner_id = a_1.member_id) AND (command",
    "coupon": "(member_id = j_1.member_id) AND (template_id = s_2.template_id)",
    "member": "(id = a_1.member_id)",
}


async def plan(connection: asyncpg.Connection, statement: str) -> str:
    """What PostgreSQL does for the statement whatever its arguments are."""
    await connection.execute(f"PREPARE claims AS {statement}")
    count = len(set(re.findall(r"\$\d+", statement)))
    nulls = ", ".join(["NULL"] * count)
    rows = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE claims({nulls})")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("statement", [FREE, CONDITIONAL], ids=["free", "conditional"])
async def test_each_lookup_goes_by_a_whole_key_though_the_tables_are_empty(
    database: Database, statement: str
) -> None:
    wire = Wire(database)
    try:
        lines = (await plan(await wire.connection(), statement)).splitlines()
    finally:
        await wire.close()
    seen = dict.fromkeys(KEYS, 0)
    for nth, line in enumerate(lines):
        scan = re.search(r"(?:Seq Scan|Scan using \w+|Scan Backward using \w+) on (\w+)", line)
        if scan and scan[1] in KEYS:
            seen[scan[1]] += 1
            assert KEYS[scan[1]] in lines[nth + 1], line
    assert min(seen.values()) == 1, seen


async def test_a_drop_that_gets_a_condition_later_holds_claims_to_it(
    database: Database, claims: Claims
) -> None:
    drop = await open_drop(database)
    one, two = await members(database, 2)
    assert not isinstance(await gathered(claims, drop.id, one), type)
    async with database.begin() as tx:
        await tx.session.execute(
            text("UPDATE coupon_drop SET guests_only = true, terms = terms + 1")
        )
    assert await gathered(claims, drop.id, two) is NotInAudience
