"""Training churn models on facts of the database, and what the register keeps of them."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from app import __version__, churn
from app.kernel.db import Database
from app.kernel.table import Json
from workers.judging import rival_of, told, tried
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
    cores = threads or os.cpu_count() or 1
    if cluster is not None:
        made = await _made_there(database, cluster, as_of, zone, horizon_days, progress, cores)
    else:
        known = await read_once(database, facts, as_of=as_of, zone=zone)
        made = await _made_here(database, known, as_of, horizon_days, progress, cores)
    artifact, evidence = made.artifact, made.evidence
    version = _version(artifact, as_of)
    metrics = _means(artifact.about.metrics)
    async with database.begin() as tx:
        row = await churn.register_model(
            tx,
            version=version,
            trained_as_of=as_of,
            manifest=artifact.manifest()
            | {"program": __version__, "libraries": _libraries(), "reference": made.reference},
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


@dataclass(frozen=True, slots=True)
class _Made:
    """A model, the distributions of its day, and its evidence beside the one in force."""

    artifact: "Artifact"
    reference: Json
    evidence: Json | None


def _version(artifact: "Artifact", as_of: datetime) -> str:
    return f"{as_of:%Y%m%d}-{artifact.version}"


async def _made_here(
    database: Database,
    facts: churn.ChurnFacts,
    as_of: datetime,
    horizon_days: int,
    progress: Progress,
    threads: int,
) -> _Made:
    artifact, reference = await in_thread(
        lambda: _train(facts, as_of, horizon_days, progress, threads)
    )
    async with database.read() as read:
        stored = await churn.model_by_version(read, _version(artifact, as_of))
    evidence = stored.evidence if stored else await tried(database, facts, artifact, as_of, threads)
    return _Made(artifact, reference, evidence)


async def _made_there(
    database: Database,
    address: str,
    as_of: datetime,
    zone: str,
    horizon_days: int,
    progress: Progress,
    threads: int,
) -> _Made:
    from workers import cluster

    rival = await rival_of(database, horizon_days, as_of)
    made = await cluster.train(
        database,
        address,
        as_of=as_of,
        zone=zone,
        horizon_days=horizon_days,
        champion=None if rival is None else rival.artifact,
        progress=progress,
        threads=threads,
    )
    evidence = None if rival is None else told(made.beside, rival)
    return _Made(made.artifact, made.reference, evidence)


def _train(
    facts: churn.ChurnFacts, as_of: datetime, horizon_days: int, progress: Progress, threads: int
) -> "tuple[Artifact, Json]":
    from ml import drift
    from ml.scoring import score
    from ml.training import train

    arrays, at = as_arrays(facts), int(as_of.timestamp())
    artifact = train(
        arrays, as_of=at, horizon_days=horizon_days, threads=threads, progress=progress
    )
    seen = drift.sample(artifact, arrays, as_of=at)
    said = score(artifact, arrays, as_of=at, members=seen.members, reasons_for=0, threads=threads)
    return artifact, drift.reference(seen, said.probability)


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
