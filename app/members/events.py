"""Facts about members."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event


@dataclass(frozen=True, slots=True)
class MemberRegistered(Event):
    """A person joined."""

    kind: ClassVar[str] = "member.registered"
    member_id: UUID
    community_id: UUID


def member_topic(member_id: UUID) -> str:
    """The live topic of everything that happens to one member (`myUpdates`)."""
    return f"member:{member_id}"
