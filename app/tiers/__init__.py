"""Tiers, standings and the monthly run: the face of the slice."""

from app.tiers.errors import RunAlreadyPublished, TierNotFound, TiersMissing
from app.tiers.events import TierAtRisk, TierChanged
from app.tiers.tables import (
    ChangeReason,
    MoveKind,
    RunState,
    Standing,
    StandingState,
    Tier,
    TierChange,
    TierMove,
    TierRun,
)

__all__ = [
    "ChangeReason",
    "MoveKind",
    "RunAlreadyPublished",
    "RunState",
    "Standing",
    "StandingState",
    "Tier",
    "TierAtRisk",
    "TierChange",
    "TierChanged",
    "TierMove",
    "TierNotFound",
    "TierRun",
    "TiersMissing",
]
