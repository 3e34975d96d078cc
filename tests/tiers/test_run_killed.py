"""A run whose process is killed between and within batches: the next goes on where it was."""

from datetime import date
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select

from app import tiers
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from tests.conftest import TestClock
from tests.make.members import member
from tests.make.orders import order
from tests.make.tiers import run, standing
from tests.workers.children import child, until

APRIL = date(2026, 4, 1)
# It commits batches of five, says so, and idles inside the fourth, which it never commits.
RUNNER = """
import asyncio
from datetime import date
from app import tiers
from app.kernel.config import load_settings
from app.kernel.db import Database

NOW = tiers.cutoff_of(date(2026, 4, 1))

async def main():
    database = Database(load_settings().database_url, clock=lambda: NOW)
    published = 0
    while True:
        async with database.begin() as tx:
            progress = await tiers.advance(
                tx, month=date(2026, 4, 1), preview_batch=7, publish_batch=5)
            published += progress.state is tiers.RunState.PUBLISHING and progress.done > 0
            if published == 4:
                print("in the fourth", flush=True)
                await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_killed_process_is_followed_by_one_that_changes_nobody_twice(
    database: Database, clock: TestClock, settings: Settings, tmp_path: Path
) -> None:
    people: list[UUID] = []
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        for _ in range(40):
            person = (await member(tx)).id
            await standing(tx, member_id=person, tier_code="GOLD")
            await order(tx, member_id=person, total_fen=800_000)
            people.append(person)
    clock.now = tiers.cutoff_of(APRIL)
    async with child(settings, tmp_path / "run.log", "-c", RUNNER) as runner:

        async def in_the_fourth() -> bool:
            assert runner.process.returncode is None, runner.said()
            return "in the fourth" in runner.said()

        await until(in_the_fourth)
        runner.kill()
        await runner.process.wait()
    assert await _moved(database) == (15, 15)
    for _ in range(2):
        assert (await run(database, APRIL, batch=5)).state is tiers.RunState.PUBLISHED
    assert await _moved(database) == (40, 40)
    async with database.read() as read:
        places = await tiers.by_member(read, people)
    assert {place.tier.code for place in places.values()} == {"DIAMOND"}


async def _moved(database: Database) -> tuple[int | None, int | None]:
    """How many changes there are in the history, and how many were told."""
    async with database.read() as read:
        changes = select(func.count()).select_from(tiers.TierChange)
        told = select(func.count()).where(OutboxRow.kind == "tier.changed")
        return await read.session.scalar(changes), await read.session.scalar(told)
