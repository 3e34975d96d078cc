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
SINGLE_PERCENT = 100
COMEBACK_PERCENT = 200
CHECK_IN_POINTS = 5
CHECK_IN_BONUS = 10
CHECK_IN_BONUS_EVERY = 7

PURCHASE_RULE = "purchase"
COMEBACK_RULE = "comeback"
CHECK_IN_RULE = "check-in"
SHARING_RULE = "sharing"

# What an invited neighbour's first settled order brings to who invited them.
SHARING_POINTS = 50
SHARING_PER_MONTH = 20
# How many days before their end a member is told of points.
NOTICE_DAYS = 7
MOST_NOTICE_DAYS = 60


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
    return max(percents, default=SINGLE_PERCENT)


def member_day_percent(settings: Mapping[str, Any], day: date) -> int:
    """What a community's member day (会员日) multiplies by; 100 on every other day.

    `settings["memberDay"]` names days of the week (1 is Monday), of the month, or both.

    >>> settings = {"memberDay": {"percent": 200, "weekdays": [5], "monthDays": [8, 18, 28]}}
    >>> [member_day_percent(settings, date(2026, 3, day)) for day in (18, 19, 20)]
    [200, 100, 200]
    """
    own: Mapping[str, Any] = settings.get("memberDay") or {}
    if day.isoweekday() in own.get("weekdays", ()) or day.day in own.get("monthDays", ()):
        return max(int(own.get("percent", SINGLE_PERCENT)), SINGLE_PERCENT)
    return SINGLE_PERCENT


def tier_percent(settings: Mapping[str, Any], tier: str | None) -> int:
    """What a tier multiplies by in a community: `settings["tierPercent"]`, 100 where unset.

    >>> tier_percent({"tierPercent": {"GOLD": 120}}, "GOLD"), tier_percent({}, "GOLD")
    (120, 100)
    """
    own: Mapping[str, Any] = settings.get("tierPercent") or {}
    return max(int(own.get(tier or "", SINGLE_PERCENT)), SINGLE_PERCENT)


def order_percent(settings: Mapping[str, Any], *, day: date, tier: str | None) -> int:
    """The multiplier of an order paid on a business day by a member of a tier: the best one.

    >>> settings = {"memberDay": {"percent": 200, "weekdays": [3]}, "tierPercent": {"GOLD": 150}}
    >>> order_percent(settings, day=date(2026, 3, 18), tier="GOLD")
    200
    >>> order_percent(settings, day=date(2026, 3, 19), tier="GOLD")
    150
    """
    return best_multiplier([member_day_percent(settings, day), tier_percent(settings, tier)])


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


@dataclass(frozen=True, slots=True)
class SharingSettings:
    """What an invitation brings, and how many may be accepted a business month of each inviter."""

    points: int = SHARING_POINTS
    per_month: int = SHARING_PER_MONTH


def sharing_settings(settings: Mapping[str, Any]) -> SharingSettings:
    """A community's settings of sharing, from `settings["sharing"]`; defaults where unset.

    >>> sharing_settings({"sharing": {"perMonth": 5}})
    SharingSettings(points=50, per_month=5)
    """
    own: Mapping[str, Any] = settings.get("sharing") or {}
    return SharingSettings(
        points=int(own.get("points", SHARING_POINTS)),
        per_month=int(own.get("perMonth", SHARING_PER_MONTH)),
    )


def is_taken_back(order: OrderFacts, refunded_at: datetime | None) -> bool:
    """True if an order that brought its inviter points no longer deserves them.

    That is when it was cancelled, or refunded in full before its refund window had closed.

    >>> from datetime import UTC
    >>> from uuid import UUID
    >>> day = datetime(2026, 3, 1, tzinfo=UTC)
    >>> order = OrderFacts(UUID(int=1), UUID(int=2), 1000, day, day, refunded_fen=1000)
    >>> [is_taken_back(order, day + timedelta(days=days)) for days in (6, 7)]
    [True, False]
    """
    if order.cancelled:
        return True
    if order.refunded_fen < order.total_fen or order.settled_at is None or refunded_at is None:
        return False
    return refunded_at < order.settled_at + REFUND_WINDOW


def expiry_notice_from(settings: Mapping[str, Any], now: datetime, zone: str) -> datetime:
    """Points that end before this instant are told of at `now`: `settings["expiryNoticeDays"]`.

    Of points that end with the 25th a member hears on the 19th, if it is 7 days.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 3, 19, 4, tzinfo=UTC)
    >>> expiry_notice_from({}, noon, "Asia/Shanghai").isoformat()
    '2026-03-25T16:00:00+00:00'
    """
    days = int(settings.get("expiryNoticeDays", NOTICE_DAYS))
    return end_of_validity(now, min(max(days, 0), MOST_NOTICE_DAYS), zone)
