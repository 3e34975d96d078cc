"""Training churn models on facts of the database, and what the register keeps of them."""

import os
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from app import __version__, churn
from app.kernel.db import Database
from app.kernel.table import Json
from workers.judging import tried
from workers.models import Progress, Reading, as_arrays, in_thread, read_once, silently

if TYPE_CHECKING:
    from ml.artifact import Artifact

LIBRARIES = ("numpy", "scipy", "xgboost", "xgboost-cpu")


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that was just trained and stored, in force or as a challenger."""

    id: UUID
    version: str
    role: churn.ModelRole
    horizon_days: int
    choice: str
    orders: int
    members: int
    metrics: dict[str, float]
    evidence: Json | None = None


async def train_model(
    database: Database,
    *,
    as_of: datetime,
    zone: str,
    progress: Progress = silently,
    threads: int | None = None,
    horizon_days: int = 45,
    facts: Reading | None = None,
    cluster: str | None = None,
) -> Trained:
    """Train on what was known at `as_of` and store the model; by default with every core.

    The first is put in force, later ones if they win (see `ml.rivals`). `facts` gives the facts
    where they were read before. Few rows are learned from faster by one thread: several mostly
    wait for each other. Raises ml.errors.TooLittleHistory when no window has closed that could be
    learned from, ModelWorkFailed when the models' code fails. `cluster` is the address of a Dask
    scheduler whose workers shall do it; NoCluster when they cannot.
    """
    known = await read_once(database, facts, as_of=as_of, zone=zone)
    cores = threads or os.cpu_count() or 1

    def work() -> tuple["Artifact", Json]:
        return _train(known, as_of, horizon_days, progress, cores, cluster)

    artifact, manifest = await in_thread(work)
    version = f"{as_of:%Y%m%d}-{artifact.version}"
    async with database.read() as read:
        stored = await churn.model_by_version(read, version)
    evidence = stored.evidence if stored else await tried(database, known, artifact, as_of, cores)
    metrics = _means(artifact.about.metrics)
    async with database.begin() as tx:
        row = await churn.register_model(
            tx,
            version=version,
            trained_as_of=as_of,
            manifest=manifest,
            metrics=metrics,
            artifact=artifact.to_bytes(),
            evidence=evidence,
        )
    return Trained(
        id=row.id,
        version=row.version,
        role=row.role,
        horizon_days=artifact.about.horizon_days,
        choice=artifact.choice,
        orders=artifact.about.orders,
        members=artifact.about.members,
        metrics=metrics,
        evidence=row.evidence,
    )


def _train(
    facts: churn.ChurnFacts,
    as_of: datetime,
    horizon_days: int,
    progress: Progress,
    threads: int,
    cluster: str | None,
) -> "tuple[Artifact, Json]":
    from ml import drift
    from ml.scoring import score

    arrays, at = as_arrays(facts), int(as_of.timestamp())
    if cluster is None:
        from ml.training import train
    else:
        from ml.cluster import train as train_there

        train = partial(train_there, cluster)
    artifact = train(
        arrays, as_of=at, horizon_days=horizon_days, threads=threads, progress=progress
    )
    seen = drift.sample(artifact, arrays, as_of=at)
    said = score(artifact, arrays, as_of=at, members=seen.members, reasons_for=0, threads=threads)
    return artifact, artifact.manifest() | {
        "program": __version__,
        "libraries": _libraries(),
        "reference": drift.reference(seen, said.probability),
    }


def _libraries() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _means(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the held-out windows; nothing without any."""
    origins = list(metrics.values())
    names = origins[0] if origins else {}
    return {name: sum(origin[name] for origin in origins) / len(origins) for name in names}
