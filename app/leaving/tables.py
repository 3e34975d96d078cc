"""Copies of a member's data, made for them and kept for hours."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Table


class ExportState(StrEnum):
    """How far a copy has come."""

    WAITING = "WAITING"
    READY = "READY"
    FAILED = "FAILED"
    ENDED = "ENDED"


class DataExport(Table):
    """A copy of everything of a member, asked for by them; one under way a member."""

    __tablename__ = "data_export"
    __table_args__ = (
        Index(None, "id", unique=True),
        Index(
            "uq_data_export_waiting",
            "member_id",
            unique=True,
            postgresql_where=text("state = 'WAITING'"),
        ),
        Index("ix_data_export_due", "ends_at", postgresql_where=text("state = 'READY'")),
        CheckConstraint(
            "state <> 'READY' OR (ready_at IS NOT NULL AND ends_at > ready_at)", name="ready"
        ),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[ExportState]
    requested_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    # When it is deleted.
    ends_at: Mapped[datetime | None]
    # Of the file that the member gets.
    bytes: Mapped[int] = mapped_column(server_default=text("0"))


class DataExportPart(Table):
    """A piece of the file, sealed."""

    __tablename__ = "data_export_part"
    __table_args__ = (
        ForeignKeyConstraint(
            ["member_id", "export_id"],
            ["data_export.member_id", "data_export.id"],
            ondelete="CASCADE",
        ),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    export_id: Mapped[UUID] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True)
    # The key that sealed it.
    kid: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
