"""Facts about eco actions and badges."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class EcoActionCredited(Event):
    """A verified action brought its member CARBON points."""

    kind: ClassVar[str] = "eco.credited"
    member_id: UUID
    action_id: UUID
    type: str
    grams_co2e: int
    carbon_points: int

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class EcoActionRejected(Event):
    """Staff did not accept an action."""

    kind: ClassVar[str] = "eco.rejected"
    member_id: UUID
    action_id: UUID
    type: str
    reason: str

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class BadgeAwarded(Event):
    """A member got a badge."""

    kind: ClassVar[str] = "badge.awarded"
    member_id: UUID
    badge_code: str

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]
