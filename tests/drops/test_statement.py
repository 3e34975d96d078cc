"""The plans of the statement that serves claims, and what makes its terms out of date."""

import re
from itertools import pairwise

import asyncpg
import pytest
from sqlalchemy import text

from app.drops import Claims, NotInAudience
from app.drops.connecting import Wire
from app.drops.statement import CONDITIONAL, FREE
from app.kernel.db import Database
from tests.drops.claimants import gathered, members, open_drop

# What bounds each lookup, so that none walks what others have: whole keys, and of the coupons at
# worst one member's own.
KEYS = {
    "drop_claim": "ROW(member_id, drop_id)",
    "drop_identity": "AND (app = o.app) AND (blind = o.blind)",
    "idempotency_key": "(owner_id = a_1.member_id) AND (command",
    "coupon": "(member_id = j_1.member_id)",
    "member": "(id = a_1.member_id)",
}
_ANALYZE = f"ANALYZE {', '.join(KEYS)}"


async def plan(connection: asyncpg.Connection, statement: str) -> list[str]:
    """What PostgreSQL does for the statement whatever its arguments are."""
    await connection.execute(f"PREPARE claims AS {statement}")
    count = len(set(re.findall(r"\$\d+", statement)))
    nulls = ", ".join(["NULL"] * count)
    rows = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE claims({nulls})")
    await connection.execute("DEALLOCATE claims")
    return [row[0] for row in rows]


def lookups(lines: list[str]) -> dict[str, list[str]]:
    """Of each table the conditions by which rows are fetched from it."""
    found: dict[str, list[str]] = {name: [] for name in KEYS}
    for line, condition in pairwise(lines):
        scan = re.search(r"(?:Scan|Scan using \w+|Scan Backward using \w+) on (\w+)", line)
        if scan and scan[1] in KEYS:
            found[scan[1]].append(condition)
    return found


@pytest.mark.parametrize("statement", [FREE, CONDITIONAL], ids=["free", "conditional"])
@pytest.mark.parametrize("believed", ["as it comes", "empty", "few", "emptied"])
async def test_each_lookup_goes_by_a_key_whatever_is_believed_of_the_tables(
    database: Database, claims: Claims, statement: str, believed: str
) -> None:
    if believed in ("few", "emptied"):
        drop = await open_drop(database)
        for one in await members(database, 3):
            await gathered(claims, drop.id, one)
    wire = Wire(database)
    try:
        connection = await wire.connection()
        if believed != "as it comes":
            await connection.execute(_ANALYZE)
        if believed == "emptied":
            await connection.execute("DELETE FROM coupon; DELETE FROM drop_claim")
        found = lookups(await plan(connection, statement))
    finally:
        await wire.close()
    for name, conditions in found.items():
        assert conditions, name
        for condition in conditions:
            assert re.search(r"(Index|Recheck) Cond: ", condition), (name, condition)
            assert KEYS[name] in condition


async def test_a_member_has_their_coupons_of_a_template_looked_up_once(database: Database) -> None:
    wire = Wire(database)
    try:
        found = lookups(await plan(await wire.connection(), CONDITIONAL))
    finally:
        await wire.close()
    assert {name: len(conditions) for name, conditions in found.items()} == dict.fromkeys(KEYS, 1)


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
