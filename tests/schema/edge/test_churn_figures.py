"""Gauges of the churn model on /metrics: right, few questions, and never a failing scrape."""

import asyncio
from datetime import timedelta

import httpx2
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine, event, update

from app import churn
from app.churn.tables import ChurnNight
from app.kernel.db import Database, Tx
from schema import ChurnFigures
from tests.conftest import TestClock
from tests.make.churn import model, watched
from tests.schema.conftest import Server

NAMES = (
    "churn_score_psi",
    "churn_base_rate_shift",
    "churn_brier_excess",
    "churn_model_age_seconds",
    "churn_scores_age_seconds",
)


class Scraped:
    """A registry with the gauges alone, and a hand on their clock."""

    def __init__(self, database: Database) -> None:
        self.seconds = 1_000.0
        self.registry = CollectorRegistry()
        self.figures = ChurnFigures(database, self.registry, tick=lambda: self.seconds)

    async def read(self) -> dict[str, float]:
        await self.figures.refresh()
        lines = generate_latest(self.registry).decode().splitlines()
        told = dict(line.split() for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in told.items()}


async def lived(tx: Tx) -> None:
    """A night whose scores drifted, and one of a horizon ago that has been measured."""
    row = await watched(tx)
    row.metrics |= {"brier": 0.17}
    await tx.session.flush()
    by = await model(tx)
    by.metrics = {"brier": 0.17}
    tx.session.add(
        ChurnNight(
            as_of=tx.now - timedelta(days=46),
            model_id=by.id,
            horizon_days=45,
            members=900,
            feature_psi={},
            score_psi=0.01,
            closed_at=tx.now,
            closed_members=900,
            base_rate=0.5,
            closed_probability=0.62,
            brier=0.2,
            created_at=tx.now,
        )
    )


async def test_each_gauge_is_the_newest_that_is_known(database: Database, clock: TestClock) -> None:
    scraped = Scraped(database)
    assert await scraped.read() == {}, "nothing is known, nothing is invented"
    async with database.begin() as tx:
        await lived(tx)
        row = await churn.champion(tx)
        assert row is not None
        row.trained_as_of = tx.now - timedelta(days=3)
    assert await scraped.read() == {}, "not asked again within the minute"
    scraped.seconds += 61
    found = await scraped.read()
    assert tuple(found) == NAMES
    assert found["churn_score_psi"] == 0.3
    assert found["churn_base_rate_shift"] == pytest.approx(-0.12)
    assert found["churn_brier_excess"] == pytest.approx(0.03)
    assert found["churn_model_age_seconds"] == 3 * 86_400
    assert found["churn_scores_age_seconds"] == 0
    clock.advance(hours=1)
    assert (await scraped.read())["churn_scores_age_seconds"] == 3_600, "ages go on by themselves"


async def test_a_storm_of_scrapes_asks_once(database: Database) -> None:
    async with database.begin() as tx:
        await lived(tx)
    asked: list[str] = []

    def note(*arguments: object) -> None:
        asked.append(str(arguments[2]))

    scraped = Scraped(database)
    engine = Engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        answers = await asyncio.gather(*(scraped.read() for _ in range(200)))
        first = len(asked)
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]
        for _ in range(50):
            scraped.seconds += 1
            await scraped.read()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert 0 < first == len(asked) <= 3, asked


async def test_while_the_database_is_away_the_last_figures_are_given(database: Database) -> None:
    async with database.begin() as tx:
        await lived(tx)
    away = Database("postgresql://nobody@127.0.0.1:9/none", clock=database.clock)
    scraped = Scraped(away)
    assert await scraped.read() == {}
    scraped.figures.database = database
    scraped.seconds += 61
    known = await scraped.read()
    assert tuple(known) == NAMES
    scraped.figures.database = away
    async with database.begin() as tx:
        await tx.session.execute(update(ChurnNight).values(score_psi=9.0))
    scraped.seconds += 61
    assert await scraped.read() == known
    scraped.figures.database = database
    assert await scraped.read() == known, "the failed look counts as one"
    scraped.seconds += 61
    assert (await scraped.read())["churn_score_psi"] == 9.0
    await away.close()


async def test_a_scraper_that_hangs_up_spoils_nothing(database: Database) -> None:
    async with database.begin() as tx:
        await lived(tx)
    scraped = Scraped(database)
    first = asyncio.create_task(scraped.read())
    await asyncio.sleep(0)
    second = asyncio.create_task(scraped.read())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert tuple(await second) == NAMES


async def test_they_stand_on_the_servers_metrics(server: Server) -> None:
    async with server.parts.resources.database.begin() as tx:
        await lived(tx)
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"{server.url}/metrics")
    assert answer.status_code == 200
    assert "\nchurn_score_psi 0.3\n" in answer.text
    assert "\n# TYPE churn_scores_age_seconds gauge\n" in answer.text
