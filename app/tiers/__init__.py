"""Tiers, standings and the monthly run: the face of the slice."""

from app.tiers.errors import RunAlreadyPublished, RunNotDue, TierNotFound, TiersMissing
from app.tiers.events import TierAtRisk, TierChanged
from app.tiers.growth import growth_of
from app.tiers.queries import (
    MemberTier,
    MoveCount,
    all_tiers,
    by_member,
    changes_by_member,
    move_counts,
    moves,
    run_of,
    standing_counts,
    tiers_by_code,
)
from app.tiers.rules import Why, cutoff_of, parse_month, reason_of, run_month
from app.tiers.running import Progress, advance, restart_preview
from app.tiers.standing import (
    end_override,
    ensure_tiers,
    override_tier,
    upgrade_due,
    upgrade_if_due,
)
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
    "MemberTier",
    "MoveCount",
    "MoveKind",
    "Progress",
    "RunAlreadyPublished",
    "RunNotDue",
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
    "Why",
    "advance",
    "all_tiers",
    "by_member",
    "changes_by_member",
    "cutoff_of",
    "end_override",
    "ensure_tiers",
    "growth_of",
    "move_counts",
    "moves",
    "override_tier",
    "parse_month",
    "reason_of",
    "restart_preview",
    "run_month",
    "run_of",
    "standing_counts",
    "tiers_by_code",
    "upgrade_due",
    "upgrade_if_due",
]
