"""Which jobs a fact sets off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dramatiq import Message

from app.kernel.log import logger
from app.kernel.outbox import Event
from app.kernel.schedule import JobDue
from app.kernel.table import Json
from workers.broker import message_for
from workers.jobs import Job

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Reaction:
    """A job and which of the fact's fields it gets."""

    job: Job
    fields: tuple[str, ...]


def react(job: Job, *fields: str) -> Reaction:
    """The job gets these fields of the fact under their own names."""
    return Reaction(job, fields)


class Reactions:
    """From a stored fact to the messages it sets off."""

    def __init__(
        self, table: Mapping[type[Event], tuple[Reaction, ...]], jobs: Mapping[str, Job]
    ) -> None:
        """Facts by their kind; `jobs` are those that the schedule may name."""
        self._by_kind = {event.kind: found for event, found in table.items()}
        self._jobs = jobs

    @property
    def kinds(self) -> set[str]:
        """The kinds of facts that some job waits for."""
        return {*self._by_kind, JobDue.kind}

    def __call__(self, kind: str, payload: Json) -> list[Message[Any]]:
        """The messages of one fact; none for a kind that nothing waits for."""
        if kind == JobDue.kind:
            return self._due(payload)
        return [
            message_for(item.job, {name: payload.get(name) for name in item.fields})
            for item in self._by_kind.get(kind, ())
        ]

    def _due(self, payload: Json) -> list[Message[Any]]:
        job = self._jobs.get(payload["job"])
        if job is None:
            # Written by a newer or older version than this one; its plan comes round again.
            log.warning("schedule names an unknown job", job=payload["job"])
            return []
        return [message_for(job, {"plan": payload["name"], "due_at": payload["due_at"]})]
