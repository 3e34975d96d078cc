"""What is wired to what, and the scheduler as real processes."""

from dataclasses import fields
from inspect import signature
from pathlib import Path

from sqlalchemy import func, select

from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from app.kernel.schedule import ScheduleRun
from tests.workers.children import child, until
from workers.roster import JOBS, PLANS, TABLE

SCHEDULER = (
    "-c",
    "from app.kernel.config import load_settings; from workers.run import run_scheduler;"
    "run_scheduler(load_settings())",
)


def test_reactions_give_jobs_what_facts_have_and_jobs_take() -> None:
    for event, reactions in TABLE.items():
        names = {field.name for field in fields(event)}
        for reaction in reactions:
            assert JOBS[reaction.job.name] is reaction.job
            assert set(reaction.fields) <= names, (event, reaction.job.name)
            taken = list(signature(reaction.job.body).parameters)
            assert taken == ["work", *reaction.fields], reaction.job.name


def test_plans_start_jobs_that_are_on_the_roster() -> None:
    assert len({plan.name for plan in PLANS}) == len(PLANS)
    for plan in PLANS:
        assert JOBS[plan.job.name] is plan.job
        assert list(signature(plan.job.body).parameters) == ["work", "plan", "due_at"]


async def test_two_scheduler_processes_announce_each_run_once(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    async def started() -> bool:
        async with database.read() as read:
            return bool(await read.session.scalar(select(func.count()).select_from(ScheduleRun)))

    async with (
        child(settings, tmp_path / "one.log", *SCHEDULER) as one,
        child(settings, tmp_path / "two.log", *SCHEDULER) as two,
    ):
        await until(started)

        async def both_ready() -> bool:
            return all("scheduler ready" in process.said() for process in (one, two))

        await until(both_ready)
        assert [await one.stop(), await two.stop()] == [0, 0]
    async with database.read() as read:
        runs = await read.session.execute(select(ScheduleRun.name, ScheduleRun.due_at))
        told = await read.session.scalars(
            select(OutboxRow.payload).where(OutboxRow.kind == "schedule.due")
        )
        claimed = sorted((row.name, row.due_at.isoformat()) for row in runs)
        assert sorted((fact["name"], fact["due_at"]) for fact in told) == claimed
