"""The leaders of a community."""

from datetime import timedelta

from sqlalchemy import insert

from app.kernel.db import Database
from app.members import Leader, leaders_by_community
from tests.make.members import community, member


async def test_those_of_longest_standing_come_first_and_of_one_instant_by_their_ids(
    database: Database,
) -> None:
    async with database.begin() as tx:
        home = (await community(tx)).id
        people = sorted([(await member(tx)).id for _ in range(6)])
        rows = [
            {"member_id": one, "community_id": home, "since": tx.now - timedelta(days=one in old)}
            for old in [people[4:]]
            for one in reversed(people)
        ]
        await tx.session.execute(insert(Leader), rows)
    async with database.read() as read:
        found = await leaders_by_community(read, [home])
    assert found == {home: [*people[4:], *people[:4]]}
