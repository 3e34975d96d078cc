"""Campaigns: the face of the slice."""

from app.campaigns.tables import Campaign, CampaignState, Enrollment

__all__ = ["Campaign", "CampaignState", "Enrollment"]
