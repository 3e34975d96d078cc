"""Stored models opened for work, or the last good one in their place.

No transaction is open while a model works. The models (and xgboost with them) are imported where
they are used, so that the scheduler and short commands start without them. Whatever is wrong with
a model ends here, as a refusal and a notice to staff: the API never loads one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from app import churn, staff
from app.kernel.clock import business_day
from app.kernel.db import Database
from app.kernel.log import logger

if TYPE_CHECKING:
    from ml.artifact import Artifact
    from ml.facts import Facts

UNUSABLE = "churn.model_unusable"

Progress = Callable[[int, int], None]
Reading = Callable[[], Awaitable[churn.ChurnFacts]]
T = TypeVar("T")

log = logger(__name__)


class ModelWorkFailed(Exception):
    """The code of the models failed: a library that does not load, no memory, a mistake of ours."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that scores: its row and what was read from its bytes."""

    row: churn.ModelVersion
    artifact: "Artifact"


def silently(done: int, total: int) -> None:
    """Progress that nobody watches."""


def as_arrays(facts: churn.ChurnFacts) -> "Facts":
    """The facts as the models take them; both sides name their columns alike."""
    from ml.facts import Facts

    return Facts(**vars(facts))


async def read_once(
    database: Database, facts: Reading | None, *, as_of: datetime, zone: str
) -> churn.ChurnFacts:
    """The facts from whoever has read them before, or from the database."""
    if facts is not None:
        return await facts()
    return await churn.read_facts(database, as_of=as_of, zone=zone)


async def open_model(database: Database, model_id: UUID) -> Opened:
    """A stored model, every checksum verified, ready to score.

    Raises NoModel, ModelDamaged, ModelUnusable.
    """
    async with database.read() as read:
        row = await churn.load_model(read, model_id)
    return Opened(row, await asyncio.to_thread(_open, row))


def _open(row: churn.ModelVersion) -> "Artifact":
    try:
        from ml.errors import CorruptArtifact
        from ml.opening import UnknownModel, read_model
    except Exception as error:  # a library that is missing, or does not load
        raise churn.ModelUnusable(version=row.version, why=_why(error)) from error
    try:
        return read_model(row.artifact, row.manifest)
    except UnknownModel as error:
        raise churn.ModelUnusable(version=row.version, why=str(error)) from error
    except CorruptArtifact as error:
        raise churn.ModelDamaged(version=row.version) from error
    except Exception as error:  # the checksums are right, so these bytes are not what is wrong
        raise churn.ModelUnusable(version=row.version, why=_why(error)) from error


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


async def usable_model(database: Database, *, zone: str) -> Opened:
    """The model in force, or else the last one that was and still can be used.

    Staff are told once of a model that cannot. One that is damaged gives up its place to the one
    found; one that merely this program cannot read keeps it. Raises NoModel when there never was
    one, otherwise the refusal of the model in force.
    """
    async with database.read() as read:
        rows = await churn.in_turn(read)
    if not rows:
        raise churn.NoModel()
    refusals: list[churn.ModelDamaged | churn.ModelUnusable] = []
    for row in rows:
        try:
            found = await open_model(database, row.id)
        except (churn.ModelDamaged, churn.ModelUnusable) as refusal:
            log.error("model cannot be used", model=row.version, why=str(refusal))
            refusals.append(refusal)
            continue
        await _settle(database, rows, refusals, found, zone)
        return found
    await _settle(database, rows, refusals, None, zone)
    raise refusals[0]


async def _settle(
    database: Database,
    rows: list[churn.ModelVersion],
    refusals: list[churn.ModelDamaged | churn.ModelUnusable],
    found: Opened | None,
    zone: str,
) -> None:
    """Put on record which models could not be used and which one is used in their place."""
    if not refusals and found is not None and found.row.unusable_since is None:
        return
    async with database.begin() as tx:
        notices: list[staff.Notice] = []
        for row, refusal in zip(rows, refusals, strict=False):
            if await churn.mark_unusable(tx, model_id=row.id, why=str(refusal)):
                used = None if found is None else found.row.version
                facts = {"code": refusal.code, "why": str(refusal), "used": used}
                notices.append(staff.Notice(UNUSABLE, row.version, facts))
        await staff.notify(tx, notices, day=business_day(tx.now, zone))
        if found is None:
            return
        if found.row.unusable_since is not None:
            await churn.mark_usable(tx, model_id=found.row.id)
        if refusals and isinstance(refusals[0], churn.ModelDamaged):
            await churn.replace_damaged(tx, damaged_id=rows[0].id, model_id=found.row.id)


async def in_thread(work: Callable[[], T]) -> T:
    """Do what models do in a thread. Raises TooLittleHistory, NoCluster, ModelWorkFailed."""
    try:
        return await asyncio.to_thread(work)
    except Exception as error:
        if type(error).__name__ in {"TooLittleHistory", "NoCluster"}:
            raise
        raise ModelWorkFailed(_why(error)) from error
