"""Joined reads answer what single ones do, whoever fails or leaves among them."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import any_, select

from app.coupons import CouponPage, CouponState, pages
from app.kernel.connections import Readers
from app.kernel.db import Database
from app.kernel.joining import Joined
from app.kernel.statements import Entities, Lines, Rows, ids
from app.members import Community, Member
from app.tiers import Tier, ensure_tiers
from tests.make.members import member as a_member

MEMBERS = Entities(select(Member).where(Member.id == any_(ids("ids"))).order_by(Member.nickname))
HOMES = Rows(
    select(Member.nickname, Community)
    .join(Community, Community.id == Member.community_id)
    .where(Member.id == any_(ids("ids")))
    .order_by(Member.nickname.desc())
)
TIERS = Entities(select(Tier).order_by(Tier.rank))
LINES = Lines(
    "SELECT m.id, m.consents, m.registered_at AS at FROM member m "
    "WHERE m.id = ANY(CAST(:ids AS uuid[])) AND m.registered_at <= :now ORDER BY m.nickname",
    "id consents at",
)
BROKEN = Lines("SELECT 1 / CAST(:zero AS int) AS one", "one")


class Counted(Readers):
    """Readers that count their round trips."""

    trips = 0

    async def fetch(self, *given: Any, **named: Any) -> list[asyncpg.Record]:
        self.trips += 1
        return await super().fetch(*given, **named)


@pytest.fixture
async def joined(database: Database, schema_ready: str) -> Any:
    readers = Counted(schema_ready, 4)
    yield Joined(readers)
    readers.drop_idle()


@pytest.fixture
async def people(database: Database) -> list[UUID]:
    async with database.begin() as tx:
        await ensure_tiers(tx)
        return [(await a_member(tx, nickname=name)).id for name in "甲乙丙丁"]


async def test_one_trip_answers_what_many_do(
    database: Database, joined: Joined, people: list[UUID]
) -> None:
    given = {"ids": people, "now": database.clock()}
    statements: list[Any] = [MEMBERS, HOMES, TIERS, LINES, MEMBERS]
    together = await asyncio.gather(
        *(joined.fetch(item, item.arguments(given)) for item in statements)
    )
    assert joined._readers.trips == 1  # type: ignore[attr-defined]
    async with database.read() as read:
        singly = [await read.fetch(item, **given) for item in statements]
    for one, other in zip(together[:1] + together[4:], singly[:1] + singly[4:], strict=True):
        assert [(row.id, row.nickname, row.status, row.consents) for row in one] == [
            (row.id, row.nickname, row.status, row.consents) for row in other
        ]
    assert [(name, home.name) for name, home in together[1]] == [
        (name, home.name) for name, home in singly[1]
    ]
    assert [tier.benefits for tier in together[2]] == [tier.benefits for tier in singly[2]]
    assert [dict(row) for row in together[3]] == [dict(row) for row in singly[3]]


async def test_nobody_is_harmed_by_anothers_fault(joined: Joined, people: list[UUID]) -> None:
    answers = await asyncio.gather(
        joined.fetch(TIERS, []),
        joined.fetch(BROKEN, [0]),
        joined.fetch(MEMBERS, [people]),
        return_exceptions=True,
    )
    assert isinstance(answers[1], asyncpg.DivisionByZeroError)
    assert [len(answers[0]), len(answers[2])] == [3, 4]  # type: ignore[arg-type]


async def test_a_leader_who_is_at_fault_hears_of_it_alone(
    joined: Joined, people: list[UUID]
) -> None:
    answers = await asyncio.gather(
        joined.fetch(BROKEN, [0]), joined.fetch(MEMBERS, [people]), return_exceptions=True
    )
    assert isinstance(answers[0], asyncpg.DivisionByZeroError)
    assert len(answers[1]) == 4  # type: ignore[arg-type]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 5])
async def test_those_who_wait_are_served_when_their_leader_leaves(
    joined: Joined, people: list[UUID], turns: int
) -> None:
    leader = asyncio.create_task(joined.fetch(TIERS, []))
    others = [asyncio.create_task(joined.fetch(MEMBERS, [people])) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    leader.cancel()
    others[1].cancel()
    done = await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 60)
    assert isinstance(done[1], asyncio.CancelledError)
    assert [len(rows) for rows in (done[0], done[2])] == [4, 4]  # type: ignore[arg-type]
    await asyncio.gather(leader, return_exceptions=True)
    assert len(await joined.fetch(TIERS, [])) == 3


async def test_order_and_limits_hold_within_a_joint_statement(
    database: Database, people: list[UUID]
) -> None:
    reader = database.reading(joined=database.joined())
    page = CouponPage(people[0], 5, state=CouponState.ACTIVE)
    found, tiers = await asyncio.gather(pages(reader, [page]), reader.fetch(TIERS))
    assert found == {page: []}
    assert [tier.rank for tier in tiers] == [1, 2, 3]
    assert await reader.fetch(MEMBERS, ids=[uuid4()]) == []
    await reader.close()
