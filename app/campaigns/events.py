"""Facts about campaigns."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event


@dataclass(frozen=True, slots=True)
class CampaignStarted(Event):
    """The campaign enrols members from now on."""

    kind: ClassVar[str] = "campaign.started"
    campaign_id: UUID


@dataclass(frozen=True, slots=True)
class CampaignPaused(Event):
    """The campaign stopped enrolling, and why."""

    kind: ClassVar[str] = "campaign.paused"
    campaign_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class CampaignCompleted(Event):
    """The campaign reached its end."""

    kind: ClassVar[str] = "campaign.completed"
    campaign_id: UUID
