"""Facts about members."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, cast, literal

from app.kernel.outbox import Event


@dataclass(frozen=True, slots=True)
class MemberRegistered(Event):
    """A person joined."""

    kind: ClassVar[str] = "member.registered"
    member_id: UUID
    community_id: UUID


@dataclass(frozen=True, slots=True)
class MembersMerged(Event):
    """Two members turned out to be one person, who goes on as one of them."""

    kind: ClassVar[str] = "member.merged"
    member_id: UUID
    merged_id: UUID

    def topics(self) -> list[str]:
        """The survivor's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class MemberFrozen(Event):
    """Staff froze a member, or let them act again."""

    kind: ClassVar[str] = "member.frozen"
    member_id: UUID
    frozen: bool

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class ClosureRequested(Event):
    """A member asked for their account to be closed, or changed their mind (no instant)."""

    kind: ClassVar[str] = "member.closing"
    member_id: UUID
    erase_at: datetime | None

    def topics(self) -> list[str]:
        """The member's own."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class MemberErased(Event):
    """A member's account is closed and their personal data is gone."""

    kind: ClassVar[str] = "member.erased"
    member_id: UUID


def member_topic(member_id: UUID | str) -> str:
    """The live topic of everything that happens to one member (`myUpdates`)."""
    return f"member:{member_id}"


def member_topic_in_sql(member_id: SQLColumnExpression[UUID]) -> ColumnElement[str]:
    """The same topic as an SQL value, for facts that are told by the thousand."""
    return literal(member_topic("")).op("||")(cast(member_id, Text))
