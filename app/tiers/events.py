"""Facts about tiers."""

from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class TierNoticeGiven(Event):
    """A member will lose ground in a run that is `days` days away, unless `missing` growth comes.

    `coming` is GRACE, or DOWNGRADE to `to_code`; `before` is the run's day, a local date.
    """

    kind: ClassVar[str] = "tier.notice"
    member_id: UUID
    tier_code: str
    to_code: str
    coming: str
    days: int
    before: str
    missing: int

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class BenefitChanged(Event):
    """A member used or booked a benefit, or that was settled, cancelled or taken back."""

    kind: ClassVar[str] = "benefit.changed"
    member_id: UUID
    use_id: UUID
    benefit_code: str
    quantity: int
    state: str

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class BookedSlotCancelled(Event):
    """A time that a member had booked was called off; the use that it took is theirs again."""

    kind: ClassVar[str] = "benefit.slot_cancelled"
    member_id: UUID
    use_id: UUID
    slot_id: UUID
    benefit_code: str
    starts_at: datetime
    reason: str

    def topics(self) -> list[str]:
        """The member sees it."""
        return [member_topic(self.member_id)]


@dataclass(frozen=True, slots=True)
class TierRunAsked(Event):
    """Staff want a month's run previewed, or published: a worker takes it to its end."""

    kind: ClassVar[str] = "tier.run_asked"
    month: str
    publish: bool
    zone: str
