"""The record of scheduled work: what fell due, and that it was started and finished once."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from sqlalchemy import Index, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.db import Read
from app.kernel.outbox import Event
from app.kernel.table import Table


class ScheduleRun(Table):
    """One due instant of one plan. Its primary key is what keeps any plan from running twice."""

    __tablename__ = "schedule_run"
    __table_args__ = (Index(None, "due_at"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    claimed_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    # The last failure, for staff; the job is tried again meanwhile.
    error: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class JobDue(Event):
    """A plan's instant has come; stored with the row that claims it, so it is said exactly once."""

    kind: ClassVar[str] = "schedule.due"
    name: str
    job: str
    due_at: datetime


async def latest_runs(read: Read) -> list[ScheduleRun]:
    """The newest run of each plan, by name."""
    query = select(ScheduleRun).ext(distinct_on(ScheduleRun.name))
    return list(
        await read.session.scalars(query.order_by(ScheduleRun.name, ScheduleRun.due_at.desc()))
    )
