"""Scoring members, and the night in which models are trained, judged and watched."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app import churn, staff
from app.kernel.clock import business_day
from app.kernel.db import Database
from app.kernel.log import logger
from app.kernel.table import Json
from workers.jobs import NIGHTLY, Work, drain, job
from workers.judging import is_judged, judge_model
from workers.models import (
    ModelWorkFailed,
    Opened,
    Progress,
    Reading,
    as_arrays,
    in_thread,
    open_model,
    read_once,
    silently,
    usable_model,
)
from workers.schedule import planned
from workers.training import train_model
from workers.triggers import follow_triggers

if TYPE_CHECKING:
    from ml.drift import Drift
    from ml.scoring import Scores

# A new model is trained when the newest is older than this.
MODEL_LASTS = timedelta(days=14)
FAILED = "churn.models_failed"

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scoring run did, by which model, and as of when."""

    version: str
    as_of: datetime
    horizon_days: int
    stored: churn.Stored


async def score_members(
    database: Database,
    *,
    as_of: datetime,
    zone: str,
    progress: Progress = silently,
    facts: Reading | None = None,
    cluster: str | None = None,
) -> Scored:
    """Score every member with a recent order as of an instant, and raise and close alerts.

    Scores go in by batches of 5,000; a run that was killed is simply repeated. The night's drift
    is recorded with them. `facts` gives them where they were read before. Raises NoModel,
    ModelDamaged, ModelUnusable and ModelWorkFailed, after which the earlier scores are in force.
    `cluster` is the address of a Dask scheduler whose workers shall do it, or NoCluster.
    """
    opened = await usable_model(database, zone=zone)
    days = opened.artifact.about.horizon_days
    await follow_triggers(database, as_of=as_of, horizon_days=days)
    async with database.read() as read:
        trigger = await churn.lowest_trigger(read)
    if cluster is not None:
        return await _score_there(database, opened, cluster, as_of, zone, trigger, progress)
    known = await read_once(database, facts, as_of=as_of, zone=zone)
    scores = await in_thread(lambda: _score(opened, known, as_of, trigger))
    done, total = churn.Stored(), len(scores.members)
    for start in range(0, total, churn.BATCH):
        part = slice(start, start + churn.BATCH)
        ids = known.ids(scores.members[part])
        done += await _store(
            database,
            opened,
            as_of,
            ids,
            scores.probability[part],
            scores.reasons[part],
            scores.next_order_days[part],
        )
        progress(min(start + churn.BATCH, total), total)
    night = await asyncio.to_thread(_night, opened, known, as_of, scores)
    async with database.begin() as tx:
        await churn.record_night(tx, night, zone=zone)
    return Scored(opened.row.version, as_of, opened.artifact.about.horizon_days, done)


def _score(opened: Opened, facts: churn.ChurnFacts, as_of: datetime, trigger: float) -> "Scores":
    from ml.scoring import score

    at, arrays = int(as_of.timestamp()), as_arrays(facts)
    return score(opened.artifact, arrays, as_of=at, reasons_above=trigger)


async def _score_there(
    database: Database,
    opened: Opened,
    address: str,
    as_of: datetime,
    zone: str,
    trigger: float,
    progress: Progress,
) -> Scored:
    """Score on a cluster and store what comes, part by part: no part comes before all are done."""
    from workers import cluster

    done, stored = churn.Stored(), 0
    async with cluster.scoring(
        database, address, opened.artifact, as_of=as_of, zone=zone, trigger=trigger
    ) as scores:
        async for ids, part in scores.batches(churn.BATCH):
            done += await _store(
                database, opened, as_of, ids, part.probability, part.reasons, part.next_order_days
            )
            stored += len(ids)
            progress(stored, scores.total)
        reference = opened.row.manifest.get("reference") or {}
        night = await asyncio.to_thread(
            _drifted, opened, as_of, stored, lambda: scores.drift(reference)
        )
    async with database.begin() as tx:
        await churn.record_night(tx, night, zone=zone)
    return Scored(opened.row.version, as_of, opened.artifact.about.horizon_days, done)


async def _store(
    database: Database,
    opened: Opened,
    as_of: datetime,
    ids: list[UUID],
    probability: Any,
    reasons: list[list[Any]],
    next_order_days: Any,
) -> churn.Stored:
    batch = churn.NewScores(
        model_id=opened.row.id,
        as_of=as_of,
        horizon_days=opened.artifact.about.horizon_days,
        member_ids=ids,
        probability=probability.tolist(),
        reasons=[[_told(reason) for reason in row] for row in reasons],
        next_order_days=[_known(days) for days in next_order_days.tolist()],
    )
    async with database.begin() as tx:
        return await churn.store_scores(tx, batch)


def _told(reason: Any) -> Json:
    return {
        "code": reason.code,
        "zh": reason.zh,
        "en": reason.en,
        "weight": round(float(reason.weight), 4),
    }


def _night(
    opened: Opened, facts: churn.ChurnFacts, as_of: datetime, scores: "Scores"
) -> churn.NewNight:
    """The night's drift on this machine."""
    from ml import drift

    def found() -> "Drift":
        seen = drift.sample(opened.artifact, as_arrays(facts), as_of=int(as_of.timestamp()))
        return drift.compare(opened.row.manifest["reference"], seen, scores.probability)

    return _drifted(opened, as_of, len(scores.members), found)


