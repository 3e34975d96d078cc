"""Campaigns: the face of the slice."""

from app.campaigns.commands import advance_due, cancel, create, pause, start
from app.campaigns.enrolling import Progress, enrol_due
from app.campaigns.errors import CampaignMoveNotAllowed, CampaignNotFound
from app.campaigns.events import CampaignCompleted, CampaignPaused, CampaignStarted
from app.campaigns.merging import merge
from app.campaigns.queries import Stats, by_id, page, stats_by_campaign
from app.campaigns.tables import (
    Campaign,
    CampaignState,
    Enrollment,
    Outcome,
    PauseReason,
    ReEntry,
)

__all__ = [
    "Campaign",
    "CampaignCompleted",
    "CampaignMoveNotAllowed",
    "CampaignNotFound",
    "CampaignPaused",
    "CampaignStarted",
    "CampaignState",
    "Enrollment",
    "Outcome",
    "PauseReason",
    "Progress",
    "ReEntry",
    "Stats",
    "advance_due",
    "by_id",
    "cancel",
    "create",
    "enrol_due",
    "merge",
    "page",
    "pause",
    "start",
    "stats_by_campaign",
]
