"""The few figures by which monitoring sees whether scores are fresh and still true."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from app.churn.tables import ChurnNight, ModelRole, ModelVersion
from app.kernel.db import Read


@dataclass(frozen=True, slots=True)
class Vitals:
    """The newest of each figure; None where there is none yet.

    `base_rate_shift` is the share who fell silent less what their scores had promised, and
    `brier_excess` how much worse the Brier score was than in training, both of the latest night
    whose horizon has passed.
    """

    trained_as_of: datetime | None = None
    scored_as_of: datetime | None = None
    score_psi: float | None = None
    base_rate_shift: float | None = None
    brier_excess: float | None = None


async def vitals(read: Read) -> Vitals:
    """How the model in force and its scores do."""
    session = read.session
    trained = await session.scalar(
        select(ModelVersion.trained_as_of).where(ModelVersion.role == ModelRole.CHAMPION)
    )
    newest = (await session.execute(_nights())).first()
    closed = (await session.execute(_nights().where(ChurnNight.brier.is_not(None)))).first()
    return Vitals(
        trained_as_of=trained,
        scored_as_of=None if newest is None else newest.as_of,
        score_psi=None if newest is None else newest.score_psi,
        base_rate_shift=(
            None if closed is None else _less(closed.base_rate, closed.closed_probability)
        ),
        brier_excess=None if closed is None else _less(closed.brier, closed.metrics.get("brier")),
    )


def _nights() -> "Select[*tuple[Any, ...]]":
    return (
        select(
            ChurnNight.as_of,
            ChurnNight.score_psi,
            ChurnNight.base_rate,
            ChurnNight.closed_probability,
            ChurnNight.brier,
            ModelVersion.metrics,
        )
        .join(ModelVersion, ModelVersion.id == ChurnNight.model_id)
        .order_by(ChurnNight.as_of.desc())
        .limit(1)
    )


def _less(found: float | None, expected: object) -> float | None:
    if found is None or not isinstance(expected, int | float):
        return None
    return found - expected
