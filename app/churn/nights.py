"""One row a night of scoring: drift from training, what came of the scores, and alarms."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping, func, select, text
from sqlalchemy.dialects.postgresql import insert

from app import staff
from app.churn.limits import (
    FEWEST_CLOSED,
    DriftFigure,
    brier_figure,
    is_alarm,
    rate_figure,
    score_figure,
)
from app.churn.tables import ChurnNight, DriftAlarm, ModelVersion
from app.kernel.clock import business_day
from app.kernel.db import Read, Tx

NOTICE = "churn.drift"
NIGHTS_AT_ONCE = 31
"""How many nights one run closes at the most; the rest waits for the next."""

# The order of scores decides ROC AUC; equal ones share their middle rank. Labels are those of
# training: an order counts once paid, until it is cancelled.
_OUTCOME = text(
    """
    WITH said AS (
        SELECT h.probability AS p, CASE WHEN EXISTS (
            SELECT FROM member_order o
            WHERE o.member_id = h.member_id AND o.paid_at >= :as_of AND o.paid_at < :until
              AND o.cancelled_at IS NULL) THEN 0.0::float8 ELSE 1.0::float8 END AS y
        FROM churn_score_history h WHERE h.as_of = :as_of
    ), ranked AS (
        SELECT p, y, rank() OVER (ORDER BY p) + (count(*) OVER (PARTITION BY p) - 1) / 2.0::float8
            AS place
        FROM said
    )
    SELECT count(*) AS members, avg(y) AS rate, avg(p) AS promised, avg((p - y) ^ 2) AS brier,
        stddev_samp((p - y) ^ 2) / sqrt(count(*)) AS brier_error,
        stddev_samp(p - y) / sqrt(count(*)) AS rate_error,
        (sum(place) FILTER (WHERE y = 1) - sum(y) * (sum(y) + 1) / 2)
            / nullif(sum(y) * sum(1 - y), 0) AS roc_auc
    FROM ranked
    """
)


@dataclass(frozen=True, slots=True)
class NewNight:
    """What a scoring run measured; indices are None where training left nothing to compare with."""

    as_of: datetime
    model_id: UUID
    horizon_days: int
    members: int
    mean_probability: float | None = None
    score_psi: float | None = None
    score_psi_noise: float | None = None
    feature_psi: dict[str, float | None] = field(default_factory=dict)


async def record_night(tx: Tx, night: NewNight, *, zone: str) -> None:
    """Keep a night's figures, and raise or end the alarm on its score. Again it changes nothing."""
    values = {name: getattr(night, name) for name in NewNight.__slots__}
    statement = insert(ChurnNight).values(values | {"created_at": tx.now})
    renewed = {name: statement.excluded[name] for name in values if name != "as_of"}
    await tx.session.execute(
        statement.on_conflict_do_update(index_elements=[ChurnNight.as_of], set_=renewed)
    )
    figure = score_figure(night.score_psi, night.score_psi_noise)
    if figure is not None:
        await _watch(tx, figure, night.model_id, night.as_of, zone)


