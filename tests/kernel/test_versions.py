"""Members' versions: raised by every commit that touches the member, by nothing else, not lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from app.kernel.db import Database, asyncpg_url
from app.kernel.versions import EVERYBODY, sweep_changes, version_of
from app.metadata import UNVERSIONED, all_tables, versioned_tables

TRIGGERS = {f"member_version_{name}" for name in ("insert", "update", "delete", "truncate", "move")}
# What a column of a type holds that must hold something.
FILLED = {
    "uuid": "gen_random_uuid()",
    "text": "gen_random_uuid()::text",
    "character varying": "'x'",
    "bigint": "(random() * 1e9)::bigint",
    "integer": "1",
    "smallint": "1",
    "boolean": "true",
    "timestamp with time zone": "now()",
    "date": "current_date",
    "jsonb": "'{}'::jsonb",
    "ARRAY": "'{}'",
    "bytea": "''",
    "double precision": "0.5",
    "numeric": "0.5",
}


@asynccontextmanager
async def connected(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(asyncpg_url(database.engine.url.render_as_string(False)))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def hand(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Somebody at psql: a connection outside the product."""
    async with connected(database) as connection:
        yield connection


async def mark(connection: asyncpg.Connection, *members: UUID) -> None:
    """What the triggers write for these members, in the connection's transaction."""
    await connection.executemany(
        "INSERT INTO member_change (member_id) VALUES ($1) ON CONFLICT DO NOTHING",
        [(member,) for member in members],
    )


async def seen(database: Database, member: UUID) -> str:
    async with database.read() as read:
        return await version_of(read, member)


@asynccontextmanager
async def without_other_rules(
    connection: asyncpg.Connection, table: str
) -> AsyncIterator[asyncpg.Connection]:
    """A transaction, taken back at the end, where only our triggers act on a table.

    Foreign keys and checks are off, so that rows of any table can be made in one way.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        for trigger in sorted(TRIGGERS):
            await connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
        checks = await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'",
            table,
        )
        for check in checks:
            await connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{check[0]}"')
        await connection.execute("SET LOCAL session_replication_role = replica")
        yield connection
    finally:
        await transaction.rollback()


async def insert(
    connection: asyncpg.Connection, table: str, by: str, members: Iterable[UUID]
) -> None:
    columns = await connection.fetch(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = $1 AND is_nullable = 'NO' AND column_default IS NULL "
        "AND is_identity = 'NO' AND is_generated = 'NEVER' AND column_name <> $2",
        table,
        by,
    )
    names = ", ".join(f'"{column[0]}"' for column in columns)
    values = ", ".join(FILLED[column[1]] for column in columns)
    await connection.execute(
        f"INSERT INTO {table} ({by}, {names}) SELECT m, {values} FROM unnest($1::uuid[]) AS m",
        list(members),
    )


async def told(connection: asyncpg.Connection) -> set[UUID]:
    """Whom the connection's own transaction has raised since this was last asked."""
    rows = await connection.fetch(
        "DELETE FROM member_change WHERE xid = pg_current_xact_id()::text::bigint "
        "RETURNING member_id"
    )
    return {row[0] for row in rows}


@pytest.mark.parametrize(("table", "by"), versioned_tables().items())
async def test_each_change_raises_exactly_the_members_concerned(
    hand: asyncpg.Connection, table: str, by: str
) -> None:
    one, two, three, other = (uuid4() for _ in range(4))
    async with without_other_rules(hand, table) as change:
        await insert(change, table, by, [one, two, three])
        assert await told(change) == {one, two, three}
        await change.execute(f"UPDATE {table} SET {by} = {by} WHERE {by} = ANY($1)", [one, two])
        assert await told(change) == {one, two}
        await change.execute(f"UPDATE {table} SET {by} = $2 WHERE {by} = $1", two, other)
        assert await told(change) == {two, other}
        await change.execute(f"DELETE FROM {table} WHERE {by} = $1", one)
        assert await told(change) == {one}
        await change.execute(f"DELETE FROM {table} WHERE {by} = $1", one)
        assert await told(change) == set()


