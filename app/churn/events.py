"""Facts about the risk of members leaving."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event

ALERTS_TOPIC = "alerts"
"""The live topic of the staff's queue of alerts. Members do not follow their own risk."""


@dataclass(frozen=True, slots=True)
class AlertEvent(Event):
    """Something happened to an alert, whose state it leaves behind; staff's queue hears of it."""

    alert_id: UUID
    member_id: UUID
    state: str

    def topics(self) -> list[str]:
        """Staff see it at once."""
        return [ALERTS_TOPIC]


@dataclass(frozen=True, slots=True)
class RiskRaised(AlertEvent):
    """A member's score rose through the trigger and an alert was raised."""

    kind: ClassVar[str] = "churn.risk_raised"
    probability: float
    as_of: datetime


@dataclass(frozen=True, slots=True)
class AlertEscalated(AlertEvent):
    """An alert moved up a level: the playbook of that level begins."""

    kind: ClassVar[str] = "churn.alert_escalated"


@dataclass(frozen=True, slots=True)
class AlertClosedBy(AlertEvent):
    """An alert is over, for better or worse."""

    kind: ClassVar[str] = "churn.alert_closed"


@dataclass(frozen=True, slots=True)
class AlertAcknowledged(AlertEvent):
    """Somebody of staff has seen an alert."""

    kind: ClassVar[str] = "churn.alert_acknowledged"


@dataclass(frozen=True, slots=True)
class AlertTakenOver(AlertEvent):
    """Somebody of staff works on an alert, which waits for them."""

    kind: ClassVar[str] = "churn.alert_taken_over"


@dataclass(frozen=True, slots=True)
class AlertHandedBack(AlertEvent):
    """An alert is nobody's again: it was handed back, or its hold has ended."""

    kind: ClassVar[str] = "churn.alert_handed_back"


@dataclass(frozen=True, slots=True)
class ModelRegistered(Event):
    """A freshly trained model was stored."""

    kind: ClassVar[str] = "churn.model_registered"
    model_id: UUID
    version: str
    role: str


@dataclass(frozen=True, slots=True)
class ModelPutInForce(Event):
    """Scores come from this model from now on."""

    kind: ClassVar[str] = "churn.model_put_in_force"
    model_id: UUID
    version: str
