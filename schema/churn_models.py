"""The register of models for staff: what each learned from, how it did, and its evidence."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from app import churn
from app.kernel.table import Json
from schema.context import Info
from schema.enums import describe
from schema.fields import query
from schema.guard import OFFICE
from schema.nodes import Node, NodeLoader, global_id
from schema.paging import BY_INSTANT, After, Connection, First

KIND = "ChurnModel"
MOST_FEATURES = 300

describe(
    churn.ModelRole,
    "What a model is used for.",
    name="ModelRole",
    CHAMPION="It is in force: scores come from it.",
    CHALLENGER="It has to win against the one in force first.",
    RETIRED="Another has taken its place.",
)


def number_in(values: object, name: str) -> float | None:
    """A number of stored JSON; None for anything else, whatever became of the manifest."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def _count(values: object, name: str) -> int | None:
    found = number_in(values, name)
    return None if found is None else int(found)


def _text(values: object, name: str) -> str | None:
    found = values.get(name) if isinstance(values, Mapping) else None
    return found if isinstance(found, str) else None


def _instant(values: object, name: str) -> datetime | None:
    found = _text(values, name)
    try:
        return None if found is None else datetime.fromisoformat(found)
    except ValueError:
        return None


@strawberry.type(description="How good probabilities were, on windows that had closed.")
class ModelFigures:
    roc_auc: float | None = strawberry.field(
        description="The chance that a silent member scored above an active one."
    )
    pr_auc: float | None = strawberry.field(description="Average precision.")
    brier: float | None = strawberry.field(
        description="The mean squared error of the probabilities: less is better."
    )
    ece: float | None = strawberry.field(description="The expected calibration error.")
    lift: float | None = strawberry.field(
        description="How much oftener the riskiest tenth fell silent than all."
    )
    base_rate: float | None = strawberry.field(description="The share who fell silent.")


def figures_of(values: object) -> ModelFigures:
    """The GraphQL value of stored figures."""
    names = ("roc_auc", "pr_auc", "brier", "ece", "lift", "base_rate")
    return ModelFigures(**{name: number_in(values, name) for name in names})


@strawberry.type(description="A difference with its 95% interval; positive is better.")
class ModelGain:
    mean: float | None = strawberry.field(description="The difference itself.")
    low: float | None = strawberry.field(description="The lower end.")
    high: float | None = strawberry.field(description="The upper end.")


def _gain(values: object) -> ModelGain:
    return ModelGain(
        mean=number_in(values, "mean"), low=number_in(values, "low"), high=number_in(values, "high")
    )


@strawberry.type(description="One window on which two models were tried.")
class ModelTrial:
    cutoff: datetime | None = strawberry.field(description="The instant at which it begins.")
    members: int | None = strawberry.field(description="The members who were at stake.")
    stand_in: bool = strawberry.field(
        description="True where the challenger was trained anew as of the cutoff, because it had "
        "learned from the window itself."
    )
    champion: ModelFigures = strawberry.field(description="Of the model in force.")
    challenger: ModelFigures = strawberry.field(description="Of the challenger.")


@strawberry.type(description="A challenger beside the model that was in force.")
class ModelEvidence:
    rival: str | None = strawberry.field(description="The version it was compared with.")
    as_of: datetime | None = strawberry.field(
        description="The instant by which its windows had closed."
    )
    wins: bool = strawberry.field(
        description="True if it was better beyond chance in one figure, and worse in none by more "
        "than a trifle."
    )
    champion: ModelFigures = strawberry.field(description="Mean figures of the model in force.")
    challenger: ModelFigures = strawberry.field(description="Mean figures of the challenger.")
    roc_auc_gain: ModelGain = strawberry.field(description="In ranking.")
    brier_gain: ModelGain = strawberry.field(description="In the error of the probabilities.")
    windows: list[ModelTrial] = strawberry.field(description="The windows, at most four.")


