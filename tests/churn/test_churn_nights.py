"""Nights of scoring: what came of them by a plain count, and alarms that are told once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text

from app import churn, staff
from app.kernel.db import Database
from ml import evaluation
from tests.conftest import TestClock
from tests.make.churn import model, scores
from tests.make.members import community, member
from tests.make.orders import order

ZONE = "Asia/Shanghai"


async def record(database: Database, **given: Any) -> None:
    async with database.begin() as tx:
        row = await model(tx)
        night = {"as_of": tx.now, "model_id": row.id, "horizon_days": 45, "members": 10} | given
        await churn.record_night(tx, churn.NewNight(**night), zone=ZONE)


async def close(database: Database) -> int:
    async with database.begin() as tx:
        return await churn.close_nights(tx, zone=ZONE)


async def notices(database: Database) -> list[tuple[str, str]]:
    async with database.read() as read:
        rows = await staff.notices_page(read, first=100)
        return [(row.kind, row.subject) for row in rows]


async def open_alarms(database: Database) -> list[str]:
    async with database.read() as read:
        return [row.kind.value for row in await churn.drift_alarms(read, first=9, only_open=True)]


async def night_of(database: Database, probability: list[float], ordered: list[bool]) -> list[UUID]:
    """A night whose members ordered on the last second of the horizon, or just outside it."""
    async with database.begin() as tx:
        home = (await community(tx)).id
        ids = [(await member(tx, community_id=home)).id for _ in probability]
        await scores(tx, member_ids=ids, probability=probability)
        end = tx.now + timedelta(days=45)
        for place, (key, has) in enumerate(zip(ids, ordered, strict=True)):
            if has:
                at = tx.now if place % 2 else end - timedelta(seconds=1)
                await order(tx, member_id=key, at=at)
            else:
                await order(tx, member_id=key, at=tx.now - timedelta(seconds=1))
                await order(tx, member_id=key, at=end)
                await order(tx, member_id=key, at=end - timedelta(days=1), cancelled=True)
    await record(database, members=len(ids))
    return ids


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_came_of_scores_is_what_a_plain_count_says(
    database: Database, clock: TestClock, seed: int
) -> None:
    random = np.random.default_rng(seed)
    said = [round(float(p), 1) for p in random.uniform(0.05, 0.95, 40)]  # with ties
    ordered = [bool(random.uniform() > p) for p in said]
    await night_of(database, said, ordered)
    clock.advance(days=45, seconds=-1)
    assert await close(database) == 0, "the horizon has a second to go"
    clock.advance(seconds=1)
    assert await close(database) == 1
    assert await close(database) == 0
    async with database.read() as read:
        (night,) = await churn.closed_nights(read, first=5)
    outcome = np.array([0.0 if has else 1.0 for has in ordered])
    p = np.array(said)
    squares = (p - outcome) ** 2
    assert night.closed_members == 40
    assert night.base_rate == pytest.approx(outcome.mean())
    assert night.closed_probability == pytest.approx(p.mean())
    assert night.brier == pytest.approx(evaluation.brier(outcome, p))
    assert night.brier_error == pytest.approx(squares.std(ddof=1) / 40**0.5)
    assert night.rate_error == pytest.approx((p - outcome).std(ddof=1) / 40**0.5)
    assert night.roc_auc == pytest.approx(evaluation.roc_auc(outcome, p))


async def test_a_night_of_one_outcome_or_of_nobody_is_closed_as_well(
    database: Database, clock: TestClock
) -> None:
    await night_of(database, [0.5, 0.6], [True, True])
    clock.advance(days=1)
    await record(database)  # nobody was scored
    clock.advance(days=60)
    assert await close(database) == 2
    async with database.read() as read:
        latest, earlier = await churn.nights(read, first=5)
    assert (latest.closed_members, latest.brier) == (0, None)
    assert (earlier.closed_members, earlier.roc_auc) == (2, None)
    assert earlier.base_rate == 0


async def test_drifted_scores_are_told_once_an_episode(
    database: Database, clock: TestClock
) -> None:
    told: list[int] = []
    # In order: under, over, repeated, calmer, calm, over again.
    for psi in (0.2, 0.3, 0.9, 0.18, 0.17, 0.3):
        clock.advance(days=1)
        await record(database, score_psi=psi, score_psi_noise=0.01)
        told.append(len(await notices(database)))
    assert told == [0, 1, 1, 1, 1, 2]
    assert set(await notices(database)) == {("churn.drift", "SCORE")}
    assert await open_alarms(database) == ["SCORE"]
    async with database.read() as read:
        latest, first = await churn.drift_alarms(read, first=9)
    assert latest.closed_at is None
    assert first.closed_at is not None
    assert (first.value, first.limit) == (0.3, 0.25)


async def test_the_same_night_again_changes_nothing(database: Database) -> None:
    for _ in range(2):
        await record(database, score_psi=0.3, score_psi_noise=0.01)
    assert len(await notices(database)) == 1
    async with database.read() as read:
        assert len(await churn.nights(read, first=5)) == 1


async def test_an_index_that_chance_explains_is_no_alarm(database: Database) -> None:
    await record(database, score_psi=0.6, score_psi_noise=0.7)
    await record(database, score_psi=None, score_psi_noise=None)
    assert await notices(database) == []


async def test_a_base_rate_that_moved_and_worse_scores_are_told(
    database: Database, clock: TestClock
) -> None:
    # Training's Brier was 0.17; everybody was promised to stay, and everybody left.
    await night_of(database, [0.1] * 60, [False] * 60)
    clock.advance(days=45)
    assert await close(database) == 1
    assert set(await notices(database)) == {("churn.drift", "BASE_RATE"), ("churn.drift", "BRIER")}
    clock.advance(days=1)
    await night_of(database, [0.98] * 60, [False] * 60)
    clock.advance(days=45)
    assert await close(database) == 1
    assert await open_alarms(database) == []


async def test_a_handful_of_members_prove_nothing(database: Database, clock: TestClock) -> None:
    await night_of(database, [0.4, 0.5, 0.6], [False, False, True])
    clock.advance(days=45)
    assert await close(database) == 1
    assert await notices(database) == []


async def test_nights_pile_up_and_are_closed_a_month_at_a_time(
    database: Database, clock: TestClock
) -> None:
    for _ in range(33):
        clock.advance(days=1)
        await record(database)
    clock.advance(days=100)
    assert [await close(database) for _ in range(3)] == [31, 2, 0]


async def test_one_night_is_found_in_the_history_by_its_summary(database: Database) -> None:
    async with database.read() as read:
        found = await read.session.scalar(
            text("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_churn_score_history_as_of'")
        )
    assert "USING brin (as_of)" in str(found)
