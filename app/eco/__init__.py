"""Eco actions and badges: the face of the slice."""

from app.eco.errors import (
    EcoActionExists,
    EcoActionNotFound,
    NotAwaitingVerification,
    NotCredited,
    OrderNotYours,
)
from app.eco.events import BadgeAwarded, EcoActionCredited, EcoActionRejected
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
    "NotAwaitingVerification",
    "NotCredited",
    "OrderNotYours",
]
