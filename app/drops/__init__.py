"""Drops: the face of the slice."""

from app.drops.batching import Claimed, Claims
from app.drops.claiming import claim, claim_all, claim_once
from app.drops.commands import cancel_drop, close_due, create_drop, open_drop, open_due
from app.drops.errors import (
    AlreadyClaimed,
    DropNotFound,
    DropNotScheduled,
    NotInAudience,
    NotOpen,
    SoldOut,
    TooManyClaims,
)
from app.drops.events import (
    DropChanged,
    DropClaimed,
    DropClosed,
    DropOpened,
    DropSoldOut,
    drop_topic,
)
from app.drops.queries import by_id, claims_by_member_and_drop, page
from app.drops.rules import takes_claims
from app.drops.tables import Claim, Drop, DropState

__all__ = [
    "AlreadyClaimed",
    "Claim",
    "Claimed",
    "Claims",
    "Drop",
    "DropChanged",
    "DropClaimed",
    "DropClosed",
    "DropNotFound",
    "DropNotScheduled",
    "DropOpened",
    "DropSoldOut",
    "DropState",
    "NotInAudience",
    "NotOpen",
    "SoldOut",
    "TooManyClaims",
    "by_id",
    "cancel_drop",
    "claim",
    "claim_all",
    "claim_once",
    "claims_by_member_and_drop",
    "close_due",
    "create_drop",
    "drop_topic",
    "open_drop",
    "open_due",
    "page",
    "takes_claims",
]
