"""Facts about points."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class PointsChanged(Event):
    """A member's account moved; the totals are those after the movement."""

    kind: ClassVar[str] = "points.changed"
    member_id: UUID
    currency: str
    cause: str
    balance: int
    pending: int
    debt: int

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class MemberCheckedIn(Event):
    """A member checked in on a business day, which counts towards growth."""

    kind: ClassVar[str] = "member.checked_in"
    member_id: UUID
    day: str
    streak: int


@dataclass(frozen=True, slots=True)
class PointsExpiring(Event):
    """Points of a member end soon; told once for all that end at the same instant."""

    kind: ClassVar[str] = "points.expiring"
    member_id: UUID
    currency: str
    points: int
    expires_at: datetime

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class InvitationChanged(Event):
    """An invitation was accepted, brought its inviter points, or lost them again."""

    kind: ClassVar[str] = "invitation.changed"
    inviter_id: UUID
    member_id: UUID
    state: str
    points: int

    def topics(self) -> list[str]:
        """Who invited sees it."""
        return [member_topic(self.inviter_id)]
