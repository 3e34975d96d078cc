"""Who is held out of a campaign, and how a campaign moves on."""

import hashlib
from uuid import UUID

from app.campaigns.tables import CampaignState

BUCKETS = 1000

MOVES: dict[CampaignState, frozenset[CampaignState]] = {
    CampaignState.DRAFT: frozenset(
        {CampaignState.SCHEDULED, CampaignState.RUNNING, CampaignState.CANCELLED}
    ),
    CampaignState.SCHEDULED: frozenset({CampaignState.RUNNING, CampaignState.CANCELLED}),
    CampaignState.RUNNING: frozenset(
        {CampaignState.PAUSED, CampaignState.COMPLETED, CampaignState.CANCELLED}
    ),
    CampaignState.PAUSED: frozenset(
        {CampaignState.RUNNING, CampaignState.COMPLETED, CampaignState.CANCELLED}
    ),
    CampaignState.COMPLETED: frozenset(),
    CampaignState.CANCELLED: frozenset(),
}


def bucket(campaign_id: UUID, member_id: UUID) -> int:
    """A member's place in a campaign, 0 to 999: always the same, and different in the next one.

    >>> bucket(UUID(int=1), UUID(int=2)) == bucket(UUID(int=1), UUID(int=2))
    True
    """
    digest = hashlib.sha256(campaign_id.bytes + member_id.bytes).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def is_held_out(place: int, holdout_permille: int) -> bool:
    """True for the buckets that are enrolled but get nothing.

    >>> is_held_out(49, 50), is_held_out(50, 50), is_held_out(0, 0)
    (True, False, False)
    """
    return place < holdout_permille