def _drifted(
    opened: Opened, as_of: datetime, members: int, measured: "Callable[[], Drift]"
) -> churn.NewNight:
    """The night's drift; without indices where the manifest says nothing that one could use."""
    night = churn.NewNight(as_of, opened.row.id, opened.artifact.about.horizon_days, members)
    try:
        found = measured()
    except Exception as error:  # scores are stored and good: drift alone is not known tonight
        log.warning("drift not measured", why=f"{type(error).__name__}: {error}")
        return night
    return churn.NewNight(
        night.as_of,
        night.model_id,
        night.horizon_days,
        found.members,
        mean_probability=_known(found.mean),
        score_psi=_known(found.score),
        score_psi_noise=_known(found.chance),
        feature_psi={name: _known(index) for name, index in found.features.items()},
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


class _Night:
    """The facts of one night, read once by whoever needs them first."""

    def __init__(self, work: Work, as_of: datetime) -> None:
        self.database, self.as_of = work.database, as_of
        self.zone = work.settings.time_zone
        # What the nights before read: a help that may be missing, on whichever machine this runs.
        self.kept = work.settings.data_dir / "churn" / "orders"
        self._facts: churn.ChurnFacts | None = None

    async def facts(self) -> churn.ChurnFacts:
        if self._facts is None:
            self._facts = await churn.read_facts(
                self.database, as_of=self.as_of, zone=self.zone, kept=self.kept
            )
        return self._facts

    async def tell(self, step: str, why: str) -> None:
        """Put a failure before staff, once a day."""
        log.error("models failed", step=step, why=why, mend="see docs/churn.md")
        notice = staff.Notice(FAILED, step, {"why": why})
        async with self.database.begin() as tx:
            await staff.notify(tx, [notice], day=business_day(tx.now, self.zone))


@job(queue=NIGHTLY, time_limit=timedelta(hours=3), retries=3)
@planned
async def score_night(work: Work, *, due_at: datetime) -> None:
    """Train if the model is old or missing, judge the challenger, score everyone, settle alerts.

    Whatever is wrong with models, yesterday's scores stay in force, staff are told, and the night
    goes on: trying again would change nothing. Where the database fails the night is repeated.
    """
    night = _Night(work, due_at)
    for step, do in (("train", _train_if_due), ("judge", _judge_if_due), ("score", _score_all)):
        await _guarded(night, step, do)
    async with work.database.begin() as tx:
        recovered, churned = await churn.settle_alerts(tx)
    log.info("alerts settled", recovered=recovered, churned=churned)
    closed = await drain(work.database, lambda tx: churn.close_nights(tx, zone=night.zone))
    log.info("nights closed", nights=closed)


async def _guarded(night: _Night, step: str, do: Callable[[_Night], Awaitable[None]]) -> None:
    from ml.errors import TooLittleHistory

    try:
        await do(night)
    except (churn.NoModel, TooLittleHistory) as refusal:
        log.info("no model yet", step=step, why=str(refusal))
    except (churn.ModelDamaged, churn.ModelUnusable) as refusal:
        # Staff were told where the model was opened.
        log.error("earlier scores stay", step=step, why=str(refusal), mend="run `linli train`")
    except ModelWorkFailed as error:
        await night.tell(step, str(error))


async def _train_if_due(night: _Night) -> None:
    async with night.database.read() as read:
        champion = await churn.champion(read)
        newest = await churn.last_trained(read)
    usable = champion is not None and await _is_usable(night, champion)
    if usable and newest is not None and night.as_of - newest < MODEL_LASTS:
        return
    trained = await train_model(
        night.database, as_of=night.as_of, zone=night.zone, facts=night.facts
    )
    log.info("model trained", version=trained.version, role=trained.role.value)


async def _is_usable(night: _Night, champion: churn.ModelVersion) -> bool:
    """Whether the model in force can be used; what was wrong yesterday may have been mended."""
    if champion.unusable_since is None:
        return True
    try:
        await open_model(night.database, champion.id)
    except (churn.ModelDamaged, churn.ModelUnusable):
        return False
    async with night.database.begin() as tx:
        await churn.mark_usable(tx, model_id=champion.id)
    return True


async def _judge_if_due(night: _Night) -> None:
    async with night.database.read() as read:
        row, rival = await churn.challenger(read), await churn.champion(read)
    if row is None or rival is None or is_judged(row, night.as_of):
        return
    if rival.trained_as_of > night.as_of - timedelta(days=_horizon(rival)):
        return
    judged = await judge_model(
        night.database,
        model_id=row.id,
        as_of=night.as_of,
        zone=night.zone,
        facts=night.facts,
    )
    log.info("challenger judged", version=judged.version, role=judged.role.value)


def _horizon(row: churn.ModelVersion) -> int:
    about = row.manifest.get("about")
    days = about.get("horizon_days") if isinstance(about, dict) else None
    return days if isinstance(days, int) else 0


async def _score_all(night: _Night) -> None:
    scored = await score_members(
        night.database, as_of=night.as_of, zone=night.zone, facts=night.facts
    )
    log.info("members scored", **{name: getattr(scored.stored, name) for name in _FIGURES})


_FIGURES = ("stored", "ignored", "raised", "recovered")


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
