"""Models tried beside the one in force, on windows that neither had learned from."""

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app import churn
from app.kernel.db import Database
from app.kernel.table import Json
from workers.models import Opened, Reading, as_arrays, in_thread, open_model, read_once

if TYPE_CHECKING:
    from ml.artifact import Artifact

# A challenger is tried again when so much more has closed that the answer may be another.
JUDGED_EVERY = timedelta(days=7)


async def tried(
    database: Database, facts: churn.ChurnFacts, artifact: "Artifact", as_of: datetime, threads: int
) -> Json | None:
    """Evidence of a model beside the one in force; None where there is nothing to compare."""
    rival = await rival_of(database, artifact.about.horizon_days, as_of)
    if rival is None:
        return None
    champion = rival.artifact

    def work() -> dict[str, Any] | None:
        from ml.rivals import compare

        return compare(
            as_arrays(facts),
            champion=champion,
            challenger=artifact,
            as_of=int(as_of.timestamp()),
            threads=threads,
        )

    return told(await in_thread(work), rival)


async def rival_of(database: Database, horizon_days: int, as_of: datetime) -> Opened | None:
    """The model in force, where windows have closed since that it knows nothing of."""
    async with database.read() as read:
        rival = await churn.champion(read)
    if rival is None or rival.trained_as_of + timedelta(days=horizon_days) > as_of:
        return None
    try:
        return await open_model(database, rival.id)
    except (churn.ModelDamaged, churn.ModelUnusable):
        return None


def told(found: dict[str, Any] | None, rival: Opened) -> Json | None:
    """A comparison as it is kept: with the rival's name, and instants that people read."""
    return None if found is None else _dated(found) | {"rival": rival.row.version}


def _dated(found: dict[str, Any]) -> Json:
    """The evidence with instants that people read."""
    windows = [one | {"cutoff": _instant(one["cutoff"])} for one in found["windows"]]
    return found | {"as_of": _instant(found["as_of"]), "windows": windows}


def _instant(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


async def judge_model(
    database: Database,
    *,
    model_id: UUID,
    as_of: datetime,
    zone: str,
    facts: Reading | None = None,
) -> churn.ModelVersion:
    """Try a stored model beside the one in force on what has closed by `as_of`.

    A challenger that wins is put in force. Without a fair window the model is left as it is.
    Raises NoModel, ModelDamaged, ModelUnusable, ModelWorkFailed.
    """
    opened = await open_model(database, model_id)
    known = await read_once(database, facts, as_of=as_of, zone=zone)
    found = await tried(database, known, opened.artifact, as_of, os.cpu_count() or 1)
    if found is None:
        return opened.row
    async with database.begin() as tx:
        return await churn.judge(tx, model_id=model_id, evidence=found)


def is_judged(row: churn.ModelVersion, as_of: datetime) -> bool:
    """True when a challenger's evidence is younger than a week."""
    judged = (row.evidence or {}).get("as_of")
    return judged is not None and as_of - datetime.fromisoformat(judged) < JUDGED_EVERY
