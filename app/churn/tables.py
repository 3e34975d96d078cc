"""Models, the scores they gave, and the alerts that scores raised."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
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

from app.churn.signal_tables import ChurnSignal as ChurnSignal
from app.churn.signal_tables import SignalKind as SignalKind
from app.churn.signal_tables import SignalOutcome as SignalOutcome
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


class AlertCause(StrEnum):
    """What an alert was raised by."""

    SCORE = "SCORE"
    SIGNAL = "SIGNAL"


class AlertActionKind(StrEnum):
    """What happened with an alert besides a change of its state."""

    ACKNOWLEDGED = "ACKNOWLEDGED"
    TAKEN_OVER = "TAKEN_OVER"
    HANDED_BACK = "HANDED_BACK"
    HOLD_ENDED = "HOLD_ENDED"
    UNMUTED = "UNMUTED"


OPEN_STATES = (AlertState.OPEN, AlertState.L1, AlertState.L2, AlertState.L3)
_OPEN = "state IN ('OPEN', 'L1', 'L2', 'L3')"


class ModelVersion(Table):
    """A trained model: its manifest, its figures and its bytes, checked against their hashes."""

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
        CheckConstraint("manifest_sha256 ~ '^[0-9a-f]{64}$'", name="manifest_sha256"),
        CheckConstraint(
            "(unusable_since IS NULL) = (unusable_why IS NULL)", name="unusable_for_a_reason"
        ),
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
    # Of the manifest's values in one fixed spelling; models from before it was kept have none.
    manifest_sha256: Mapped[str | None]
    # How it did beside the model in force, on windows that neither had learned from.
    evidence: Mapped[Json | None]
    # When it was last put in force; never for one that only challenged.
    promoted_at: Mapped[datetime | None]
    # When staff took it out of force: it does not come back by itself.
    rolled_back_at: Mapped[datetime | None]
    # Since when, and why, it cannot be used.
    unusable_since: Mapped[datetime | None]
    unusable_why: Mapped[str | None]


class ChurnScore(Table):
    """A member's newest score. `reasons` are `{zh, en, group}`, the weightiest first."""

    __tablename__ = "churn_score"
    __table_args__ = (
        Index(None, "as_of", "member_id", postgresql_where=text("NOT raised")),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        CheckConstraint("horizon_days > 0", name="horizon"),
        CheckConstraint("next_order_days > 0", name="next_order_days"),
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
    # From `as_of`: as likely as not the next order has come by then. None by models of old.
    next_order_days: Mapped[float | None] = mapped_column(Double)


class ChurnScoreHistory(Table):
    """Every score that was in force once, without reasons."""

    __tablename__ = "churn_score_history"
    # Nights are written one after another, so that a summary of blocks finds one of them.
    __table_args__ = (Index(None, "as_of", postgresql_using="brin"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    probability: Mapped[float] = mapped_column(Double)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model_version.id"))


class ChurnNight(Table):
    """What one night's scores looked like beside training, and later what came of them."""

    __tablename__ = "churn_night"
    __table_args__ = (
        Index("ix_churn_night_open", "as_of", postgresql_where=text("closed_at IS NULL")),
        CheckConstraint("horizon_days > 0", name="horizon"),
        CheckConstraint("members >= 0", name="members"),
    )

    # The instant before which facts were seen.
    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model_version.id"))
    horizon_days: Mapped[int] = mapped_column(SmallInteger)
    members: Mapped[int]
    mean_probability: Mapped[float | None] = mapped_column(Double)
    # Population stability indices against the model's training: of the score, of each feature.
    score_psi: Mapped[float | None] = mapped_column(Double)
    # The index that samples of these sizes hardly ever reach by chance.
    score_psi_noise: Mapped[float | None] = mapped_column(Double)
    feature_psi: Mapped[Json]
    # When the horizon had passed and the rest was measured.
    closed_at: Mapped[datetime | None]
    closed_members: Mapped[int | None]
    base_rate: Mapped[float | None] = mapped_column(Double)
    closed_probability: Mapped[float | None] = mapped_column(Double)
    brier: Mapped[float | None] = mapped_column(Double)
    # The standard error of `brier` and of the base rate less the mean probability.
    brier_error: Mapped[float | None] = mapped_column(Double)
    rate_error: Mapped[float | None] = mapped_column(Double)
    roc_auc: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime]


class ChurnTrigger(Table):
    """The trigger of one night for alerts of which a stated share shall be right; and its evidence.

    Without a trigger too little had happened to find one.
    """

    __tablename__ = "churn_trigger"
    __table_args__ = (
        CheckConstraint("precision BETWEEN 0 AND 1", name="precision"),
        CheckConstraint("trigger BETWEEN 0 AND 1", name="trigger"),
        CheckConstraint(
            "num_nonnulls(trigger, share, share_error, rises, days) IN (0, 5)", name="with_evidence"
        ),
    )

    # The share of alerts that shall be right.
    precision: Mapped[float] = mapped_column(Double, primary_key=True)
    # The night's scores: nothing at or after this instant was looked at.
    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    trigger: Mapped[float | None] = mapped_column(Double)
    # How many of the rises through that trigger end in silence, and the standard error.
    share: Mapped[float | None] = mapped_column(Double)
    share_error: Mapped[float | None] = mapped_column(Double)
    # How many rises there were, in how many days of the calendar.
    rises: Mapped[int | None]
    days: Mapped[int | None] = mapped_column(SmallInteger)
    # How many nights of scores were looked at.
    nights: Mapped[int]
    created_at: Mapped[datetime]


class DriftKind(StrEnum):
    """What has moved away from what the model knew."""

    # The distribution of the scores.
    SCORE = "SCORE"
    # How many fell silent, against how many were expected to.
    BASE_RATE = "BASE_RATE"
    # How far probabilities were from what happened, against the held-out windows of training.
    BRIER = "BRIER"


class DriftAlarm(Table):
    """One episode of drift: raised once, open until the figure has calmed; one open a kind."""

    __tablename__ = "drift_alarm"
    __table_args__ = (
        Index(
            "uq_drift_alarm_open", "kind", unique=True, postgresql_where=text("closed_at IS NULL")
        ),
    )

    kind: Mapped[DriftKind] = mapped_column(primary_key=True)
    raised_at: Mapped[datetime] = mapped_column(primary_key=True)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model_version.id"))
    # The night whose figure it was.
    as_of: Mapped[datetime]
    value: Mapped[float] = mapped_column(Double)
    limit: Mapped[float] = mapped_column(Double)
    closed_at: Mapped[datetime | None]


class ChurnAlert(Table):
    """A warning that a member is about to leave, from its rise to its end; one open a member."""

    __tablename__ = "churn_alert"
    __table_args__ = (
        Index(None, "id", unique=True),
        Index("uq_churn_alert_open", "member_id", unique=True, postgresql_where=text(_OPEN)),
        Index("ix_churn_alert_queue", "probability", "id", postgresql_where=text(_OPEN)),
        Index(None, "state", "probability", "id"),
        Index("ix_churn_alert_due", "escalates_at", postgresql_where=text(_OPEN)),
        Index("ix_churn_alert_loss", "expected_loss_fen", "id", postgresql_where=text(_OPEN)),
        Index(None, "state", "expected_loss_fen", "id"),
        Index(
            "ix_churn_alert_owner",
            "taken_by",
            "held_until",
            postgresql_where=text(f"taken_by IS NOT NULL AND {_OPEN}"),
        ),
        CheckConstraint(f"(closed_at IS NULL) = ({_OPEN})", name="closed_when_over"),
        CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        CheckConstraint("value_fen >= 0", name="value"),
        CheckConstraint(
            "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name="acknowledged_by_somebody"
        ),
        CheckConstraint(
            "(taken_by IS NULL) = (taken_at IS NULL) AND (taken_by IS NULL) = (held_until IS NULL)",
            name="taken_for_a_time",
        ),
        CheckConstraint("taken_at < held_until", name="held_after_taken"),
        CheckConstraint("muted_until IS NULL OR state = 'MUTED'", name="muted_until"),
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
    # The next step, unless the member recovers or somebody holds the alert; none after L3.
    escalates_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    cause: Mapped[AlertCause] = mapped_column(server_default=AlertCause.SCORE.value)
    # What the member would spend within the horizon: by their last 90 days, an order at least.
    value_fen: Mapped[int] = mapped_column(server_default=text("0"))
    expected_loss_fen: Mapped[int] = mapped_column(
        Computed("floor(probability * value_fen)::bigint", persisted=True)
    )
    # The staff account that saw it first.
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[UUID | None]
    # The staff account that works on it; until then it does not move up by itself.
    taken_by: Mapped[UUID | None]
    taken_at: Mapped[datetime | None]
    held_until: Mapped[datetime | None]
    # Until then the member gets no other alert.
    muted_until: Mapped[datetime | None]


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


class ChurnAlertAction(Table):
    """What was done with an alert without a change of its state: by whom, when and why."""

    __tablename__ = "churn_alert_action"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[AlertActionKind]
    at: Mapped[datetime]
    # A staff account, or none for what time itself did.
    actor_id: Mapped[UUID | None]
    # Of a take-over: the end of the hold.
    until: Mapped[datetime | None]
    reason: Mapped[str | None]
