"""Facts about what playbooks do."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class PlaybookMessageSent(Event):
    """A playbook wrote to a member: whoever delivers messages takes the words from here."""

    kind: ClassVar[str] = "playbook.message_sent"
    member_id: UUID
    message_id: UUID
    zh: str
    en: str

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class PlaybookActivated(Event):
    """A version answers alerts from now on."""

    kind: ClassVar[str] = "playbook.activated"
    playbook_id: UUID
    line_id: UUID
    version: int
