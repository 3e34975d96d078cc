"""Batched reads of models, and whether what is stored of them is whole."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import undefer

from app.churn.errors import ModelDamaged, NoModel
from app.churn.manifests import manifest_hash
from app.churn.tables import ModelRole, ModelVersion
from app.kernel.db import Read

MOST_FALLBACKS = 3
"""How many models that were in force once are tried when the one in force cannot be used."""


async def champion(read: Read) -> ModelVersion | None:
    """The model in force, without its bytes; None before the first training."""
    return await _of_role(read, ModelRole.CHAMPION)


async def challenger(read: Read) -> ModelVersion | None:
    """The model that has to win first, without its bytes; None when there is none."""
    return await _of_role(read, ModelRole.CHALLENGER)


async def _of_role(read: Read, role: ModelRole) -> ModelVersion | None:
    return await read.session.scalar(select(ModelVersion).where(ModelVersion.role == role))


async def last_trained(read: Read) -> datetime | None:
    """As of when the newest model that can be used was trained, in force or not; None of none."""
    return await read.session.scalar(
        select(func.max(ModelVersion.trained_as_of)).where(ModelVersion.unusable_since.is_(None))
    )


async def load_champion(read: Read) -> ModelVersion:
    """The model in force with its bytes, checked against their hash.

    Raises NoModel, ModelDamaged.
    """
    row = await champion(read)
    if row is None:
        raise NoModel()
    return await load_model(read, row.id)


async def load_model(read: Read, model_id: UUID) -> ModelVersion:
    """A model with its bytes; they and the manifest are checked against their hashes.

    Raises NoModel, ModelDamaged.
    """
    row = await read.session.scalar(
        select(ModelVersion)
        .where(ModelVersion.id == model_id)
        .options(undefer(ModelVersion.artifact))
    )
    if row is None:
        raise NoModel()
    if not is_whole(row):
        raise ModelDamaged(version=row.version)
    return row


def is_whole(row: ModelVersion) -> bool:
    """True when bytes and manifest are those that were stored; the bytes must have been read."""
    if hashlib.sha256(row.artifact).hexdigest() != row.sha256:
        return False
    return row.manifest_sha256 is None or manifest_hash(row.manifest) == row.manifest_sha256


async def in_turn(read: Read) -> list[ModelVersion]:
    """The model in force, then those that were before it, the latest first; without bytes.

    Those that staff took out of force are not among them.
    """
    former = (
        select(ModelVersion)
        .where(
            ModelVersion.role == ModelRole.RETIRED,
            ModelVersion.promoted_at.is_not(None),
            ModelVersion.rolled_back_at.is_(None),
        )
        .order_by(ModelVersion.promoted_at.desc(), ModelVersion.id.desc())
        .limit(MOST_FALLBACKS)
    )
    first = await champion(read)
    rows = list(await read.session.scalars(former))
    return rows if first is None else [first, *rows]


async def models_page(
    read: Read, *, first: int, after: tuple[datetime, UUID] | None = None
) -> list[ModelVersion]:
    """Models, the newest first, without bytes; one more than `first` if there are more."""
    query = select(ModelVersion).order_by(ModelVersion.created_at.desc(), ModelVersion.id.desc())
    if after is not None:
        query = query.where(tuple_(ModelVersion.created_at, ModelVersion.id) < tuple_(*after))
    return list(await read.session.scalars(query.limit(first + 1)))


async def model_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, ModelVersion]:
    """Models by id, without bytes; unknown ids are absent."""
    rows = await read.session.scalars(select(ModelVersion).where(ModelVersion.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def model_by_version(read: Read, version: str) -> ModelVersion | None:
    """The model of a version, without its bytes."""
    return await read.session.scalar(select(ModelVersion).where(ModelVersion.version == version))
