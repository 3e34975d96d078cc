"""The register of models: which one is in force, what may take its place, and the way back."""

import hashlib
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update

from app.churn.errors import (
    AlreadyInForce,
    HorizonsDiffer,
    ModelDamaged,
    ModelNotFound,
    NoEarlierModel,
    NoEvidence,
    NotBetter,
    NotInForce,
)
from app.churn.events import ModelPutInForce, ModelRegistered
from app.churn.evidence import beside, horizon_of, wins
from app.churn.manifests import manifest_hash, plain
from app.churn.tables import ModelRole, ModelVersion
from app.churn.versions import champion, in_turn
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.kernel.table import Json

LONGEST_WHY = 500


async def register_model(
    tx: Tx,
    *,
    version: str,
    trained_as_of: datetime,
    manifest: Json,
    metrics: Json,
    artifact: bytes,
    evidence: Json | None = None,
) -> ModelVersion:
    """Store a model, and put it in force if it is the first or has won.

    `metrics` are means over held-out windows. `evidence` compares it with the model in force
    (see `wins`); without it, or where it does not win, the model stays as the challenger and the
    earlier challenger is retired. A model in force that cannot be used gives way to any. The same
    version again answers the row that is there.
    """
    await _lock(tx)
    known = await tx.session.scalar(select(ModelVersion).where(ModelVersion.version == version))
    if known is not None:
        return known
    manifest = plain(manifest)
    row = ModelVersion(
        id=tx.new_id(),
        version=version,
        role=ModelRole.RETIRED,
        trained_as_of=trained_as_of,
        manifest=manifest,
        manifest_sha256=manifest_hash(manifest),
        metrics=plain(metrics),
        sha256=hashlib.sha256(artifact).hexdigest(),
        artifact=artifact,
        created_at=tx.now,
        evidence=None if evidence is None else plain(evidence),
    )
    tx.session.add(row)
    await tx.session.flush()
    rival = await champion(tx)
    if rival is None or rival.unusable_since is not None or _has_won(row, rival):
        await _put_in_force(tx, row)
    else:
        await _retire(tx, ModelRole.CHALLENGER)
        row.role = ModelRole.CHALLENGER
        await tx.session.flush()
    tx.emit(ModelRegistered(model_id=row.id, version=version, role=row.role.value))
    return row


async def judge(tx: Tx, *, model_id: UUID, evidence: Json) -> ModelVersion:
    """Keep newer evidence on a model, and put the challenger in force if it wins.

    A model in force is left as it is, and one that was retired comes back by `promote` alone.
    Raises ModelNotFound.
    """
    await _lock(tx)
    row = await _locked(tx, model_id)
    if row.role is ModelRole.CHAMPION:
        return row
    row.evidence = plain(evidence)
    await tx.session.flush()
    if row.role is not ModelRole.CHALLENGER:
        return row
    rival = await champion(tx)
    if rival is None or rival.unusable_since is not None or _has_won(row, rival):
        await _put_in_force(tx, row)
    return row


async def promote(tx: Tx, *, model_id: UUID, change_horizon: bool = False) -> ModelVersion:
    """Put a model in force that has won against the one in force, or where none can be used.

    Models of different horizons answer different questions, and nobody can have won: such a model
    is put in force with `change_horizon` alone. Raises ModelNotFound, AlreadyInForce,
    ModelDamaged, HorizonsDiffer, NoEvidence, NotBetter.
    """
    await _lock(tx)
    row = await _locked(tx, model_id)
    if row.role is ModelRole.CHAMPION:
        raise AlreadyInForce(version=row.version)
    if not await _is_stored_whole(tx, row) or row.unusable_since is not None:
        raise ModelDamaged(version=row.version)
    rival = await champion(tx)
    if rival is not None and rival.unusable_since is None:
        days, rival_days = horizon_of(row.manifest), horizon_of(rival.manifest)
        if days != rival_days and change_horizon:
            await _put_in_force(tx, row)
            return row
        if None not in (days, rival_days) and days != rival_days:
            raise HorizonsDiffer(
                version=row.version, days=days, rival=rival.version, rival_days=rival_days
            )
        if not beside(row.evidence, rival.version):
            raise NoEvidence(version=row.version, rival=rival.version)
        if not _has_won(row, rival):
            raise NotBetter(version=row.version, rival=rival.version)
    await _put_in_force(tx, row)
    return row


