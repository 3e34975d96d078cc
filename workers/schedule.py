"""The scheduler: claims each plan's due instant once, however many schedulers there are.

The row that claims an instant and the fact that starts its job are one transaction, so a scheduler
killed anywhere has either done both or neither. The jobs themselves run in the workers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.kernel.db import Database, Tx
from app.kernel.log import logger
from app.kernel.schedule import JobDue, ScheduleRun
from workers.jobs import Body, Job, Work

SCHEDULE_LOCK = 0x11_0002
TICK_SECONDS = 1.0
RETRY_SECONDS = 2.0

log = logger(__name__)


class When(Protocol):
    """When a plan falls due."""

    def last(self, now: datetime, zone: str) -> datetime:
        """The newest due instant that is not after `now`, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """At whole multiples of a period.

    >>> Every(timedelta(minutes=5)).last(datetime(2026, 3, 1, 6, 13, tzinfo=UTC), "UTC").isoformat()
    '2026-03-01T06:10:00+00:00'
    """

    period: timedelta

    def last(self, now: datetime, zone: str) -> datetime:
        """The newest multiple since the epoch, the same in every zone."""
        step = int(self.period.total_seconds())
        return datetime.fromtimestamp(int(now.timestamp()) // step * step, UTC)


@dataclass(frozen=True, slots=True)
class Daily:
    """Each day at a local time.

    >>> Daily(time(3, 0)).last(datetime(2026, 3, 1, 6, 0, tzinfo=UTC), "Asia/Shanghai").isoformat()
    '2026-02-28T19:00:00+00:00'
    """

    at: time

    def last(self, now: datetime, zone: str) -> datetime:
        """Today's instant, or yesterday's while today's is still to come."""
        day = now.astimezone(ZoneInfo(zone)).date()
        for candidate in (day, day - timedelta(days=1)):
            due = datetime.combine(candidate, self.at, ZoneInfo(zone)).astimezone(UTC)
            if due <= now:
                break
        return due


@dataclass(frozen=True, slots=True)
class Monthly:
    """On the first day of each month at a local time.

    >>> noon = datetime(2026, 3, 1, 4, tzinfo=UTC)
    >>> Monthly(time(0, 5)).last(noon, "Asia/Shanghai").isoformat()
    '2026-02-28T16:05:00+00:00'
    """

    at: time

    def last(self, now: datetime, zone: str) -> datetime:
        """This month's instant, or the month's before while it is still to come."""
        first = now.astimezone(ZoneInfo(zone)).date().replace(day=1)
        for candidate in (first, (first - timedelta(days=1)).replace(day=1)):
            due = datetime.combine(candidate, self.at, ZoneInfo(zone)).astimezone(UTC)
            if due <= now:
                break
        return due


@dataclass(frozen=True, slots=True)
class Plan:
    """A job and when it falls due.

    An instant missed by more than `catch_up` (the schedulers were off) is left out. While a run of
    the plan is unfinished no other is claimed, for `patience` at the most.
    """

    name: str
    job: Job
    when: When
    catch_up: timedelta = timedelta(hours=1)
    patience: timedelta = timedelta(hours=1)


Tick = Callable[[Tx], Awaitable[object]]
"""A cheap command by due instants that changes nothing when nothing is due; run each second."""


async def lead(tx: Tx) -> bool:
    """True if this transaction holds the schedulers' lock; the others have nothing to do."""
    query = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(await tx.session.scalar(query, {"key": SCHEDULE_LOCK}))


async def claim_due(tx: Tx, *, plans: Sequence[Plan], zone: str) -> list[str]:
    """Claim every plan whose newest instant is due and unclaimed; answers their names."""
    claimed: list[str] = []
    for plan in plans:
        due = plan.when.last(tx.now, zone)
        if tx.now - due <= plan.catch_up and await _claim(tx, plan, due):
            tx.emit(JobDue(name=plan.name, job=plan.job.name, due_at=due))
            claimed.append(plan.name)
    return claimed


async def _claim(tx: Tx, plan: Plan, due: datetime) -> bool:
    open_run = select(ScheduleRun.name).where(
        ScheduleRun.name == plan.name,
        ScheduleRun.due_at <= due,
        ScheduleRun.finished_at.is_(None) | (ScheduleRun.due_at == due),
        (ScheduleRun.claimed_at > tx.now - plan.patience) | (ScheduleRun.due_at == due),
    )
    if await tx.session.scalar(open_run.limit(1)) is not None:
        return False
    row = insert(ScheduleRun).values(name=plan.name, due_at=due, claimed_at=tx.now)
    row = row.on_conflict_do_nothing().returning(ScheduleRun.name)
    return await tx.session.scalar(row) is not None


def planned(body: Body) -> Body:
    """Make of `(work, *, due_at)` a scheduled job's body: its end, good or bad, goes on record."""

    async def run(work: Work, *, plan: str, due_at: str) -> None:
        due = datetime.fromisoformat(due_at)
        try:
            await body(work, due_at=due)
        except Exception as error:
            await _record(work.database, plan, due, f"{type(error).__name__}: {error}"[:2000])
            raise
        await _record(work.database, plan, due, None)

    run.__name__ = getattr(body, "__name__", "run")
    run.__doc__ = body.__doc__
    return run


async def _record(database: Database, name: str, due: datetime, error: str | None) -> None:
    async with database.begin() as tx:
        finished = tx.now if error is None else None
        await tx.session.execute(
            update(ScheduleRun)
            .where(ScheduleRun.name == name, ScheduleRun.due_at == due)
            .values(finished_at=finished, error=error)
        )


class Scheduler:
    """The loop of one scheduler process."""

    def __init__(
        self, database: Database, *, plans: Sequence[Plan], ticks: Iterable[Tick], zone: str
    ) -> None:
        """Nothing runs before `run`."""
        self._database = database
        self._plans = plans
        self._ticks = tuple(ticks)
        self._zone = zone

    async def run(self, stop: asyncio.Event) -> None:
        """Look once a second until told to stop; without a database, wait for it."""
        failing = False
        while not stop.is_set():
            try:
                await self.step()
            except Exception as error:  # nothing was claimed that was not also announced
                if not failing:
                    log.warning("scheduler waits", error=f"{type(error).__name__}: {error}")
                failing = True
                await _sleep(stop, RETRY_SECONDS)
                continue
            failing = False
            await _sleep(stop, TICK_SECONDS)

    async def step(self) -> list[str]:
        """One look at the clock; answers the plans that were claimed."""
        async with self._database.begin() as tx:
            if not await lead(tx):
                return []
            claimed = await claim_due(tx, plans=self._plans, zone=self._zone)
        for tick in self._ticks:
            async with self._database.begin() as tx:
                if await lead(tx):
                    await tick(tx)
        for name in claimed:
            log.info("plan due", plan=name)
        return claimed


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
