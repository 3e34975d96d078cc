"""Statements answer what a session answers, and see what their own transaction wrote."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import any_, bindparam, select, text

from app.kernel.connections import Readers
from app.kernel.db import Database
from app.kernel.statements import Entities, Rows, ids, texts
from app.members import Community, Member, MemberStatus
from app.tiers import Tier, ensure_tiers
from tests.make.members import community
from tests.make.members import member as a_member

MEMBERS = Entities(select(Member).where(Member.id == any_(ids("ids"))))
HOMES = Rows(
    select(Member, Community.name, Member.status, Community)
    .join(Community, Community.id == Member.community_id)
    .where(Member.id == any_(ids("ids")), Member.status == MemberStatus.ACTIVE)
)
SOME = Entities(
    select(Member).where(Member.status == any_(texts("states"))).limit(bindparam("first"))
)


async def test_entities_are_the_objects_a_session_gives(database: Database) -> None:
    async with database.begin() as tx:
        home = await community(tx)
        member = await a_member(tx, community_id=home.id)
    async with database.read() as read:
        (found,) = await read.fetch(MEMBERS, ids=[member.id, uuid4()])
        same = await read.session.get(Member, member.id)
    assert same is not None
    columns = [column.key for column in Member.__mapper__.column_attrs]
    assert {key: getattr(found, key) for key in columns} == {
        key: getattr(same, key) for key in columns
    }
    assert found.status is MemberStatus.ACTIVE
    with pytest.raises(AttributeError):
        found.nickname = "a change that would be lost"


async def test_rows_mix_tables_and_columns(database: Database) -> None:
    async with database.begin() as tx:
        home = await community(tx)
        member = await a_member(tx, community_id=home.id)
    async with database.read() as read:
        rows = await read.fetch(HOMES, ids=[member.id])
        few = await read.fetch(SOME, states=[state.name for state in MemberStatus], first=1)
    ((found, name, status, place),) = rows
    assert (found.id, name, status, place.id) == (
        member.id,
        home.name,
        MemberStatus.ACTIVE,
        home.id,
    )
    assert len(few) == 1


async def test_a_transaction_sees_what_it_wrote_and_nobody_else_does(database: Database) -> None:
    async with database.begin() as tx:
        home = await community(tx)
        member = await a_member(tx, community_id=home.id)
        own = await tx.fetch(MEMBERS, ids=[member.id])
        async with database.read() as read:
            others = await read.fetch(MEMBERS, ids=[member.id])
    assert [row.id for row in own] == [member.id]
    assert others == []


async def test_json_and_arrays_come_as_values(database: Database) -> None:
    async with database.begin() as tx:
        await ensure_tiers(tx)
    async with database.read() as read:
        fast = await read.fetch(Entities(select(Tier).order_by(Tier.rank)))
        slow = list(await read.session.scalars(select(Tier).order_by(Tier.rank)))
    assert [tier.benefits for tier in fast] == [tier.benefits for tier in slow]


async def test_writing_through_a_statement_is_an_error(database: Database) -> None:
    readers = database._readers
    assert readers is not None
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await readers.fetch("DELETE FROM member", [])


async def test_reads_go_on_after_their_connections_were_ended(database: Database) -> None:
    readers = database._readers
    assert readers is not None
    await asyncio.gather(*(readers.fetch("SELECT pg_sleep(0.05)", []) for _ in range(3)))
    async with database.engine.connect() as other:
        ended = await other.scalar(
            text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database() "
                "AND query LIKE '%pg_sleep(0.05)%'"
            )
        )
    assert ended >= 3
    assert (await readers.fetch("SELECT 1 AS one", []))[0]["one"] == 1


async def test_more_readers_than_connections_wait_their_turn(database: Database) -> None:
    readers = database._readers
    assert readers is not None
    rows = await asyncio.gather(*(readers.fetch("SELECT $1::int AS n", [n]) for n in range(200)))
    assert [row[0]["n"] for row in rows] == list(range(200))
    lost = [asyncio.create_task(readers.fetch("SELECT pg_sleep(5)", [])) for _ in range(40)]
    await asyncio.sleep(0.1)
    for task in lost:
        task.cancel()
    await asyncio.gather(*lost, return_exceptions=True)
    assert (await readers.fetch("SELECT 1 AS one", []))[0]["one"] == 1


def test_lists_in_the_text_are_refused() -> None:
    with pytest.raises(TypeError, match="parameter of its own"):
        Entities(select(Member).where(Member.id.in_([uuid4()])))


async def test_who_leaves_while_a_connection_is_made_leaves_none_open(
    database: Database, schema_ready: str
) -> None:
    readers = Readers(schema_ready, 4)
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linli'"

    async def opened() -> int:
        async with database.engine.connect() as other:
            return (await other.execute(text(ours))).scalar_one()

    before = await opened()
    for number in range(40):
        task = asyncio.create_task(readers.fetch("SELECT 1", []))
        await asyncio.sleep(number / 2_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    readers.drop_idle()
    async with asyncio.timeout(60):
        while await opened() > before:
            await asyncio.sleep(0.05)
