"""What monitoring sees of the churn model, read from the database at most once a minute."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app import churn
from app.kernel.db import Database
from app.kernel.log import logger

EVERY: Final = 60.0
"""Seconds between two looks, however often and by how many scrapers is asked."""
PATIENCE: Final = 2.0

log = logger(__name__)


class ChurnFigures(Collector):
    """Gauges of drift and of the ages of model and scores; those not known are left out.

    Where the database does not answer, the last figures are given: a scrape never fails for them.
    """

    def __init__(
        self,
        database: Database,
        registry: CollectorRegistry,
        *,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        """Register the gauges; nothing is read before the first `refresh`."""
        self.database, self._tick = database, tick
        self._known = churn.Vitals()
        self._due = -float("inf")
        self._looking: asyncio.Task[None] | None = None
        registry.register(self)

    async def refresh(self) -> None:
        """Look again if the last look was a minute ago; all who ask meanwhile share one look."""
        if self._looking is None:
            if self._tick() < self._due:
                return
            self._due = self._tick() + EVERY
            self._looking = asyncio.create_task(self._look())
        # Shielded: a scraper that hangs up ends nobody else's look.
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE), self.database.read() as read:
                self._known = await churn.vitals(read)
        except Exception as error:  # whatever is wrong with the database, /readyz tells
            log.info("churn figures stay as they were", error=type(error).__name__)
        finally:
            self._looking = None

    def collect(self) -> Iterator[Metric]:
        """The gauges as of now."""
        known = self._known
        yield _gauge("score_psi", "Population stability index of the score", known.score_psi)
        yield _gauge(
            "base_rate_shift",
            "Share who fell silent less what their scores had promised",
            known.base_rate_shift,
        )
        yield _gauge(
            "brier_excess", "Brier score less that of the model's training", known.brier_excess
        )
        yield _gauge(
            "model_age_seconds",
            "Time since the instant before which the model in force had learned",
            self._age(known.trained_as_of),
        )
        yield _gauge(
            "scores_age_seconds",
            "Time since the instant of the newest scores",
            self._age(known.scored_as_of),
        )

    def _age(self, since: datetime | None) -> float | None:
        return None if since is None else (self.database.clock() - since).total_seconds()


def _gauge(name: str, told: str, value: float | None) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"churn_{name}", told)
    if value is not None:
        gauge.add_metric([], value)
    return gauge
