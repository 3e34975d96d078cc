"""Training and scoring of churn models: facts out of the database, arrays through the models.

No transaction is open while a model works. The models (and xgboost with them) are imported where
they are used, so that the scheduler and short commands start without them.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app import churn
from app.kernel.db import Database
from app.kernel.log import logger
from app.kernel.table import Json
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

if TYPE_CHECKING:
    from ml.artifact import Artifact
    from ml.facts import Facts
    from ml.scoring import Scores

# A model older than this is trained anew before the night's scoring.
MODEL_LASTS = timedelta(days=14)

Progress = Callable[[int, int], None]

log = logger(__name__)


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


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scoring run did, by which model, and as of when."""

    version: str
    as_of: datetime
    horizon_days: int
    stored: churn.Stored


def _silently(done: int, total: int) -> None:
    """Progress that nobody watches."""


async def train_model(
    database: Database,
    *,
    as_of: datetime,
    zone: str,
    progress: Progress = _silently,
    threads: int | None = None,
) -> Trained:
    """Train on what was known at `as_of` and store the model; by default with every core.

    Few rows are learned from faster by one thread: several mostly wait for each other. Raises
    ml.errors.TooLittleHistory when no window has closed that could be learned from.
    """
    facts = await churn.read_facts(database, as_of=as_of, zone=zone)
    cores = threads or os.cpu_count() or 1
    artifact = await asyncio.to_thread(_train, facts, as_of, progress, cores)
    metrics = _means(artifact.about.metrics)
    async with database.begin() as tx:
        row = await churn.register_model(
            tx,
            version=f"{as_of:%Y%m%d}-{artifact.version}",
            trained_as_of=as_of,
            manifest=artifact.manifest(),
            metrics=metrics,
            artifact=artifact.to_bytes(),
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
    )


def _train(
    facts: churn.ChurnFacts, as_of: datetime, progress: Progress, threads: int
) -> "Artifact":
    from ml.training import train

    return train(
        as_arrays(facts),
        as_of=int(as_of.timestamp()),
        threads=threads,
        progress=progress,
    )


def as_arrays(facts: churn.ChurnFacts) -> "Facts":
    """The facts as the models take them; both sides name their columns alike."""
    from ml.facts import Facts

    return Facts(**vars(facts))


def _means(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the held-out windows; nothing without any."""
    origins = list(metrics.values())
    names = origins[0] if origins else {}
    return {name: sum(origin[name] for origin in origins) / len(origins) for name in names}


async def score_members(
    database: Database, *, as_of: datetime, zone: str, progress: Progress = _silently
) -> Scored:
    """Score every member with a recent order as of an instant, and raise and close alerts.

    Scores go in by batches of 5,000; a run that was killed is simply repeated. Raises NoModel and
    ModelDamaged, after which the earlier scores are still in force.
    """
    async with database.read() as read:
        model = await churn.load_champion(read)
        trigger = await churn.lowest_trigger(read)
    artifact = await asyncio.to_thread(_open, model)
    facts = await churn.read_facts(database, as_of=as_of, zone=zone)
    scores = await asyncio.to_thread(_score, artifact, facts, as_of, trigger)
    done, total = churn.Stored(), len(scores.members)
    for start in range(0, total, churn.BATCH):
        part = slice(start, start + churn.BATCH)
        batch = churn.NewScores(
            model_id=model.id,
            as_of=as_of,
            horizon_days=artifact.about.horizon_days,
            member_ids=facts.ids(scores.members[part]),
            probability=scores.probability[part].tolist(),
            reasons=[[_told(reason) for reason in row] for row in scores.reasons[part]],
        )
        async with database.begin() as tx:
            done += await churn.store_scores(tx, batch)
        progress(min(start + churn.BATCH, total), total)
    return Scored(model.version, as_of, artifact.about.horizon_days, done)


def _open(model: churn.ModelVersion) -> "Artifact":
    from ml.artifact import from_bytes
    from ml.errors import CorruptArtifact

    try:
        return from_bytes(model.artifact)
    except CorruptArtifact as error:
        raise churn.ModelDamaged(version=model.version) from error


def _score(
    artifact: "Artifact", facts: churn.ChurnFacts, as_of: datetime, trigger: float
) -> "Scores":
    from ml.scoring import score

    at = int(as_of.timestamp())
    return score(artifact, as_arrays(facts), as_of=at, reasons_above=trigger)


def _told(reason: Any) -> Json:
    return {
        "code": reason.code,
        "zh": reason.zh,
        "en": reason.en,
        "weight": round(float(reason.weight), 4),
    }


@job(queue=NIGHTLY, time_limit=timedelta(hours=3), retries=3)
@planned
async def score_night(work: Work, *, due_at: datetime) -> None:
    """Train if the model is old or missing, score everyone, and settle alerts that are decided.

    Without a usable model yesterday's scores stay in force, and the log says how to mend it.
    """
    await _train_if_old(work, due_at)
    try:
        scored = await score_members(work.database, as_of=due_at, zone=work.settings.time_zone)
    except churn.NoModel as refusal:
        log.info("not scored: no model yet", why=str(refusal), mend="run `linli train`")
    except churn.ModelDamaged as refusal:
        log.error("not scored: earlier scores stay", why=str(refusal), mend="run `linli train`")
    else:
        log.info("members scored", **{n: getattr(scored.stored, n) for n in _FIGURES})
    async with work.database.begin() as tx:
        recovered, churned = await churn.settle_alerts(tx)
    log.info("alerts settled", recovered=recovered, churned=churned)


_FIGURES = ("stored", "ignored", "raised", "recovered")


async def _train_if_old(work: Work, as_of: datetime) -> None:
    from ml.errors import TooLittleHistory

    async with work.database.read() as read:
        model = await churn.champion(read)
    if model is not None and as_of - model.trained_as_of < MODEL_LASTS:
        return
    try:
        trained = await train_model(work.database, as_of=as_of, zone=work.settings.time_zone)
    except TooLittleHistory as refusal:
        log.info("no model trained yet", why=str(refusal))
        return
    log.info("model trained", version=trained.version, role=trained.role.value)


@job()
@planned
async def escalate_alerts(work: Work, *, due_at: datetime) -> None:
    """Move alerts up whose level has had its 72 hours."""
    moved = await drain(work.database, churn.escalate_due)
    if moved:
        log.info("alerts moved up", alerts=moved)


@job()
async def recover_member(work: Work, *, member_id: str) -> None:
    """Close a member's alert once they have ordered."""
    async with work.database.begin() as tx:
        await churn.recover_by_order(tx, member_id=UUID(member_id))
