"""Idempotency keys: the first answer to a key is the answer to every later use of it.

The row is inserted before the work, inside the same transaction: a double that runs at the same
time waits on the unique key until the first has committed, then gets its answer. A refused command
rolls its row back, so that a client may try again under the same key once the reason is gone.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import Index, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.db import Read, Tx
from app.kernel.errors import IdempotencyKeyReused, InvalidInput
from app.kernel.table import Json, Table

MAX_KEY = 128


class IdempotencyRow(Table):
    """A used key with its input's digest and its answer; swept after 30 days."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index(None, "at"),)

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    command: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    answer: Mapped[Json | None]
    at: Mapped[datetime]


def check_key(key: str) -> None:
    """Raise InvalidInput unless it can be a key: 1 to 128 characters, none of them NUL."""
    if not 0 < len(key) <= MAX_KEY or "\0" in key:
        raise InvalidInput(
            field="idempotencyKey",
            reason=f"1 to {MAX_KEY} characters",
            reason_zh=f"1至{MAX_KEY}个字符",
        )


def digest_of(given: Mapping[str, object]) -> str:
    """What tells a command's inputs apart: SHA-256 of their JSON, in hexadecimal."""
    packed = orjson.dumps(dict(given), default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(packed).hexdigest()


async def answer_of(
    read: Read, *, owner_id: UUID, command: str, key: str | None, given: Mapping[str, object]
) -> Json | None:
    """What a key was answered; None while it was not, and without a key.

    For commands that use something up before their work, which a double would not have any more.
    Raises IdempotencyKeyReused, InvalidInput.
    """
    if key is None:
        return None
    check_key(key)
    row = await read.session.execute(
        select(IdempotencyRow.digest, IdempotencyRow.answer).where(
            IdempotencyRow.owner_id == owner_id,
            IdempotencyRow.command == command,
            IdempotencyRow.key == key,
        )
    )
    earlier = row.one_or_none()
    if earlier is None:
        return None
    if earlier.digest != digest_of(given):
        raise IdempotencyKeyReused()
    return earlier.answer or {}


async def once(
    tx: Tx,
    *,
    owner_id: UUID,
    command: str,
    key: str | None,
    given: Mapping[str, object],
    work: Callable[[], Awaitable[Json]],
) -> Json:
    """Do the work once for this owner, command and key, and answer alike ever after.

    `given` is the command's input and the answer is what names its result (ids, amounts), both as
    JSON values. Without a key the work is simply done. Raises IdempotencyKeyReused, InvalidInput
    and whatever the work refuses.
    """
    if key is None:
        return await work()
    check_key(key)
    digest = digest_of(given)
    row = (IdempotencyRow.owner_id == owner_id) & (IdempotencyRow.command == command)
    row = row & (IdempotencyRow.key == key)
    fresh = await tx.session.scalar(
        insert(IdempotencyRow)
        .values(owner_id=owner_id, command=command, key=key, digest=digest, at=tx.now)
        .on_conflict_do_nothing()
        .returning(IdempotencyRow.key)
    )
    if fresh is None:
        earlier = (
            await tx.session.execute(
                select(IdempotencyRow.digest, IdempotencyRow.answer).where(row)
            )
        ).one()
        if earlier.digest != digest:
            raise IdempotencyKeyReused()
        return earlier.answer or {}
    answer = await work()
    await tx.session.execute(update(IdempotencyRow).where(row).values(answer=answer))
    return answer
