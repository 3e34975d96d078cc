"""The register of models: which one is in force, and what may take its place."""

import hashlib
from datetime import datetime

from sqlalchemy import select, update

from app.churn.events import ModelRegistered
from app.churn.rules import may_replace
from app.churn.tables import ModelRole, ModelVersion
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.kernel.table import Json


async def register_model(
    tx: Tx,
    *,
    version: str,
    trained_as_of: datetime,
    manifest: Json,
    metrics: Json,
    artifact: bytes,
) -> ModelVersion:
    """Store a model and put it in force, unless the one in force did better when tried.

    `metrics` are means over held-out windows (`roc_auc`, `brier`). A model that does worse stays as
    the challenger, for staff to look at. The same version again answers the row that is there.
    """
    await lock_name(tx, "churn models")
    known = await tx.session.scalar(select(ModelVersion).where(ModelVersion.version == version))
    if known is not None:
        return known
    champion = await tx.session.scalar(
        select(ModelVersion).where(ModelVersion.role == ModelRole.CHAMPION)
    )
    wins = champion is None or may_replace(champion.metrics, metrics)
    role = ModelRole.CHAMPION if wins else ModelRole.CHALLENGER
    await _retire(tx, role)
    row = ModelVersion(
        id=tx.new_id(),
        version=version,
        role=role,
        trained_as_of=trained_as_of,
        manifest=manifest,
        metrics=metrics,
        sha256=hashlib.sha256(artifact).hexdigest(),
        artifact=artifact,
        created_at=tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    tx.emit(ModelRegistered(model_id=row.id, version=version, role=role.value))
    return row


async def _retire(tx: Tx, role: ModelRole) -> None:
    await tx.session.execute(
        update(ModelVersion).where(ModelVersion.role == role).values(role=ModelRole.RETIRED)
    )
