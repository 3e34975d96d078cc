"""Facts about segments."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic
from app.segments.stages import Stage


@dataclass(frozen=True, slots=True)
class StageChanged(Event):
    """A member entered a stage that campaigns act on; only good news reaches the member.

    Sent for entries into VIP, SILENT, LAPSED_HIGH_VALUE and CHURNED, never by the first run.
    """

    kind: ClassVar[str] = "segment.stage_changed"
    member_id: UUID
    before: Stage | None
    stage: Stage
    as_of: datetime

    def topics(self) -> list[str]:
        """A new VIP hears of it; nobody is told that they have fallen silent."""
        return [member_topic(self.member_id)] if self.stage is Stage.VIP else []


@dataclass(frozen=True, slots=True)
class SegmentsSwapped(Event):
    """A run put new stages in force."""

    kind: ClassVar[str] = "segment.swapped"
    as_of: datetime
    members: int
    changed: int
