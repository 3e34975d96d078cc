"""Answers that are remembered under the version their own first statement read: never stale."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from app.kernel.auth import MemberCaller, open_session
from app.kernel.db import Database
from app.tiers import ensure_tiers
from tests.conftest import Api
from tests.make.members import member as a_member
from tests.schema.edge.asking import Asker, asker_with
from tests.schema.edge.test_presumed import trips

__all__ = ["trips"]
HOME = (Path(__file__).parents[3] / "bench" / "home" / "home.graphql").read_text()
WRITES = 60
READERS = 4


@pytest.fixture
async def person(database: Database) -> UUID:
    async with database.begin() as tx:
        await ensure_tiers(tx)
        return (await a_member(tx, nickname="0")).id


async def bearer(api: Api, database: Database, person: UUID) -> str:
    async with database.begin() as tx:
        pair = await open_session(tx, kind="member", subject_id=person)
    token = api.resources.tokens.sign(MemberCaller(person, pair.session_id), database.clock())
    return f"Bearer {token}"


async def rename(database: Database, person: UUID, name: int) -> None:
    async with database.begin() as tx:
        await tx.session.execute(
            text("UPDATE member SET nickname = :name WHERE id = :id"),
            {"name": str(name), "id": person},
        )


async def shown(asker: Asker, header: str, document: str) -> int:
    answer = await asker.ask(document, authorization=header)
    return int(answer.data["me"]["nickname"])


async def test_a_first_home_is_one_round_trip_and_the_next_one_reads_the_version(
    api: Api, database: Database, person: UUID, trips: list[str]
) -> None:
    asker, header = asker_with(api.resources), await bearer(api, database, person)
    await shown(asker, header, HOME)
    assert len(trips) == 1
    await shown(asker, header, HOME)
    assert len(trips) == 2
    assert "points_account" not in trips[1]


# One whole by plan, one with a field that no wave serves, one that reads nothing first of all.
DOCUMENTS = [
    HOME,
    "{ me { nickname community { name } points { balance } } }",
    "{ ballots(first: 1) { nodes { id tally { turnout } } } me { nickname } }",
]


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_what_was_written_before_is_seen_whoever_asks(
    api: Api, database: Database, person: UUID, document: str
) -> None:
    header = await bearer(api, database, person)
    processes = [asker_with(api.resources) for _ in range(2)]
    written, done = 0, False
    seen: list[int] = []

    async def read(asker: Asker) -> None:
        while not done:
            before = written
            name = await shown(asker, header, document)
            assert name >= before
            seen.append(name)

    async def write() -> None:
        nonlocal written, done
        try:
            for name in range(1, WRITES + 1):
                await rename(database, person, name)
                written = name
                await asyncio.sleep(0.002 * (name % 3))
        finally:
            done = True

    await asyncio.gather(write(), *(read(processes[n % 2]) for n in range(READERS)))
    assert len(set(seen)) > 5
    assert await shown(processes[0], header, document) == WRITES
    assert await shown(processes[0], header, document) == WRITES
