"""The one handle: read-only reads, all-or-nothing writes, facts only after commit."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from asyncpg.pgproto.pgproto import UUID as DriverId
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app.kernel.db import MANY_FACTS, Database
from app.kernel.ids import uuid7
from app.kernel.outbox import Event, OutboxRow, encode
from app.members import Community
from tests.make.members import community


@dataclass(frozen=True, slots=True)
class Told(Event):
    kind: ClassVar[str] = "test.told"
    id: UUID
    at: datetime


async def rows(database: Database, table: type[OutboxRow] | type[Community]) -> int:
    async with database.read() as read:
        return await read.session.scalar(select(func.count()).select_from(table)) or 0


async def test_a_read_cannot_write(database: Database) -> None:
    async with database.read() as read:
        with pytest.raises(DBAPIError, match="read-only"):
            await read.session.execute(text("DELETE FROM community"))


async def test_an_exception_takes_everything_back_facts_included(database: Database) -> None:
    async def fail() -> None:
        async with database.begin() as tx:
            await community(tx)
            tx.emit(Told(id=uuid4(), at=tx.now))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await rows(database, Community) == await rows(database, OutboxRow) == 0


async def test_facts_are_stored_with_the_commit_and_the_relay_is_woken(database: Database) -> None:
    woken: list[bool] = []

    async def wake() -> None:
        woken.append(True)

    database.after_emit = wake
    try:
        async with database.begin() as tx:
            tx.emit(Told(id=uuid4(), at=tx.now))
            assert not woken
    finally:
        database.after_emit = None
    assert woken == [True]
    assert await rows(database, OutboxRow) == 1


@dataclass(frozen=True, slots=True)
class Listed(Event):
    kind: ClassVar[str] = "test.listed"
    place: int
    id: UUID
    at: datetime
    names: tuple[str, ...]
    share: float | None

    def topics(self) -> list[str]:
        return [f"place:{at}" for at in range(self.place % 3)]


@pytest.mark.parametrize("count", [MANY_FACTS, MANY_FACTS + 1])
async def test_many_facts_are_stored_as_few_are_and_in_their_order(
    database: Database, count: int
) -> None:
    async with database.begin() as tx:
        told = [
            # Ids that were read are of the driver's own class.
            Listed(
                at,
                DriverId(str(uuid4())) if at % 3 else uuid4(),
                tx.now,
                ("一", '"\\', ""),
                None if at % 2 else at / 7,
            )
            for at in range(count)
        ]
        for fact in told:
            tx.emit(fact)
    async with database.read() as read:
        stored = list(await read.session.scalars(select(OutboxRow).order_by(OutboxRow.id)))
    assert [(row.kind, row.topics, row.payload) for row in stored] == [
        (fact.kind, fact.topics(), encode(fact)) for fact in told
    ]


@given(st.timedeltas(timedelta(), timedelta(days=2_900_000)))
def test_ids_are_version_7_and_ordered_by_time(since_1970: timedelta) -> None:
    aware = datetime(1970, 1, 1, tzinfo=UTC) + since_1970
    made = uuid7(aware)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == int(aware.timestamp() * 1000)
