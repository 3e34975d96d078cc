"""Staff accounts, partner API keys, and the audit log."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.auth import Role
from app.kernel.table import Json, Table


class StaffAccount(Table):
    """A person who works for the platform; a LEADER for one community of it."""

    __tablename__ = "staff_account"
    __table_args__ = (Index(None, "login", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    login: Mapped[str]
    name: Mapped[str]
    role: Mapped[Role]
    password_hash: Mapped[str]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    # Whose members a LEADER sees; a leader without one sees nobody's.
    community_id: Mapped[UUID | None] = mapped_column(ForeignKey("community.id"))


class ApiKey(Table):
    """A partner system's key: only its digest is stored."""

    __tablename__ = "api_key"
    __table_args__ = (Index(None, "digest", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Outcome(StrEnum):
    """What became of an action."""

    DONE = "DONE"
    REFUSED = "REFUSED"


class AuditEntry(Table):
    """What a staff account or partner did, written in the transaction that did it.

    The database refuses to change or delete an entry.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index(None, "at"),
        Index(None, "actor_id", "at"),
        Index(None, "action", "at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID]
    action: Mapped[str]
    given: Mapped[Json]
    address: Mapped[str | None]
    request_id: Mapped[str | None]
    outcome: Mapped[Outcome] = mapped_column(server_default=Outcome.DONE.value)
    # What the action was about, and those of its columns that the action changed.
    subject_kind: Mapped[str | None]
    subject_id: Mapped[UUID | None]
    before: Mapped[Json | None]
    after: Mapped[Json | None]


class AuditWords(Table):
    """What an entry says about a member in somebody's own words.

    It stands apart from the entry, which nobody can change, so that it goes with the member's
    personal data when their account is closed.
    """

    __tablename__ = "audit_words"
    __table_args__ = (Index(None, "entry_id", unique=True),)

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    entry_id: Mapped[UUID] = mapped_column(primary_key=True)
    given: Mapped[Json]
    before: Mapped[Json]
    after: Mapped[Json]


class StaffNotice(Table):
    """Something that staff ought to look at; one of a kind, subject and business day."""

    __tablename__ = "staff_notice"
    __table_args__ = (
        Index(None, "kind", "subject", "day", unique=True),
        Index(None, "at", "id"),
        CheckConstraint(
            "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", "acknowledged_by_somebody"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    day: Mapped[date]
    facts: Mapped[Json]
    at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[UUID | None]
