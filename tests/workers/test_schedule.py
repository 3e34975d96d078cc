"""Plans fall due once, however many schedulers look."""

import asyncio
from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import select

from app.kernel.db import Database, Tx
from app.kernel.outbox import LiveEvent, OutboxRow
from app.kernel.schedule import ScheduleRun, latest_runs
from tests.conftest import TestClock
from workers.jobs import Job, Work, job
from workers.schedule import Daily, Every, Monthly, Plan, Scheduler, planned
from workers.upkeep import sweep_all

ZONE = "Asia/Shanghai"


@job()
@planned
async def nightly(work: Work, *, due_at: datetime) -> None:
    """Fails on the first of the month."""
    if due_at.astimezone(UTC).day == 1:
        raise RuntimeError("not today")


PLAN = Plan("nightly", nightly, Daily(time(3, 0)), catch_up=timedelta(hours=12))


def scheduler(database: Database, *plans: Plan) -> Scheduler:
    return Scheduler(database, plans=plans or (PLAN,), ticks=(), zone=ZONE)


async def due_facts(database: Database) -> list[str]:
    async with database.read() as read:
        rows = await read.session.scalars(select(OutboxRow).where(OutboxRow.kind == "schedule.due"))
        return sorted(row.payload["due_at"] for row in rows)


async def runs(database: Database) -> list[ScheduleRun]:
    async with database.read() as read:
        return list(await read.session.scalars(select(ScheduleRun).order_by(ScheduleRun.due_at)))


async def test_many_schedulers_start_a_plan_once(database: Database, clock: TestClock) -> None:
    clock.now = datetime(2026, 3, 17, 19, 0, tzinfo=UTC)  # 03:00 in Shanghai
    many = [scheduler(database) for _ in range(8)]
    for _ in range(5):
        await asyncio.gather(*(one.step() for one in many))
        clock.advance(seconds=1)
    assert await due_facts(database) == ["2026-03-17T19:00:00+00:00"]
    assert len(await runs(database)) == 1


async def test_a_missed_instant_is_caught_up_only_while_it_makes_sense(
    database: Database, clock: TestClock
) -> None:
    clock.now = datetime(2026, 3, 18, 7, 0, 1, tzinfo=UTC)  # 12 hours and a second later
    assert await scheduler(database).step() == []
    clock.now -= timedelta(seconds=1)
    assert await scheduler(database).step() == ["nightly"]


async def test_a_run_is_recorded_and_keeps_others_waiting(
    database: Database, clock: TestClock
) -> None:
    plan = Plan("often", nightly, Every(timedelta(minutes=1)), patience=timedelta(minutes=10))
    clock.now = datetime(2026, 3, 18, 4, 0, tzinfo=UTC)
    assert await scheduler(database, plan).step() == ["often"]
    clock.advance(minutes=1)
    assert await scheduler(database, plan).step() == [], "the first has not finished"
    (row,) = await runs(database)
    await run(database, nightly, "often", row.due_at)
    assert await scheduler(database, plan).step() == ["often"]
    clock.advance(minutes=10)
    assert await scheduler(database, plan).step() == ["often"], "patience is over"
    assert [row.finished_at is not None for row in await runs(database)] == [True, False, False]


async def run(database: Database, item: Job, name: str, due_at: datetime) -> None:
    work = Work(database, None)  # type: ignore[arg-type]
    await item.body(work, plan=name, due_at=due_at.isoformat())


async def test_a_failure_is_on_record_until_it_succeeds(
    database: Database, clock: TestClock
) -> None:
    clock.now = datetime(2026, 3, 1, 19, 0, tzinfo=UTC)
    await scheduler(database).step()
    (row,) = await runs(database)
    with pytest.raises(RuntimeError):
        await run(database, nightly, "nightly", row.due_at)
    async with database.read() as read:
        (row,) = await latest_runs(read)
    assert row.error == "RuntimeError: not today"
    assert row.finished_at is None


async def test_ticks_run_with_the_lock(database: Database) -> None:
    ticked: list[datetime] = []

    async def tick(tx: Tx) -> None:
        ticked.append(tx.now)

    one = Scheduler(database, plans=(), ticks=(tick,), zone=ZONE)
    await one.step()
    assert len(ticked) == 1


def test_when() -> None:
    at = datetime(2026, 2, 28, 16, 4, 59, tzinfo=UTC)  # 00:04:59 on 1 March in Shanghai
    monthly = Monthly(time(0, 5))
    assert monthly.last(at, ZONE) == datetime(2026, 1, 31, 16, 5, tzinfo=UTC)
    assert monthly.last(at + timedelta(seconds=1), ZONE) == datetime(2026, 2, 28, 16, 5, tzinfo=UTC)
    daily = Daily(time(2, 10))
    assert daily.last(at, ZONE) == datetime(2026, 2, 27, 18, 10, tzinfo=UTC)


async def test_sweeping_keeps_the_newest_event_and_what_is_young(
    database: Database, clock: TestClock
) -> None:
    old, young = clock.now - timedelta(hours=25), clock.now - timedelta(hours=23)
    async with database.begin() as tx:
        for at in (old, old, young):
            tx.session.add(LiveEvent(topic="t", kind="k", payload={}, at=at))
    assert await sweep_all(database) == 2
    clock.advance(days=2)
    assert await sweep_all(database) == 0, "the newest stays as the place to begin from"
