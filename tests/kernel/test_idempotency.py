"""Idempotency keys: one effect, one answer, however often and however many at once."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from app.kernel.db import Database
from app.kernel.errors import IdempotencyKeyReused, InvalidInput, NotAllowed
from app.kernel.idempotency import once
from app.kernel.table import Json
from app.members import Community
from tests.make.members import community

OWNER = uuid4()


async def create(database: Database, key: str | None, name: str) -> Json:
    """A command with an effect that can be counted."""
    async with database.begin() as tx:

        async def work() -> Json:
            await asyncio.sleep(0.01)
            return {"id": str((await community(tx, f"{name} {uuid4()}")).id)}

        return await once(
            tx, owner_id=OWNER, command="create", key=key, given={"name": name}, work=work
        )


async def count(database: Database) -> int:
    async with database.read() as read:
        return await read.session.scalar(select(func.count()).select_from(Community)) or 0


async def test_fifty_at_once_under_one_key_have_one_effect(database: Database) -> None:
    answers = await asyncio.gather(*(create(database, "k", "a") for _ in range(50)))
    assert len({answer["id"] for answer in answers}) == 1
    assert await count(database) == 1


async def test_without_a_key_each_call_counts(database: Database) -> None:
    await asyncio.gather(*(create(database, None, "a") for _ in range(3)))
    assert await count(database) == 3


async def test_another_input_under_the_same_key_is_refused(database: Database) -> None:
    first = await create(database, "k", "a")
    with pytest.raises(IdempotencyKeyReused):
        await create(database, "k", "b")
    assert await create(database, "k", "a") == first


async def test_a_refused_command_leaves_its_key_free(database: Database) -> None:
    async def refuse() -> Json:
        raise NotAllowed()

    with pytest.raises(NotAllowed):
        async with database.begin() as tx:
            await once(tx, owner_id=OWNER, command="create", key="k", given={}, work=refuse)
    assert (await create(database, "k", "a"))["id"]


@pytest.mark.parametrize("key", ["", "x" * 129, "a\0b"])
async def test_absurd_keys_are_refused(database: Database, key: str) -> None:
    with pytest.raises(InvalidInput):
        await create(database, key, "a")
