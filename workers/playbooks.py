"""Alerts are answered, ranked, and learned from.

Models of effects are imported where they are used: whatever else runs starts without them.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson

from app import playbooks
from app.kernel.db import Database
from app.kernel.log import logger
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

if TYPE_CHECKING:
    from ml.arrays import F32
    from ml.effects import Effect
    from ml.uplift import Trial, Uplift

PAGE: Final = 1_000
"""Alerts that are ranked at once."""
# An experiment is learned from anew once it has grown by so much.
GROWN: Final = 1.1

log = logger(__name__)
Models = dict[UUID, "tuple[UUID, Effect]"]


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of looking at one experiment."""

    experiment_id: UUID
    treated: int
    control: int
    # Why no model was made; None if one was.
    why_not: str | None
    model: playbooks.UpliftModel | None = None


@job()
async def answer_alert(work: Work, *, alert_id: str) -> None:
    """Answer the level that an alert has just come to, or end what its end makes needless."""
    key = UUID(alert_id)
    await rank_alerts(work.database, unranked=True, alert_id=key)
    async with work.database.begin() as tx:
        await playbooks.answer_alerts(tx, alert_id=key)
        await playbooks.cancel_tasks(tx, alert_id=key)


@job(queue=NIGHTLY)
@planned
async def answer_alerts(work: Work, *, due_at: datetime) -> None:
    """Find what no reaction has answered: facts that came while nothing was running."""
    await rank_alerts(work.database, unranked=True)
    done, held, looked = await answer_all(work.database)
    ended = await drain(work.database, playbooks.cancel_tasks)
    await drain(work.database, playbooks.forget_ranks)
    if looked or ended:
        log.info("alerts answered", alerts=looked, done=done, held_out=held, tasks_ended=ended)


async def answer_all(database: Database) -> tuple[int, int, int]:
    """Answer whatever waits, some hundred a transaction: (done, held out, looked at)."""
    done = held = looked = 0
    while True:
        async with database.begin() as tx:
            answered = await playbooks.answer_alerts(tx)
        done, held = done + answered.done, held + answered.held_out
        looked += answered.looked_at
        if not answered.looked_at:
            return done, held, looked


async def rank_alerts(
    database: Database, *, unranked: bool = False, alert_id: UUID | None = None
) -> int:
    """Put open alerts in their places: by effect where a model may be gone by, else by loss."""
    models: Models | None = None
    after, total = None, 0
    while True:
        async with database.read() as read:
            found = await playbooks.open_alerts(
                read, after=after, at_most=PAGE, unranked=unranked, alert_id=alert_id
            )
            if found and models is None:
                stored = await playbooks.models_in_force(read)
                models = await asyncio.to_thread(_open, stored)
        if not found:
            return total
        ranked = await asyncio.to_thread(_ranked, found, models or {})
        async with database.begin() as tx:
            total += await playbooks.store_ranks(tx, ranked)
        after = found[-1].member_id


def _open(stored: dict[UUID, playbooks.UpliftModel]) -> Models:
    """The models that can be read; alerts of the others are ranked by what is at stake."""
    if not stored:
        return {}
    from ml.effects import from_plain
    from ml.errors import CorruptArtifact

    models: Models = {}
    for experiment_id, row in stored.items():
        try:
            models[experiment_id] = row.id, from_plain(orjson.loads(row.artifact))
        except (CorruptArtifact, orjson.JSONDecodeError) as error:
            log.error("a model of effects cannot be read", version=row.version, why=str(error))
    return models


def _ranked(found: Sequence[playbooks.OpenAlert], models: Models) -> list[playbooks.Ranked]:
    places: dict[UUID, playbooks.Ranked] = {
        alert.member_id: playbooks.Ranked(alert) for alert in found
    }
    for experiment_id, (model_id, effect) in models.items():
        own = [alert for alert in found if alert.experiment_id == experiment_id]
        if not own:
            continue
        expected = effect(_matrix([alert.row() for alert in own])).tolist()
        for alert, value in zip(own, expected, strict=True):
            places[alert.member_id] = playbooks.Ranked(alert, float(value), model_id)
    return list(places.values())


