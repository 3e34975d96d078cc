"""Scores of long ago are deleted, and only those."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import func, select, update

from app import churn
from app.churn.tables import ChurnNight, ChurnScore, ChurnScoreHistory
from app.kernel.config import Settings
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make.churn import model
from tests.make.members import community, member
from workers.jobs import Work, drain
from workers.upkeep import sweep_scores

DAY = timedelta(days=1)
MEMBERS = 9


async def lived(database: Database, ages: list[int], *, open_age: int | None = None) -> None:
    """Nights so many days ago, each measured since but for the one of `open_age`."""
    async with database.begin() as tx:
        home, by = (await community(tx)).id, (await model(tx)).id
        people = [(await member(tx, community_id=home)).id for _ in range(MEMBERS)]
        for age in ages:
            at = tx.now - age * DAY
            tx.session.add(
                ChurnNight(
                    as_of=at,
                    model_id=by,
                    horizon_days=45,
                    members=MEMBERS,
                    feature_psi={},
                    closed_at=None if age == open_age else tx.now,
                    created_at=at,
                )
            )
            tx.session.add_all(
                ChurnScoreHistory(member_id=one, as_of=at, probability=0.5, model_id=by)
                for one in people
            )
        tx.session.add_all(
            ChurnScore(
                member_id=one,
                as_of=tx.now - max(ages) * DAY,
                probability=0.5,
                horizon_days=45,
                model_id=by,
                reasons=[],
            )
            for one in people
        )


async def kept_ages(database: Database, now: datetime) -> dict[int, int]:
    async with database.read() as read:
        rows = await read.session.execute(
            select(ChurnScoreHistory.as_of, func.count()).group_by(ChurnScoreHistory.as_of)
        )
        return {(now - at) // DAY: number for at, number in rows}


async def test_only_what_is_older_than_the_setting_goes_batch_by_batch(
    database: Database, clock: TestClock, settings: Settings
) -> None:
    await lived(database, [1, 45, 399, 400, 401, 402, 500])
    sizes: list[int] = []
    while not sizes or sizes[-1]:
        async with database.begin() as tx:
            sizes.append(await churn.forget_scores(tx, kept=400 * DAY, batch=10))
    assert sizes == [10, 10, 7, 0]
    assert await kept_ages(database, clock.now) == dict.fromkeys([1, 45, 399, 400], MEMBERS)
    work = Work(database, settings.model_copy(update={"score_history_days": 300}))
    await sweep_scores.body(work, plan="old scores", due_at=clock.now.isoformat())
    assert await kept_ages(database, clock.now) == dict.fromkeys([1, 45], MEMBERS)
    async with database.read() as read:
        newest = await read.session.scalar(select(func.count()).select_from(ChurnScore))
    assert newest == MEMBERS, "members' newest scores stay, however old"


async def test_scores_wait_for_their_nights_measure(database: Database, clock: TestClock) -> None:
    await lived(database, [10, 450, 470, 480], open_age=470)
    forget = partial(churn.forget_scores, kept=400 * DAY)
    assert await drain(database, forget) == MEMBERS
    assert await kept_ages(database, clock.now) == dict.fromkeys([10, 450, 470], MEMBERS)
    async with database.begin() as tx:
        await tx.session.execute(
            update(ChurnNight).where(ChurnNight.closed_at.is_(None)).values(closed_at=tx.now)
        )
    assert await drain(database, forget) == 2 * MEMBERS


async def test_two_sweeps_at_once_delete_each_score_once(
    database: Database, clock: TestClock
) -> None:
    await lived(database, [1, 500, 501, 502])
    forget = partial(churn.forget_scores, kept=400 * DAY, batch=4)
    gone = await asyncio.gather(*(drain(database, forget) for _ in range(4)))
    # Whoever finds others at work may end early; nothing old is left in the end all the same.
    assert sum(gone) == 3 * MEMBERS
    assert await kept_ages(database, clock.now) == {1: MEMBERS}