async def test_emptying_a_table_raises_everybody(hand: asyncpg.Connection) -> None:
    async with without_other_rules(hand, "vote") as change:
        await change.execute("TRUNCATE vote")
        assert await told(change) == {EVERYBODY}


@pytest.mark.parametrize(("rows", "everybody"), [(2_000, False), (2_001, True), (9_000, True)])
async def test_a_statement_of_very_many_rows_raises_everybody_by_one_mark(
    hand: asyncpg.Connection, rows: int, everybody: bool
) -> None:
    members = [uuid4() for _ in range(rows)]
    async with without_other_rules(hand, "vote") as change:
        await insert(change, "vote", "member_id", members)
        assert await told(change) == ({EVERYBODY} if everybody else set(members))


async def test_copy_and_upsert_raise_too(hand: asyncpg.Connection) -> None:
    one, two = uuid4(), uuid4()
    async with without_other_rules(hand, "ballot_roll") as change:
        ballot = uuid4()
        await change.copy_records_to_table(
            "ballot_roll", records=[(one, ballot)], columns=["member_id", "ballot_id"]
        )
        assert await told(change) == {one}
        await change.execute(
            "INSERT INTO ballot_roll (member_id, ballot_id) VALUES ($1, $3), ($2, $3) "
            "ON CONFLICT (member_id, ballot_id) DO UPDATE SET ballot_id = excluded.ballot_id",
            one,
            two,
            ballot,
        )
        assert await told(change) == {one, two}


async def test_writes_under_another_search_path_are_told(hand: asyncpg.Connection) -> None:
    person = uuid4()
    async with without_other_rules(hand, "public.vote") as change:
        await change.execute("SET LOCAL search_path = pg_catalog")
        await change.execute(
            "INSERT INTO public.vote (member_id, ballot_id, option_id, cast_at, changes) "
            "VALUES ($1, $1, $1, now(), 0)",
            person,
        )
        await change.execute("SET LOCAL search_path = public")
        assert await told(change) == {person}


async def test_everybody_raises_each_member(database: Database, hand: asyncpg.Connection) -> None:
    member = uuid4()
    before = await seen(database, member)
    await mark(hand, EVERYBODY)
    assert await seen(database, member) != before


async def test_what_concerns_others_raises_nothing(
    database: Database, hand: asyncpg.Connection
) -> None:
    member = uuid4()
    before = await seen(database, member)
    await mark(hand, *(uuid4() for _ in range(20)))
    assert await seen(database, member) == before


async def test_a_transaction_that_commits_after_a_later_one_is_not_lost(
    database: Database,
) -> None:
    member = uuid4()
    async with connected(database) as early, connected(database) as late:
        first = early.transaction()
        await first.start()
        await mark(early, member)  # takes the lower number …
        await mark(late, member)
        between = await seen(database, member)
        await first.commit()  # … and commits last
        assert await seen(database, member) != between


async def test_what_is_rolled_back_was_never_seen(database: Database) -> None:
    member = uuid4()
    before = await seen(database, member)
    async with connected(database) as writer:
        transaction = writer.transaction()
        await transaction.start()
        await mark(writer, member)
        assert await seen(database, member) == before
        await transaction.rollback()
    assert await seen(database, member) == before


async def test_a_savepoint_taken_back_leaves_the_rest_to_be_told(
    database: Database, hand: asyncpg.Connection
) -> None:
    member = uuid4()
    before = await seen(database, member)
    async with hand.transaction():
        inner = hand.transaction()
        await inner.start()
        await mark(hand, member)
        await inner.rollback()
        await mark(hand, member)
    assert await seen(database, member) != before


async def test_writers_of_one_member_do_not_wait_for_each_other(database: Database) -> None:
    member = uuid4()
    async with connected(database) as one, connected(database) as two:
        await two.execute("SET lock_timeout = '10ms'")
        transaction = one.transaction()
        await transaction.start()
        await mark(one, member)
        before = await seen(database, member)
        await mark(two, member)  # commits while the other is open
        assert await seen(database, member) != before
        await transaction.rollback()


