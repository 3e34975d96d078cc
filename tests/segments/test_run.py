"""Running the segments: what is put in force, announced, replayed and left alone."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from app import orders, segments
from app.kernel.db import Database, Read
from app.kernel.errors import InvalidInput
from app.kernel.outbox import OutboxRow
from app.members import Member, MemberStatus
from app.segments import Stage
from tests.conftest import NOON, TestClock
from tests.make import segments as make
from tests.segments.oracle import Bought, Person

JOINED = NOON - timedelta(days=400)


def days_ago(number: float) -> datetime:
    return NOON - timedelta(days=number)


async def people(database: Database, *histories: Person) -> list[UUID]:
    async with database.begin() as tx:
        return [await make.person(tx, who) for who in histories]


async def run(database: Database, as_of: datetime) -> segments.SegmentRun:
    async with database.begin() as tx:
        return await segments.run(tx, as_of=as_of)


async def stages(database: Database, ids: Sequence[UUID]) -> list[Stage | None]:
    async with database.read() as read:
        found = await segments.stage_by_member(read, ids)
    return [found[id_].stage if id_ in found else None for id_ in ids]


async def number(read: Read, table: type) -> int:
    return await read.session.scalar(select(func.count()).select_from(table)) or 0


async def test_silence_begins_to_the_second(database: Database) -> None:
    last = days_ago(60)
    (id_,) = await people(database, Person(JOINED, [Bought(last, 0)]))
    limit = last + timedelta(days=30)
    await run(database, limit - timedelta(seconds=1))
    assert await stages(database, [id_]) == [Stage.LOW_FREQUENCY]
    await run(database, limit)
    assert await stages(database, [id_]) == [Stage.LAPSED_HIGH_VALUE]
    async with database.read() as read:
        episode = (await segments.open_episode_by_member(read, [id_]))[id_]
        assert episode.silent_from == limit
        changes = (await segments.transitions_by_member(read, [id_]))[id_]
    assert [(item.from_stage, item.to_stage) for item in changes] == [
        (None, Stage.LOW_FREQUENCY),
        (Stage.LOW_FREQUENCY, Stage.LAPSED_HIGH_VALUE),
    ]


async def test_a_full_refund_makes_the_only_buyer_unconverted_again(database: Database) -> None:
    bought = Bought(days_ago(3), 500, refunds=[(days_ago(1), 500)])
    (id_,) = await people(database, Person(JOINED, [bought]))
    await run(database, days_ago(2))
    assert await stages(database, [id_]) == [Stage.VIP]
    await run(database, NOON)
    assert await stages(database, [id_]) == [Stage.NEW_UNCONVERTED]


async def test_equal_spend_is_vip_together_and_too_many_are_alarming(database: Database) -> None:
    same = [Person(JOINED, [Bought(days_ago(5), 900)]) for _ in range(5)]
    less = [Person(JOINED, [Bought(days_ago(5), 100)]) for _ in range(15)]
    ids = await people(database, *same, *less)
    found = await run(database, NOON)
    assert await stages(database, ids) == [Stage.VIP] * 5 + [Stage.LOW_FREQUENCY] * 15
    assert found.alarms == [segments.Alarm.VIP_SHARE_OF_MEMBERS]
    assert (found.vip_net90, found.total_net90) == (4500, 6000)


async def test_the_same_instant_again_changes_nothing(database: Database) -> None:
    ids = await people(
        database, Person(JOINED, [Bought(days_ago(40), 100)]), Person(JOINED), Person(days_ago(1))
    )
    first = await run(database, NOON)
    before = await stages(database, ids)
    second = await run(database, NOON)
    assert (first.version, first.changed, second.version, second.changed) == (1, 3, 1, 0)
    assert await stages(database, ids) == before
    async with database.read() as read:
        assert await number(read, segments.StageTransition) == 3
        assert await number(read, segments.SilenceEpisode) == 1


async def test_an_older_instant_is_recorded_but_changes_nobody(database: Database) -> None:
    (id_,) = await people(database, Person(JOINED, [Bought(days_ago(40), 100)]))
    await run(database, NOON)
    replay = await run(database, days_ago(20))
    assert (replay.applied, replay.changed) == (False, 0)
    assert replay.counts[Stage.LOW_FREQUENCY] + replay.counts[Stage.VIP] == 1
    assert await stages(database, [id_]) == [Stage.LAPSED_HIGH_VALUE]
    async with database.read() as read:
        current = await segments.current_run(read)
        assert current is not None
        assert current.as_of == NOON


async def test_the_future_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput):
        await run(database, NOON + timedelta(seconds=1))


async def test_two_runs_at_once_follow_one_another(database: Database) -> None:
    ids = await people(database, *(Person(JOINED, [Bought(days_ago(40), 7)]) for _ in range(20)))
    runs = await asyncio.gather(*(run(database, NOON) for _ in range(4)))
    assert sorted(item.changed for item in runs) == [0, 0, 0, 20]
    assert await stages(database, ids) == [Stage.LAPSED_HIGH_VALUE] * 20
    async with database.read() as read:
        assert await number(read, segments.StageTransition) == 20
        assert await number(read, segments.SilenceEpisode) == 20


async def test_a_run_that_dies_half_way_changes_nothing(database: Database) -> None:
    (id_,) = await people(database, Person(JOINED, [Bought(days_ago(40), 100)]))
    await run(database, days_ago(20))
    before = await stages(database, [id_])

    async def dies() -> None:
        async with database.begin() as tx:
            await segments.run(tx, as_of=NOON)
            backend = select(func.pg_terminate_backend(func.pg_backend_pid()))
            await tx.session.execute(backend)

    with pytest.raises(DBAPIError):
        await dies()
    assert await stages(database, [id_]) == before
    async with database.read() as read:
        assert await number(read, segments.SegmentRun) == 1
        assert await segments.open_episode_by_member(read, [id_]) == {}


async def test_readers_see_the_old_stages_until_the_new_ones_are_in_force(
    database: Database,
) -> None:
    (id_,) = await people(database, Person(JOINED, [Bought(days_ago(40), 100)]))
    await run(database, days_ago(20))
    before = await stages(database, [id_])
    async with database.begin() as tx:
        await segments.run(tx, as_of=NOON)
        assert await stages(database, [id_]) == before
    assert await stages(database, [id_]) == [Stage.LAPSED_HIGH_VALUE]


async def told(database: Database) -> list[tuple[str, list[str]]]:
    async with database.read() as read:
        rows = await read.session.execute(
            select(OutboxRow.payload["stage"].as_string(), OutboxRow.topics)
            .where(OutboxRow.kind == segments.StageChanged.kind)
            .order_by(OutboxRow.payload["stage"].as_string())
        )
        return [(stage, topics) for stage, topics in rows]


async def test_entries_are_told_but_not_by_the_first_run(database: Database) -> None:
    silent, vip, _ = await people(
        database,
        Person(JOINED, [Bought(days_ago(40), 100), Bought(days_ago(41), 900)]),
        Person(JOINED, [Bought(days_ago(5), 2000)]),
        Person(JOINED),
    )
    await run(database, days_ago(20))
    assert await told(database) == []
    await run(database, NOON)
    assert await told(database) == [("SILENT", []), ("VIP", [f"member:{vip}"])]
    assert silent != vip


async def test_those_who_leave_lose_their_stage(database: Database) -> None:
    closed, test = await people(database, Person(JOINED), Person(JOINED))
    await run(database, days_ago(1))
    async with database.begin() as tx:
        (await tx.session.get_one(Member, closed)).status = MemberStatus.CLOSED
        (await tx.session.get_one(Member, test)).is_test = True
    await run(database, NOON)
    assert await stages(database, [closed, test]) == [None, None]
    async with database.read() as read:
        history = await segments.transitions_by_member(read, [closed, test])
    assert [items[-1].reason for items in history.values()] == ["MEMBER_LEFT"] * 2


async def test_a_refund_restates_the_silence_it_had_ended(
    database: Database, clock: TestClock
) -> None:
    (id_,) = await people(
        database, Person(JOINED, [Bought(days_ago(50), 100), Bought(days_ago(5), 300)])
    )
    await run(database, NOON)
    async with database.begin() as tx:
        episode = (await tx.session.scalars(select(segments.SilenceEpisode))).one()
        assert episode.woken_at == days_ago(5)
        waking = await tx.session.get_one(orders.Order, (id_, episode.order_id))
        waking.cancelled_at = clock.advance(hours=1)
    await run(database, clock.advance(hours=1))
    async with database.read() as read:
        again = (await segments.open_episode_by_member(read, [id_]))[id_]
    assert (again.id, again.silent_from) == (episode.id, episode.silent_from)


async def test_members_in_a_stage_are_a_set_for_other_statements(database: Database) -> None:
    ids = await people(database, Person(JOINED), Person(days_ago(1)))
    await run(database, NOON)
    async with database.read() as read:
        chosen = segments.members_in_stage(Stage.ONBOARDING, Stage.VIP)
        rows = await read.session.scalars(select(Member.id).where(Member.id.in_(chosen)))
        assert list(rows) == [ids[1]]
        counts = await segments.counts(read)
    assert (counts[Stage.ONBOARDING].members, counts[Stage.VIP].members) == (1, 0)
