"""Builders of churn models, scores and alerts."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app import churn
from app.kernel.db import Tx

REASON = {
    "code": "trend",
    "zh": "近30天下单减少60%",
    "en": "60% fewer orders in 30 days",
    "weight": 1.0,
}


async def model(
    tx: Tx, *, version: str = "test-1", artifact: bytes = b"model"
) -> churn.ModelVersion:
    """A model in force, or the one of this version."""
    return await churn.register_model(
        tx,
        version=version,
        trained_as_of=tx.now,
        manifest={"sha": hashlib.sha256(artifact).hexdigest()},
        metrics={"roc_auc": 0.77, "brier": 0.17},
        artifact=artifact,
    )


async def scores(
    tx: Tx,
    *,
    member_ids: Sequence[UUID],
    probability: Sequence[float],
    as_of: datetime | None = None,
    horizon_days: int = 45,
) -> churn.Stored:
    """Scores of the test model, each with one reason."""
    row = await model(tx)
    return await churn.store_scores(
        tx,
        churn.NewScores(
            model_id=row.id,
            as_of=as_of or tx.now,
            horizon_days=horizon_days,
            member_ids=list(member_ids),
            probability=list(probability),
            reasons=[[REASON] for _ in member_ids],
        ),
    )


async def score(
    tx: Tx, *, member_id: UUID, probability: float = 0.9, as_of: datetime | None = None
) -> churn.Stored:
    """One member's score; from 0.7 up it raises an alert."""
    return await scores(tx, member_ids=[member_id], probability=[probability], as_of=as_of)
