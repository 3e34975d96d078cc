"""Training and scoring by the workers of a Dask cluster, who read their own members.

Nothing that travels names a database: each worker has the address of its own, in its environment.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from app import churn
from app.kernel.config import BadSettings, Settings, load_settings
from app.kernel.db import Database
from workers.models import Progress, as_arrays, in_thread, silently

if TYPE_CHECKING:
    from ml.artifact import Artifact
    from ml.cluster import Parts, PartScores
    from ml.drift import Drift
    from ml.facts import Facts

LEAST_PARTS = 8
MOST_MEMBERS = 50_000
"""Members of a part at the most, so that a worker needs little memory at once."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads a range of members on a worker, as of an instant. Printing it shows no address."""

    as_of: datetime
    zone: str

    def __call__(self, members: churn.MemberRange) -> "Facts":
        """The facts of these members. Raises NoCluster with words that show no address either."""
        from ml.errors import NoCluster

        here = socket.gethostname()
        try:
            settings = load_settings()
            if settings.database_url is None:
                raise NoCluster(
                    f"The worker on {here} has no LINLI_DATABASE_URL. Workers read members "
                    "themselves: give each one the address of the database, in its environment."
                )
            return as_arrays(asyncio.run(self._read(settings, members)))
        except BadSettings as error:
            names = sorted({line.split(":")[0] for line in str(error).splitlines()})
            raise NoCluster(
                f"The environment of the worker on {here} is wrong: {', '.join(names)}."
            ) from None
        except churn.MembersMoved:
            raise NoCluster(
                "Members came or went while they were read, or the LINLI_DATABASE_URL of the "
                f"worker on {here} names another database. Repeat the command."
            ) from None
        except NoCluster:
            raise
        except Exception as error:
            raise NoCluster(
                f"The worker on {here} cannot read the database that its LINLI_DATABASE_URL "
                f"names ({type(error).__name__})."
            ) from None

    async def _read(self, settings: Settings, members: churn.MemberRange) -> churn.ChurnFacts:
        database = Database(
            settings.database_url or "",
            read_url=settings.read_database_url,
            pool_size=1,
            pgbouncer=settings.pgbouncer,
        )
        try:
            return await churn.read_facts(
                database, as_of=self.as_of, zone=self.zone, within=members
            )
        finally:
            await database.close()


async def _opening(
    database: Database, address: str, *, as_of: datetime, zone: str
) -> "Callable[[], AbstractContextManager[Parts]]":
    """How the members are opened on the cluster, in whichever thread works with them."""
    from ml.cluster import opened

    async with database.read() as read:
        ranges = await churn.member_ranges(read, least=LEAST_PARTS, most=MOST_MEMBERS)
    at = int(as_of.timestamp())
    return lambda: opened(address, Reader(as_of, zone), ranges, as_of=at)


@dataclass(frozen=True, slots=True)
class Made:
    """A model, the distributions of its day, and a comparison with the one in force."""

    artifact: "Artifact"
    reference: dict[str, Any]
    beside: dict[str, Any] | None


async def train(
    database: Database,
    address: str,
    *,
    as_of: datetime,
    zone: str,
    horizon_days: int,
    champion: "Artifact | None",
    progress: Progress = silently,
    threads: int = 1,
) -> Made:
    """Train on a cluster, and compare with the model in force where there is one.

    Raises NoCluster, TooLittleHistory, ModelWorkFailed.
    """
    parts_of = await _opening(database, address, as_of=as_of, zone=zone)

    def work() -> Made:
        from ml import cluster

        with parts_of() as parts:
            artifact = cluster.train(
                parts, horizon_days=horizon_days, threads=threads, progress=progress
            )
            beside = None
            if champion is not None:
                beside = cluster.compare(
                    parts, champion=champion, challenger=artifact, threads=threads
                )
            return Made(artifact, cluster.reference(parts, artifact), beside)

    return await in_thread(work)


class Scoring:
    """Scores of all members as parts of them come from the cluster."""

    def __init__(self, parts: "Parts", artifact: "Artifact", trigger: float) -> None:
        """Of an open cluster; alerts at `trigger` are never without reasons."""
        self._parts, self._artifact, self._trigger = parts, artifact, trigger
        self._probability: list[Any] = []
        self.total = 0

    async def batches(self, size: int) -> "AsyncGenerator[tuple[list[UUID], PartScores]]":
        """Scores of so many members at once, with their ids."""
        from ml import cluster

        found = cluster.score(self._parts, self._artifact, reasons_above=self._trigger)
        while (part := await in_thread(lambda: next(found, None))) is not None:
            self._probability.append(part.probability)
            self.total = part.of
            for start in range(0, len(part.probability), size):
                batch = part.rows(start, start + size)
                yield [UUID(bytes=bytes(key)) for key in batch.keys.tolist()], batch

    def probability(self) -> Any:
        """The probabilities of everybody whose batches have been given."""
        return np.concatenate([np.empty(0), *self._probability])

    def drift(self, reference: dict[str, Any]) -> "Drift":
        """How far this night is from the day of training."""
        from ml import cluster

        return cluster.features_drift(self._parts, self._artifact, reference, self.probability())


@asynccontextmanager
async def scoring(
    database: Database,
    address: str,
    artifact: "Artifact",
    *,
    as_of: datetime,
    zone: str,
    trigger: float,
) -> AsyncGenerator[Scoring]:
    """Members on a cluster, ready to be scored. Raises NoCluster."""
    parts_of = await _opening(database, address, as_of=as_of, zone=zone)
    held = parts_of()
    parts = await in_thread(held.__enter__)
    try:
        yield Scoring(parts, artifact, trigger)
    finally:
        await asyncio.to_thread(held.__exit__, None, None, None)
