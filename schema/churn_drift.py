"""Drift for staff: night by night, what came of the scores, and alarms."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import churn
from app.kernel.numbers import check_within
from schema.churn_models import MOST_FEATURES, number_in
from schema.context import Info
from schema.enums import describe
from schema.fields import query
from schema.guard import OFFICE

MOST_NIGHTS = 400
MOST_ALARMS = 100

describe(
    churn.DriftKind,
    "What has moved away from what the model knew.",
    name="DriftKind",
    SCORE="The distribution of the scores.",
    BASE_RATE="How many fell silent, against what their scores had promised.",
    BRIER="How far probabilities were from what happened, against training's own windows.",
)


@strawberry.type(description="How far one feature is from its distribution at training.")
class FeatureDrift:
    name: str = strawberry.field(description="The feature.")
    psi: float = strawberry.field(description="Its population stability index.")


@strawberry.type(description="One night of scoring, and what came of its scores.")
class DriftNight:
    as_of: datetime = strawberry.field(description="The instant before which facts were seen.")
    model: str | None = strawberry.field(description="The version of the model that scored.")
    members: int = strawberry.field(description="How many members were scored.")
    mean_probability: float | None = strawberry.field(
        description="The mean of their probabilities: the share expected to fall silent."
    )
    score_psi: float | None = strawberry.field(
        description="The population stability index of the score: 0.1 is little, 0.25 much."
    )
    score_psi_noise: float | None = strawberry.field(
        description="The index that so many members hardly ever reach by chance."
    )
    features: list[FeatureDrift] = strawberry.field(
        description="The features' own indices, the farthest first, at most 300."
    )
    closed_at: datetime | None = strawberry.field(
        description="When it was measured what came of the scores; null before the horizon passed."
    )
    closed_members: int | None = strawberry.field(description="Of how many members.")
    base_rate: float | None = strawberry.field(description="The share who fell silent.")
    brier: float | None = strawberry.field(
        description="The mean squared error of the probabilities."
    )
    roc_auc: float | None = strawberry.field(description="How well they ranked.")


@strawberry.type(description="An episode of drift, told to staff once.")
class DriftEpisode:
    kind: churn.DriftKind = strawberry.field(description="What has moved.")
    raised_at: datetime = strawberry.field(description="When it was found.")
    value: float = strawberry.field(description="How far it had moved.")
    limit: float = strawberry.field(description="How far it may.")
    closed_at: datetime | None = strawberry.field(description="When it had calmed; null if open.")


@strawberry.type(description="Whether the world is still the one that the model learned from.")
class ChurnDrift:
    nights: list[DriftNight] = strawberry.field(description="The latest nights, newest first.")
    alarms: list[DriftEpisode] = strawberry.field(
        description="Episodes of drift, newest first, at most 100."
    )


def _night(row: churn.ChurnNight, models: Mapping[UUID, str]) -> DriftNight:
    psi = [(name, number_in(row.feature_psi, name)) for name in row.feature_psi]
    known = sorted(((v, name) for name, v in psi if v is not None), reverse=True)
    return DriftNight(
        as_of=row.as_of,
        model=models.get(row.model_id),
        members=row.members,
        mean_probability=row.mean_probability,
        score_psi=row.score_psi,
        score_psi_noise=row.score_psi_noise,
        features=[FeatureDrift(name=name, psi=v) for v, name in known][:MOST_FEATURES],
        closed_at=row.closed_at,
        closed_members=row.closed_members,
        base_rate=row.base_rate,
        brier=row.brier,
        roc_auc=row.roc_auc,
    )


def _episode(row: churn.DriftAlarm) -> DriftEpisode:
    return DriftEpisode(
        kind=row.kind,
        raised_at=row.raised_at,
        value=row.value,
        limit=row.limit,
        closed_at=row.closed_at,
    )


@strawberry.type(description="Queries of drift.")
class ChurnDriftQuery:
    @query(OFFICE, description="Drift night by night, what came of the scores, and alarms.")
    async def churn_drift(
        self,
        info: Info,
        nights: Annotated[
            int, strawberry.argument(description="How many nights, from 1 to 400.")
        ] = 30,
    ) -> ChurnDrift:
        check_within(nights, 1, MOST_NIGHTS, field="nights")
        async with info.context.read() as read:
            rows = await churn.nights(read, first=nights)
            models = await churn.models_of(read, rows)
            alarms = await churn.drift_alarms(read, first=MOST_ALARMS)
        return ChurnDrift(
            nights=[_night(row, models) for row in rows],
            alarms=[_episode(row) for row in alarms],
        )
