"""Base of every SQLAlchemy table."""

import enum
from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Constraint, Date, DateTime, Enum, MetaData, Text
from sqlalchemy import Table as SchemaTable
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase

Json = dict[str, Any]


def _check_name(constraint: Constraint, _: SchemaTable) -> str:
    """A check's own name; that of an enum's check is its column, for two may share an enum."""
    if isinstance(constraint, CheckConstraint) and getattr(constraint, "_type_bound", False):
        return next(iter(constraint.columns)).name
    return str(constraint.name)


class Table(DeclarativeBase):
    """Base of every table. Text without length, instants with zone, enums as checked text."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            # SQLAlchemy names checks by convention only where "constraint_name" occurs in it.
            "ck": "ck_%(table_name)s_%(own_constraint_name)s",
            "own_constraint_name": _check_name,
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        int: BigInteger(),
        date: Date(),
        datetime: DateTime(timezone=True),
        Json: JSONB(),
        list[str]: ARRAY(Text()),
        # Checked text instead of native enums: adding a value is a cheap, reversible migration.
        enum.Enum: Enum(enum.Enum, native_enum=False, create_constraint=True, length=32),
    }
