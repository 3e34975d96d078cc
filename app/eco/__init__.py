"""Eco actions and badges: the face of the slice."""

from app.eco.awarding import award_badges, revoke_badge
from app.eco.commands import ensure_eco, reject, reverse, submit, verify
from app.eco.errors import (
    EcoActionExists,
    EcoActionNotFound,
    NotAwaitingVerification,
    NotCredited,
    OrderNotYours,
)
from app.eco.events import BadgeAwarded, EcoActionCredited, EcoActionRejected
from app.eco.merging import merge
from app.eco.queries import (
    HeldBadge,
    actions_by_id,
    badges_by_member,
    current_factors,
    page_waiting,
)
from app.eco.tables import (
    Badge,
    BadgeAward,
    BadgeFact,
    EcoAction,
    EcoFactor,
    EcoState,
    EcoType,
    EvidenceKind,
)

__all__ = [
    "Badge",
    "BadgeAward",
    "BadgeAwarded",
    "BadgeFact",
    "EcoAction",
    "EcoActionCredited",
    "EcoActionExists",
    "EcoActionNotFound",
    "EcoActionRejected",
    "EcoFactor",
    "EcoState",
    "EcoType",
    "EvidenceKind",
    "HeldBadge",
    "NotAwaitingVerification",
    "NotCredited",
    "OrderNotYours",
    "actions_by_id",
    "award_badges",
    "badges_by_member",
    "current_factors",
    "ensure_eco",
    "merge",
    "page_waiting",
    "reject",
    "reverse",
    "revoke_badge",
    "submit",
    "verify",
]
