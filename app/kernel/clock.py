"""Time as an argument: instants are aware UTC datetimes, business days are local dates."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]

DEFAULT_ZONE = "Asia/Shanghai"


def system_clock() -> datetime:
    """The present instant in UTC."""
    return datetime.now(UTC)


def business_day(at: datetime, zone: str = DEFAULT_ZONE) -> date:
    """The calendar day of an instant in a community's time zone."""
    return at.astimezone(ZoneInfo(zone)).date()


def day_start(day: date, zone: str = DEFAULT_ZONE) -> datetime:
    """The first instant of a business day, in UTC."""
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)


def end_of_validity(at: datetime, days: int, zone: str = DEFAULT_ZONE) -> datetime:
    """The exclusive end of something valid for `days` business days, the day of `at` being day 1.

    >>> claimed = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)  # 14:00 in Shanghai
    >>> end_of_validity(claimed, 7).isoformat()
    '2026-03-07T16:00:00+00:00'
    """
    return day_start(business_day(at, zone) + timedelta(days=days), zone)


def month_start(day: date) -> date:
    """The first day of a date's month."""
    return day.replace(day=1)
