"""Facts about members."""

from dataclasses import dataclass
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


def member_topic(member_id: UUID | str) -> str:
    """The live topic of everything that happens to one member (`myUpdates`)."""
    return f"member:{member_id}"


def member_topic_in_sql(member_id: SQLColumnExpression[UUID]) -> ColumnElement[str]:
    """The same topic as an SQL value, for facts that are told by the thousand."""
    return literal(member_topic("")).op("||")(cast(member_id, Text))
