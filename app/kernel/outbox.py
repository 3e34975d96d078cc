"""Facts announced with a transaction, and the tables they pass through.

`emit` stores a fact in `outbox` inside the transaction that made it true. The relay (in workers)
moves it from there to the actors and, for facts with topics, to `live_event`, whose `seq` is the
cursor of every subscription. Delivery is at least once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import cache
from typing import ClassVar
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table


@dataclass(frozen=True, slots=True)
class Event:
    """A fact that became true with the transaction that emits it.

    Subclasses are frozen dataclasses with plain fields (ids, integers, texts, instants).
    """

    kind: ClassVar[str]

    def topics(self) -> list[str]:
        """Live topics whose followers see this fact; empty for most."""
        return []


def encode(event: Event) -> Json:
    """A fact's fields as JSON values: ids and instants as text."""
    return {name: _plain(getattr(event, name)) for name in _names(type(event))}


def encode_all(rows: Sequence[object]) -> str:
    """Facts, and whatever is in rows with them, as JSON text, each as `encode` has it."""
    return orjson.dumps(rows, default=_plain_key).decode()


def _plain_key(value: object) -> str:
    # The driver's ids are of a class of its own.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


@cache
def _names(kind: type[Event]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


class OutboxRow(Table):
    """A fact that waits for the relay."""

    __tablename__ = "outbox"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    topics: Mapped[list[str]]
    payload: Mapped[Json]
    at: Mapped[datetime]


class LiveEvent(Table):
    """A fact on a live topic, kept for a day so that subscribers can resume."""

    __tablename__ = "live_event"
    __table_args__ = (Index(None, "topic", "seq"), Index(None, "at"))

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str]
    kind: Mapped[str]
    payload: Mapped[Json]
    at: Mapped[datetime]
