"""A worker process whose jobs leave traces; tests run it by `python -m tests.workers.traced`."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

from dramatiq import Message
from sqlalchemy import text

from app.kernel.config import load_settings
from app.kernel.errors import NotAllowed
from app.kernel.log import logger
from app.kernel.outbox import Event
from workers import run
from workers.broker import Sender
from workers.jobs import Work, by_name, job
from workers.reactions import Reactions, react

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Touched(Event):
    """Sets off the job that leaves traces."""

    kind: ClassVar[str] = "test.touched"
    key: str
    seconds: float = 0.0
    topic: str = ""

    def topics(self) -> list[str]:
        """The one it was given."""
        return [self.topic] if self.topic else []


async def trace(work: Work, key: str, what: str) -> None:
    """One row a trace; `done` can be left only once."""
    async with work.database.begin() as tx:
        await tx.session.execute(
            text("INSERT INTO job_trace VALUES (:key, :what) ON CONFLICT DO NOTHING"),
            {"key": key, "what": what if what == "done" else f"{what} {tx.new_id()}"},
        )


@job()
async def touch(work: Work, *, key: str, seconds: float) -> None:
    """Start, take some time, and be done."""
    log.info("touching")
    await trace(work, key, "started")
    await asyncio.sleep(3_600 if "--never-done" in sys.argv else seconds)
    await trace(work, key, "done")


@job(queue="refusing")
async def refuse(work: Work, *, key: str) -> None:
    """Say no."""
    await trace(work, key, "refused")
    raise NotAllowed()


JOBS = by_name([touch, refuse])
REACTIONS = Reactions(
    {Touched: (react(touch, "key", "seconds"), react(refuse, "key"))},
    JOBS,
)


class DyingSender(Sender):
    """Dies after Redis took the messages and before the relay deletes the facts."""

    def send(self, messages: list[Message[Any]]) -> None:
        """Send, then die."""
        super().send(messages)
        if messages:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if "--die-after-send" in sys.argv:
        run.Sender = DyingSender
    run.run_worker(load_settings(), jobs=JOBS, reactions=REACTIONS)
