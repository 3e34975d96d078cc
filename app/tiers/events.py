"""Facts about tiers."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.kernel.outbox import Event
from app.members import member_topic


@dataclass(frozen=True, slots=True)
class TierChanged(Event):
    """A member moved from one tier to another."""

    kind: ClassVar[str] = "tier.changed"
    member_id: UUID
    from_code: str
    to_code: str
    reason: str
    growth: int

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class TierAtRisk(Event):
    """A monthly run found a member's growth under what their tier asks for.

    `state` is AT_RISK or GRACE; in GRACE the tier is kept until `grace_until` at least.
    """

    kind: ClassVar[str] = "tier.at_risk"
    member_id: UUID
    tier_code: str
    state: str
    growth: int
    needed: int
    grace_until: str | None

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]
