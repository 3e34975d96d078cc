"""Models, the scores they gave, and the alerts that scores raised."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table


class ModelRole(StrEnum):
    """What a model is used for."""

    CHAMPION = "CHAMPION"
    CHALLENGER = "CHALLENGER"
    RETIRED = "RETIRED"


class AlertState(StrEnum):
    """How far an alert has come. The first four are open, the others closed for good."""

    OPEN = "OPEN"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    RECOVERED = "RECOVERED"
    CHURNED = "CHURNED"
    FALSE_ALARM = "FALSE_ALARM"
    MUTED = "MUTED"


OPEN_STATES = (AlertState.OPEN, AlertState.L1, AlertState.L2, AlertState.L3)
_OPEN = "state IN ('OPEN', 'L1', 'L2', 'L3')"


class ModelVersion(Table):
    """A trained model: its manifest, its figures and its bytes, checked against their hash."""

    __tablename__ = "model_version"
    __table_args__ = (
        Index(None, "version", unique=True),
        Index(
            "uq_model_version_champion",
            "role",
            unique=True,
            postgresql_where=text("role = 'CHAMPION'"),
        ),
        Index(
            "uq_model_version_challenger",
            "role",
            unique=True,
            postgresql_where=text("role = 'CHALLENGER'"),
        ),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[str]
    role: Mapped[ModelRole]
    # Nothing at or after this instant was seen in training.
    trained_as_of: Mapped[datetime]
    manifest: Mapped[Json]
    metrics: Mapped[Json]
    sha256: Mapped[str]
    # 0.5 to 1.5 MB; read by the scoring job alone.
    artifact: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    created_at: Mapped[datetime]


class ChurnScore(Table):
    """A member's newest score. `reasons` are `{zh, en, group}`, the weightiest first."""

    __tablename__ = "churn_score"
    __table_args__ = (
        Index(None, "as_of", "member_id", postgresql_where=text("NOT raised")),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        CheckConstraint("horizon_days > 0", name="horizon"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    # The instant before which facts were seen.
    as_of: Mapped[datetime]
    probability: Mapped[float] = mapped_column(Double)
    horizon_days: Mapped[int] = mapped_column(SmallInteger)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model_version.id"))
    reasons: Mapped[list[Json]] = mapped_column(JSONB)
    # True from the score's rise through the trigger until its fall to 0.7 of it.
    raised: Mapped[bool] = mapped_column(server_default=false())


class ChurnScoreHistory(Table):
    """Every score that was in force once, without reasons."""

    __tablename__ = "churn_score_history"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    probability: Mapped[float] = mapped_column(Double)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model_version.id"))


class ChurnAlert(Table):
    """A warning that a member is about to leave, from its rise to its end; one open a member."""

    __tablename__ = "churn_alert"
    __table_args__ = (
        Index(None, "id", unique=True),
        Index("uq_churn_alert_open", "member_id", unique=True, postgresql_where=text(_OPEN)),
        Index("ix_churn_alert_queue", "probability", "id", postgresql_where=text(_OPEN)),
        Index(None, "state", "probability", "id"),
        Index("ix_churn_alert_due", "escalates_at", postgresql_where=text(_OPEN)),
        CheckConstraint(f"(closed_at IS NULL) = ({_OPEN})", name="closed_when_over"),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[AlertState]
    # Of the score that raised it; the member's present one is in `churn_score`.
    probability: Mapped[float] = mapped_column(Double)
    trigger: Mapped[float] = mapped_column(Double)
    horizon_days: Mapped[int] = mapped_column(SmallInteger)
    reasons: Mapped[list[Json]] = mapped_column(JSONB)
    raised_at: Mapped[datetime]
    as_of: Mapped[datetime]
    # The next step, unless the member recovers; none after L3.
    escalates_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class ChurnAlertStep(Table):
    """One step of an alert: into which state, when, by whom and why."""

    __tablename__ = "churn_alert_step"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[AlertState] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    # A staff account, or none for the playbook itself.
    actor_id: Mapped[UUID | None]
    reason: Mapped[str | None]