@job(queue=NIGHTLY, time_limit=timedelta(hours=1), retries=3)
@planned
async def learn_effects(work: Work, *, due_at: datetime) -> None:
    """Learn who is persuaded from each experiment that has grown, and rank all alerts anew."""
    for learned in await learn_all(work.database):
        if learned.model is None:
            log.info("no model of effects", experiment=str(learned.experiment_id),
                     why=learned.why_not)  # fmt: skip
        else:
            log.info("effects learned", version=learned.model.version,
                     qini=learned.model.qini, in_force=learned.model.in_force)  # fmt: skip
    await rank_alerts(work.database)


async def learn_all(database: Database) -> list[Learned]:
    """Try a model of each experiment in force that has grown by a tenth since its last one.

    It is put in force only where its interval leaves zero out, and a split that chance does not
    explain is not learned from at all.
    """
    async with database.read() as read:
        running = await playbooks.running_experiments(read)
    return [await _learn(database, playbook) for playbook in running]


async def _learn(database: Database, playbook: playbooks.Playbook) -> Learned:
    async with database.read() as read:
        experiment = await playbooks.read_experiment(read, playbook)
        last = await playbooks.newest_model(read, playbook.experiment_id)
        effects = (await playbooks.effects_by_playbook(read, [playbook.id]))[playbook.id]
    treated, control = experiment.arm(True), experiment.arm(False)
    least = playbooks.LEAST_IN_AN_ARM
    why_not = None
    if min(treated, control) < least:
        why_not = f"{treated} treated and {control} held out; {least} of each are needed"
    elif effects[0].is_blocked:
        why_not = f"the split is not what was drawn (p = {effects[0].split:.1g})"
    elif last is not None and treated + control < GROWN * (last.treated + last.control):
        why_not = "little is new since the last model"
    if why_not is not None:
        return Learned(experiment.experiment_id, treated, control, why_not)
    new = await asyncio.to_thread(_fit, experiment)
    if new is None:
        return Learned(experiment.experiment_id, treated, control, "the outcomes are all alike")
    async with database.begin() as tx:
        row = await playbooks.register_uplift(tx, new)
    return Learned(experiment.experiment_id, treated, control, None, row)


def _fit(experiment: playbooks.Experiment) -> playbooks.NewModel | None:
    from ml.errors import TooLittleHistory
    from ml.uplift import learn

    try:
        found = learn(_trial(experiment))
    except TooLittleHistory:
        return None
    effect = found.effect
    judged = found.judgement
    return playbooks.NewModel(
        experiment_id=experiment.experiment_id,
        treated=experiment.arm(True),
        control=experiment.arm(False),
        mean_effect=found.mean_effect,
        qini=judged.qini.value,
        qini_low=judged.qini.low,
        qini_high=judged.qini.high,
        manifest=_manifest(experiment, found),
        artifact=orjson.dumps(effect.plain()),
    )


def _manifest(experiment: playbooks.Experiment, found: "Uplift") -> dict[str, object]:
    return {
        "features": list(playbooks.FEATURES),
        "as_of": experiment.as_of.isoformat(),
        "learners": {
            one.learner: {
                "qini": [one.qini.value, one.qini.low, one.qini.high],
                "uplift_at_30": [
                    one.uplift_at_30.value, one.uplift_at_30.low, one.uplift_at_30.high,
                ],
            }
            for one in found.judgements
        },
    }  # fmt: skip


def _trial(experiment: playbooks.Experiment) -> "Trial":
    import numpy as np

    from ml.uplift import Trial

    return Trial(
        _matrix(experiment.features),
        np.asarray(experiment.treated, dtype=np.bool_),
        np.asarray(experiment.stayed, dtype=np.float64),
    )


def _matrix(rows: Sequence[Sequence[float]]) -> "F32":
    import numpy as np

    return np.asarray(rows, dtype=np.float32)
