"""Churn models, scores and alerts: the face of the slice."""

from app.churn.closing import close_by_staff, escalate_due, recover_by_order, settle_alerts
from app.churn.errors import AlertClosed, AlertNotFound, ModelDamaged, NoModel, ReasonRequired
from app.churn.events import (
    ALERTS_TOPIC,
    AlertClosedBy,
    AlertEscalated,
    ModelRegistered,
    RiskRaised,
)
from app.churn.facts import KIND_CODES, ChurnFacts, read_facts
from app.churn.merging import merge
from app.churn.queries import (
    alert_by_id,
    alerts_page,
    champion,
    load_champion,
    open_alert_by_member,
    score_by_member,
    steps_by_alert,
)
from app.churn.registry import register_model
from app.churn.rules import TRIGGER, has_calmed, may_replace, rises_into_alert
from app.churn.scores import BATCH, NewScores, Stored, lowest_trigger, store_scores
from app.churn.tables import (
    OPEN_STATES,
    AlertState,
    ChurnAlert,
    ChurnAlertStep,
    ChurnScore,
    ChurnScoreHistory,
    ModelRole,
    ModelVersion,
)

__all__ = [
    "ALERTS_TOPIC",
    "BATCH",
    "KIND_CODES",
    "OPEN_STATES",
    "TRIGGER",
    "AlertClosed",
    "AlertClosedBy",
    "AlertEscalated",
    "AlertNotFound",
    "AlertState",
    "ChurnAlert",
    "ChurnAlertStep",
    "ChurnFacts",
    "ChurnScore",
    "ChurnScoreHistory",
    "ModelDamaged",
    "ModelRegistered",
    "ModelRole",
    "ModelVersion",
    "NewScores",
    "NoModel",
    "ReasonRequired",
    "RiskRaised",
    "Stored",
    "alert_by_id",
    "alerts_page",
    "champion",
    "close_by_staff",
    "escalate_due",
    "has_calmed",
    "load_champion",
    "lowest_trigger",
    "may_replace",
    "merge",
    "open_alert_by_member",
    "read_facts",
    "recover_by_order",
    "register_model",
    "rises_into_alert",
    "score_by_member",
    "settle_alerts",
    "steps_by_alert",
    "store_scores",
]
