"""Facts about copies of members' data."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class DataExportRequested(Event):
    """A member asked for a copy of their data."""

    kind: ClassVar[str] = "export.requested"
    member_id: UUID
    export_id: UUID


@dataclass(frozen=True, slots=True)
class DataExportReady(Event):
    """A copy of a member's data can be downloaded."""

    kind: ClassVar[str] = "export.ready"
    member_id: UUID
    export_id: UUID

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]