async def close_nights(tx: Tx, *, zone: str) -> int:
    """Measure what came of the scores of every night whose horizon has passed; answers how many.

    The oldest first, 31 at a time. Brier score and base rate raise or end their alarms.
    """
    due = await tx.session.scalars(
        select(ChurnNight)
        .where(
            ChurnNight.closed_at.is_(None),
            # Hours, because a day of the session's time zone may have 23 or 25 of them.
            ChurnNight.as_of + func.make_interval(0, 0, 0, 0, ChurnNight.horizon_days * 24)
            <= tx.now,
        )
        .order_by(ChurnNight.as_of)
        .limit(NIGHTS_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    nights = list(due)
    for night in nights:
        until = night.as_of + timedelta(days=night.horizon_days)
        result = await tx.session.execute(_OUTCOME, {"as_of": night.as_of, "until": until})
        row = result.mappings().one()
        _close(tx, night, row)
        await tx.session.flush()
        for figure in await _outcome_figures(tx, night):
            await _watch(tx, figure, night.model_id, night.as_of, zone)
    return len(nights)


def _close(tx: Tx, night: ChurnNight, found: RowMapping) -> None:
    night.closed_at = tx.now
    night.closed_members = found["members"]
    night.base_rate = found["rate"]
    night.closed_probability = found["promised"]
    night.brier = found["brier"]
    night.brier_error = found["brier_error"]
    night.rate_error = found["rate_error"]
    night.roc_auc = found["roc_auc"]


async def _outcome_figures(tx: Tx, night: ChurnNight) -> list[DriftFigure]:
    """What the closed night says of the model; nothing where few members were scored."""
    if (night.closed_members or 0) < FEWEST_CLOSED:
        return []
    rate, promised, brier = night.base_rate, night.closed_probability, night.brier
    if rate is None or promised is None or brier is None or night.rate_error is None:
        return []
    figures = [rate_figure(rate, promised, night.rate_error)]
    model = await tx.session.get(ModelVersion, night.model_id)
    trained = None if model is None else model.metrics.get("brier")
    if isinstance(trained, int | float):
        figures.append(brier_figure(brier, trained, night.brier_error or 0.0))
    return figures


async def _watch(tx: Tx, figure: DriftFigure, model_id: UUID, as_of: datetime, zone: str) -> None:
    """Raise an alarm and tell staff, once an episode, or end the one that has calmed."""
    alarm = await tx.session.scalar(
        select(DriftAlarm)
        .where(DriftAlarm.kind == figure.kind, DriftAlarm.closed_at.is_(None))
        .with_for_update()
    )
    if is_alarm(figure, alarm is not None):
        if alarm is None:
            await _raise(tx, figure, model_id, as_of, zone)
    elif alarm is not None:
        alarm.closed_at = tx.now


async def _raise(tx: Tx, figure: DriftFigure, model_id: UUID, as_of: datetime, zone: str) -> None:
    row = {"kind": figure.kind, "raised_at": tx.now, "model_id": model_id, "as_of": as_of}
    made = await tx.session.scalar(
        insert(DriftAlarm)
        .values(row | {"value": figure.value, "limit": figure.limit})
        .on_conflict_do_nothing()
        .returning(DriftAlarm.kind)
    )
    if made is None:
        return  # another run of the same night was faster
    model = await tx.session.get(ModelVersion, model_id)
    facts = {
        "asOf": as_of.isoformat(),
        "value": round(figure.value, 4),
        "limit": round(figure.limit, 4),
        "model": None if model is None else model.version,
    }
    notice = staff.Notice(NOTICE, figure.kind.value, facts)
    await staff.notify(tx, [notice], day=business_day(tx.now, zone))


async def nights(read: Read, *, first: int) -> list[ChurnNight]:
    """The latest nights, the newest first."""
    query = select(ChurnNight).order_by(ChurnNight.as_of.desc()).limit(first)
    return list(await read.session.scalars(query))


async def closed_nights(read: Read, *, first: int) -> list[ChurnNight]:
    """The latest nights of which it is known what came of them, the newest first."""
    query = select(ChurnNight).where(ChurnNight.brier.is_not(None))
    query = query.order_by(ChurnNight.as_of.desc()).limit(first)
    return list(await read.session.scalars(query))


async def drift_alarms(read: Read, *, first: int, only_open: bool = False) -> list[DriftAlarm]:
    """Episodes of drift, the newest first."""
    query = select(DriftAlarm).order_by(DriftAlarm.raised_at.desc(), DriftAlarm.kind)
    if only_open:
        query = query.where(DriftAlarm.closed_at.is_(None))
    return list(await read.session.scalars(query.limit(first)))


async def models_of(read: Read, rows: Iterable[ChurnNight | DriftAlarm]) -> dict[UUID, str]:
    """The versions of the models behind nights or alarms."""
    keys = {row.model_id for row in rows}
    found = await read.session.execute(
        select(ModelVersion.id, ModelVersion.version).where(ModelVersion.id.in_(keys))
    )
    return {row.id: row.version for row in found}