def evidence_of(stored: Json | None) -> ModelEvidence | None:
    """The GraphQL value of stored evidence."""
    if stored is None:
        return None
    gain: Any = stored.get("gain") or {}
    windows: Any = stored.get("windows") or []
    return ModelEvidence(
        rival=_text(stored, "rival"),
        as_of=_instant(stored, "as_of"),
        wins=churn.wins(stored),
        champion=figures_of(stored.get("champion")),
        challenger=figures_of(stored.get("challenger")),
        roc_auc_gain=_gain(gain.get("roc_auc")),
        brier_gain=_gain(gain.get("brier")),
        windows=[
            ModelTrial(
                cutoff=_instant(one, "cutoff"),
                members=_count(one, "members"),
                stand_in=one.get("stand_in") is True,
                champion=figures_of(one.get("champion")),
                challenger=figures_of(one.get("challenger")),
            )
            for one in windows
        ],
    )


@strawberry.type(description="A trained model: what it learned from, how it did, and its role.")
class ChurnModel(Node):
    version: str = strawberry.field(description="Its name: the day and a digest of its content.")
    role: churn.ModelRole = strawberry.field(description="What it is used for.")
    trained_as_of: datetime = strawberry.field(
        description="Nothing at or after this instant was seen in training."
    )
    created_at: datetime = strawberry.field(description="When it was stored.")
    promoted_at: datetime | None = strawberry.field(
        description="When it was last put in force; null if never."
    )
    rolled_back_at: datetime | None = strawberry.field(
        description="When staff took it out of force; it does not come back by itself."
    )
    problem: str | None = strawberry.field(
        description="Why it cannot be used; null while nothing is known against it."
    )
    choice: str | None = strawberry.field(description="Which of the ladder's models was chosen.")
    horizon_days: int | None = strawberry.field(description="How many days ahead it looks.")
    orders: int | None = strawberry.field(description="The orders it learned from.")
    members: int | None = strawberry.field(description="The members it learned from.")
    program: str | None = strawberry.field(description="The version of Linli that trained it.")
    sha256: str = strawberry.field(description="The checksum of its bytes.")
    features: list[str] = strawberry.field(description="The facts it looks at, at most 300.")
    figures: ModelFigures = strawberry.field(
        description="Means over windows that it was held back from in training."
    )
    evidence: ModelEvidence | None = strawberry.field(
        description="How it did beside the model in force; null where no window was fair to both."
    )


def model_of(row: churn.ModelVersion) -> ChurnModel:
    """The GraphQL value of a model."""
    manifest, about = row.manifest, row.manifest.get("about")
    features = manifest.get("features")
    return ChurnModel(
        id=global_id(KIND, row.id),
        version=row.version,
        role=row.role,
        trained_as_of=row.trained_as_of,
        created_at=row.created_at,
        promoted_at=row.promoted_at,
        rolled_back_at=row.rolled_back_at,
        problem=row.unusable_why,
        choice=_text(manifest, "choice"),
        horizon_days=_count(about, "horizon_days"),
        orders=_count(about, "orders"),
        members=_count(about, "members"),
        program=_text(manifest, "program"),
        sha256=row.sha256,
        features=[str(name) for name in features][:MOST_FEATURES]
        if isinstance(features, list)
        else [],
        figures=figures_of(row.metrics),
        evidence=evidence_of(row.evidence),
    )


async def load_model(info: Info, key: UUID) -> ChurnModel | None:
    """A model, for the staff who see the whole platform."""
    if not OFFICE.test(info.context.caller):
        return None
    row = await info.context.one(churn.model_by_id, key)
    return None if row is None else model_of(row)


NODES: dict[str, NodeLoader] = {KIND: load_model}


@strawberry.type(description="Queries of models.")
class ChurnModelQuery:
    @query(OFFICE, description="Models, the newest first, with how each came to its role.")
    async def churn_models(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[ChurnModel]:
        asked = BY_INSTANT.asked(first, after)
        async with info.context.read() as read:
            rows = await churn.models_page(read, first=asked.size, after=asked.position)
        return asked.page(rows, node=model_of, key=lambda row: (row.created_at, row.id))
