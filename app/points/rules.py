"""What is earned, when it expires, and what a refund takes back: integers only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.kernel.clock import business_day, day_start, end_of_validity
from app.points.tables import Source

REFUND_WINDOW = timedelta(days=7)
EXPIRING_SOON = timedelta(days=30)
# A lot that comes back after its own expiry lives at least this many whole days more.
RETURNED_DAYS = 7
POINTS_PER_YUAN = 1
COMEBACK_PERCENT = 200
CHECK_IN_POINTS = 5
CHECK_IN_BONUS = 10
CHECK_IN_BONUS_EVERY = 7

PURCHASE_RULE = "purchase"
COMEBACK_RULE = "comeback"
CHECK_IN_RULE = "check-in"


class ExpiryKind(StrEnum):
    """By what the end of a lot is reckoned."""

    DAYS = "DAYS"
    END_OF_MONTH = "END_OF_MONTH"
    END_OF_YEAR = "END_OF_YEAR"


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """DAYS: that many business days, the first being day 1. Ends of month and year: that many on
    after the present one."""

    kind: ExpiryKind
    count: int


EXPIRY: Mapping[Source, ExpiryRule] = {
    Source.PURCHASE: ExpiryRule(ExpiryKind.DAYS, 365),
    Source.COMEBACK: ExpiryRule(ExpiryKind.DAYS, 90),
    Source.CHECK_IN: ExpiryRule(ExpiryKind.DAYS, 180),
    Source.SHARING: ExpiryRule(ExpiryKind.DAYS, 365),
    Source.REVIEW: ExpiryRule(ExpiryKind.DAYS, 365),
    Source.CAMPAIGN: ExpiryRule(ExpiryKind.DAYS, 90),
    Source.ECO: ExpiryRule(ExpiryKind.END_OF_YEAR, 1),
    Source.ADJUST: ExpiryRule(ExpiryKind.DAYS, 365),
    Source.REFUND: ExpiryRule(ExpiryKind.DAYS, RETURNED_DAYS),
}


def expiry_rule(settings: Mapping[str, Any], source: Source) -> ExpiryRule:
    """By which rule the points of a source end in a community: `settings["expiry"]`, or ours.

    Raises ValueError for a kind that there is not and for a count that would end them at once.

    >>> expiry_rule({"expiry": {"CHECK_IN": {"kind": "END_OF_MONTH", "count": 2}}}, Source.CHECK_IN)
    ExpiryRule(kind=<ExpiryKind.END_OF_MONTH: 'END_OF_MONTH'>, count=2)
    >>> expiry_rule({}, Source.PURCHASE).count
    365
    """
    own: Mapping[str, Any] | None = (settings.get("expiry") or {}).get(source.value)
    if own is None:
        return EXPIRY[source]
    rule = ExpiryRule(ExpiryKind(own["kind"]), int(own["count"]))
    if rule.count < (1 if rule.kind is ExpiryKind.DAYS else 0):
        raise ValueError(f"points of {source.value} would end before they begin")
    return rule


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What earning and taking back need to know of an order; money in fen, instants in UTC.

    `episode_id` is the silence episode that was open when the order was created, if any.
    `multiplier_percent` is the best multiplier that applies (100 is single points).
    """

    order_id: UUID
    member_id: UUID
    total_fen: int
    paid_at: datetime
    settled_at: datetime | None = None
    refunded_fen: int = 0
    cancelled: bool = False
    multiplier_percent: int = 100
    episode_id: UUID | None = None

    @property
    def taken_back_fen(self) -> int:
        """What no longer counts of the order: all of it once cancelled."""
        return self.total_fen if self.cancelled else self.refunded_fen


def expiry_of(rule: ExpiryRule, start: datetime, zone: str) -> datetime:
    """The exclusive end of a lot that becomes available at `start`.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 22, 4, tzinfo=UTC)
    >>> expiry_of(ExpiryRule(ExpiryKind.END_OF_MONTH, 0), noon, "Asia/Shanghai").isoformat()
    '2026-11-30T16:00:00+00:00'
    >>> expiry_of(ExpiryRule(ExpiryKind.END_OF_YEAR, 1), noon, "Asia/Shanghai").isoformat()
    '2027-12-31T16:00:00+00:00'
    """
    day = business_day(start, zone)
    match rule.kind:
        case ExpiryKind.DAYS:
            return end_of_validity(start, rule.count, zone)
        case ExpiryKind.END_OF_MONTH:
            months = day.year * 12 + day.month + rule.count
            return day_start(date(months // 12, months % 12 + 1, 1), zone)
        case ExpiryKind.END_OF_YEAR:
            return day_start(date(day.year + rule.count + 1, 1, 1), zone)


def returned_until(expired_at: datetime | None, now: datetime, zone: str) -> datetime:
    """The end of points that a refund returns after their lot has ended: 7 whole days or more."""
    least = end_of_validity(now, RETURNED_DAYS + 1, zone)
    return least if expired_at is None else max(least, expired_at)


def purchase_points(fen: int, *, percent: int = 100, per_yuan: int = POINTS_PER_YUAN) -> int:
    """Points for an order of `fen`, rounded down once.

    >>> purchase_points(1999), purchase_points(1999, percent=150), purchase_points(99)
    (19, 29, 0)
    """
    return fen * per_yuan * percent // 10_000


def best_multiplier(percents: Iterable[int]) -> int:
    """Multipliers take the maximum and never multiply; without any, 100.

    >>> best_multiplier([200, 150]), best_multiplier([])
    (200, 100)
    """
    return max(percents, default=100)


def clawback_due(*, earned: int, already: int, refunded_fen: int, total_fen: int) -> int:
    """floor(earned x refunded so far / total) - already taken back; a full refund is exact.

    >>> clawback_due(earned=10, already=0, refunded_fen=333, total_fen=1000)
    3
    >>> clawback_due(earned=10, already=3, refunded_fen=1000, total_fen=1000)
    7
    """
    if refunded_fen >= total_fen:
        return earned - already
    return max(earned * refunded_fen // total_fen - already, 0)


@dataclass(frozen=True, slots=True)
class CheckInSettings:
    """What a check-in brings: `points`, and `bonus` more on every `bonus_every`th day in a row."""

    points: int = CHECK_IN_POINTS
    bonus: int = CHECK_IN_BONUS
    bonus_every: int = CHECK_IN_BONUS_EVERY


def check_in_settings(settings: Mapping[str, Any]) -> CheckInSettings:
    """A community's settings of check-ins, from `settings["checkIn"]`; defaults where unset.

    >>> check_in_settings({"checkIn": {"points": 2}})
    CheckInSettings(points=2, bonus=10, bonus_every=7)
    """
    own: Mapping[str, Any] = settings.get("checkIn") or {}
    return CheckInSettings(
        points=int(own.get("points", CHECK_IN_POINTS)),
        bonus=int(own.get("bonus", CHECK_IN_BONUS)),
        bonus_every=max(int(own.get("bonusEvery", CHECK_IN_BONUS_EVERY)), 1),
    )


def check_in_points(streak: int, settings: CheckInSettings) -> int:
    """Points for the `streak`th day in a row.

    >>> [check_in_points(day, CheckInSettings()) for day in (1, 6, 7, 8, 14)]
    [5, 5, 15, 5, 15]
    """
    return settings.points + (settings.bonus if streak % settings.bonus_every == 0 else 0)