async def roll_back(tx: Tx, *, model_id: UUID) -> ModelVersion:
    """Take a model out of force and put back the one before it; answers that one.

    Naming the model that is to go keeps two who press at once from going back two steps. A model
    that was taken out stays out until somebody promotes it. Raises ModelNotFound, NotInForce,
    NoEarlierModel.
    """
    await _lock(tx)
    row = await _locked(tx, model_id)
    if row.role is not ModelRole.CHAMPION:
        raise NotInForce()
    for earlier in (await in_turn(tx))[1:]:
        if earlier.unusable_since is None and await _is_stored_whole(tx, earlier):
            row.rolled_back_at = tx.now
            await _put_in_force(tx, earlier)
            return earlier
    raise NoEarlierModel()


async def replace_damaged(tx: Tx, *, damaged_id: UUID, model_id: UUID) -> None:
    """Put an earlier model in force in the place of one that is damaged, if that still has it."""
    await _lock(tx)
    damaged = await _locked(tx, damaged_id)
    if damaged.role is ModelRole.CHAMPION and damaged_id != model_id:
        await _put_in_force(tx, await _locked(tx, model_id))


async def mark_unusable(tx: Tx, *, model_id: UUID, why: str) -> bool:
    """Note that a model cannot be used; True the first time, so that staff are told once."""
    await _lock(tx)
    row = await _locked(tx, model_id)
    first = row.unusable_since is None
    if first:
        row.unusable_since = tx.now
    row.unusable_why = why[:LONGEST_WHY] or "?"
    return first


async def mark_usable(tx: Tx, *, model_id: UUID) -> None:
    """Note that a model can be used again."""
    await _lock(tx)
    row = await _locked(tx, model_id)
    row.unusable_since = row.unusable_why = None


async def _lock(tx: Tx) -> None:
    """Taken before any row of a model, so that nobody waits for it while holding one."""
    await lock_name(tx, "churn models")


async def _locked(tx: Tx, model_id: UUID) -> ModelVersion:
    row = await tx.session.get(ModelVersion, model_id, with_for_update=True)
    if row is None:
        raise ModelNotFound()
    return row


def _has_won(row: ModelVersion, rival: ModelVersion) -> bool:
    evidence = row.evidence
    return evidence is not None and beside(evidence, rival.version) and wins(evidence)


async def _put_in_force(tx: Tx, row: ModelVersion) -> None:
    await _retire(tx, ModelRole.CHAMPION)
    row.role = ModelRole.CHAMPION
    row.promoted_at = tx.now
    row.rolled_back_at = None
    await tx.session.flush()
    tx.emit(ModelPutInForce(model_id=row.id, version=row.version))


async def _retire(tx: Tx, role: ModelRole) -> None:
    await tx.session.execute(
        update(ModelVersion)
        .where(ModelVersion.role == role)
        .values(role=ModelRole.RETIRED)
        .execution_options(synchronize_session="fetch")
    )


async def _is_stored_whole(tx: Tx, row: ModelVersion) -> bool:
    """The same as `is_whole`, the bytes left where they are."""
    digest = func.encode(func.sha256(ModelVersion.artifact), "hex")
    found = await tx.session.scalar(select(digest).where(ModelVersion.id == row.id))
    manifest = row.manifest_sha256
    return found == row.sha256 and (manifest is None or manifest_hash(row.manifest) == manifest)