async def test_many_writers_in_opposite_orders_never_deadlock(database: Database) -> None:
    members = [uuid4() for _ in range(6)]
    before = {member: await seen(database, member) for member in members}

    async def write(seed: int) -> None:
        order = members[:]
        random.Random(seed).shuffle(order)
        async with connected(database) as connection, connection.transaction():
            for member in order:
                await mark(connection, member)

    await asyncio.gather(*(write(seed) for seed in range(24)))
    async with database.read() as read:
        marks = await read.session.scalar(text("SELECT count(*) FROM member_change"))
    assert marks == 24 * len(members)
    for member in members:
        assert await seen(database, member) != before[member]


async def sweep(database: Database, kept: timedelta) -> int:
    async with database.begin() as tx:
        return await sweep_changes(tx, kept=kept)


async def test_sweeping_waits_until_nobody_can_remember(database: Database) -> None:
    member = uuid4()
    async with connected(database) as hand:
        await mark(hand, member)
    soon, never = timedelta(0), timedelta(hours=1)
    assert await sweep(database, never) == 0
    assert await sweep(database, never) == 0  # the horizon is too young
    swept = 0
    async with asyncio.timeout(60):
        # A transaction of the server's own, such as of its autovacuum, may hold the horizon back.
        while not swept:
            swept = await sweep(database, soon)
    assert swept == 1
    assert await sweep(database, soon) == 0


async def test_sweeping_leaves_what_may_have_been_seen_after_the_horizon(
    database: Database,
) -> None:
    member = uuid4()
    async with connected(database) as early, connected(database) as late:
        open_one = early.transaction()
        await open_one.start()
        await mark(early, member)
        await mark(late, member)
        await sweep(database, timedelta(0))  # notes a horizon at the open transaction
        remembered = await seen(database, member)
        await open_one.commit()
        assert await sweep(database, timedelta(0)) == 0
        assert await seen(database, member) != remembered


async def test_changes_go_on_to_be_told_after_sweeping(database: Database) -> None:
    member = uuid4()
    async with connected(database) as hand:
        versions: set[str] = set()
        for turn in range(4):
            await mark(hand, member)
            versions.add(await seen(database, member))
            await sweep(database, timedelta(0))
            assert len(versions) == turn + 1


async def test_marks_of_a_restored_dump_are_swept(
    database: Database, hand: asyncpg.Connection
) -> None:
    await hand.execute("INSERT INTO member_change VALUES ($1, 1 << 60)", uuid4())
    await hand.execute("INSERT INTO change_horizon VALUES (now() - interval '1 day', 1 << 60)")
    await mark(hand, uuid4())
    assert await sweep(database, timedelta(hours=1)) == 1
    assert await hand.fetchval("SELECT count(*) FROM member_change") == 1
    assert await hand.fetchval("SELECT max(xid) FROM change_horizon") < 1 << 60


async def test_each_table_of_members_is_tracked_or_has_a_reason_not_to_be(
    hand: asyncpg.Connection,
) -> None:
    rows = await hand.fetch(
        "SELECT c.relname, array_agg(t.tgname::text) FILTER (WHERE t.tgenabled = 'O') "
        "FROM pg_class AS c LEFT JOIN pg_trigger AS t "
        "ON t.tgrelid = c.oid AND t.tgname LIKE 'member\\_version\\_%' "
        "WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace "
        "AND (c.relname = 'member' OR EXISTS (SELECT FROM pg_attribute AS a "
        "WHERE a.attrelid = c.oid AND a.attname = 'member_id' AND NOT a.attisdropped)) "
        "GROUP BY c.relname"
    )
    live = {row[0]: set(row[1] or ()) for row in rows}
    assert set(live) == set(versioned_tables()) | set(UNVERSIONED)
    assert {name for name, triggers in live.items() if triggers == TRIGGERS} == set(
        versioned_tables()
    )
    assert not {name for name in UNVERSIONED if live[name]}


def test_the_list_of_reasons_is_about_tables_of_members() -> None:
    tables = all_tables().tables
    assert all("member_id" in tables[name].columns for name in UNVERSIONED)
    assert all(UNVERSIONED.values())
