"""What growth is made of, when a run falls due, how benefits are counted, and the words for it.

Growth is 1 per yuan of net settled spend in the trailing 365 days, 1 per check-in and 20 per
successful invitation in the same window.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.kernel.clock import DEFAULT_ZONE, business_day, day_start, month_start
from app.tiers.tables import BenefitWindow, MoveKind, StandingState

GROWTH_WINDOW = timedelta(days=365)
GROWTH_PER_CHECK_IN = 1
GROWTH_PER_SHARING = 20
GRACE = timedelta(days=30)
# Nobody goes down so soon after going up.
PROTECTED = timedelta(days=90)
NOTICE_DAYS = (14, 3)
# How long after the month's first instant its run is published, and until when by itself.
RUN_AFTER = timedelta(minutes=5)
RUN_WITHIN = timedelta(days=20)


# What a benefit may be used at once.
MOST_AT_ONCE = 100


def run_month(at: datetime, zone: str = DEFAULT_ZONE) -> date:
    """The month whose run is due at an instant: the present one of a zone."""
    return month_start(business_day(at, zone))


def cutoff_of(month: date, zone: str = DEFAULT_ZONE) -> datetime:
    """The instant a month's run looks from: the first of its first day in a zone."""
    return day_start(month_start(month), zone)


def is_run_due(now: datetime, zone: str) -> bool:
    """Whether the present month's run of a zone is to be published: five past midnight has come.

    One that is weeks late is left to staff: the next is nearer.

    >>> from datetime import UTC
    >>> march = datetime(2026, 2, 28, 16, 5, tzinfo=UTC)  # 00:05 in Shanghai, 21:35 in Kolkata
    >>> is_run_due(march, "Asia/Shanghai"), is_run_due(march, "Asia/Kolkata")
    (True, False)
    """
    late = now - cutoff_of(run_month(now, zone), zone)
    return RUN_AFTER <= late <= RUN_WITHIN


def is_notice_hour(at: datetime, zone: str) -> bool:
    """Whether a zone's members are told at this instant: in the quarter from 09:30 on.

    >>> from datetime import UTC
    >>> at = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
    >>> is_notice_hour(at, "Asia/Shanghai"), is_notice_hour(at, "Asia/Tokyo")
    (True, False)
    """
    local = at.astimezone(ZoneInfo(zone))
    return time(9, 30) <= local.time() < time(9, 45)


def following_month(day: date) -> date:
    """The first day of the month after a date's.

    >>> following_month(date(2024, 2, 29)), following_month(date(2026, 12, 1))
    (datetime.date(2024, 3, 1), datetime.date(2027, 1, 1))
    """
    return (month_start(day) + timedelta(days=31)).replace(day=1)


def deciding_month(
    state: StandingState, today: date, grace_until: datetime | None, zone: str = DEFAULT_ZONE
) -> date:
    """The month whose run next takes something from an unsafe standing.

    At risk it is the next run; in grace the first run at or after the end of the 30 days.

    >>> deciding_month(StandingState.AT_RISK, date(2026, 4, 17), None)
    datetime.date(2026, 5, 1)
    >>> ends = day_start(date(2026, 3, 3))  # 30 days from 1 February
    >>> deciding_month(StandingState.GRACE, date(2026, 2, 15), ends)
    datetime.date(2026, 4, 1)
    """
    month = following_month(today)
    if state is StandingState.GRACE and grace_until is not None:
        while cutoff_of(month, zone) < grace_until:
            month = following_month(month)
    return month


def notice_due(days_left: int) -> int | None:
    """Which notice is due so many days before a run; None while there is time.

    A notice that was missed is given late rather than never, but not on the run's own day.

    >>> [notice_due(days) for days in (15, 14, 10, 4, 3, 1, 0)]
    [None, 14, 14, 14, 3, 3, None]
    """
    due = [days for days in NOTICE_DAYS if 0 < days_left <= days]
    return min(due) if due else None


# All of a lifetime is one window, that begins before any business of ours.
_BEGINNING = date(1970, 1, 1)


def window_start(window: BenefitWindow, day: date) -> date:
    """The first local day of the window that a day lies in.

    >>> window_start(BenefitWindow.QUARTER, date(2026, 5, 31))
    datetime.date(2026, 4, 1)
    """
    match window:
        case BenefitWindow.MONTH:
            return day.replace(day=1)
        case BenefitWindow.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case BenefitWindow.YEAR:
            return day.replace(month=1, day=1)
        case BenefitWindow.LIFETIME:
            return _BEGINNING


def next_window(window: BenefitWindow, day: date) -> date | None:
    """The first local day of the window after the one that a day lies in; None for a lifetime.

    >>> next_window(BenefitWindow.MONTH, date(2028, 2, 29))
    datetime.date(2028, 3, 1)
    >>> next_window(BenefitWindow.QUARTER, date(2026, 12, 31))
    datetime.date(2027, 1, 1)
    """
    months = {BenefitWindow.MONTH: 1, BenefitWindow.QUARTER: 3, BenefitWindow.YEAR: 12}.get(window)
    if months is None:
        return None
    start = window_start(window, day)
    for _ in range(months):
        start = following_month(start)
    return start


def window_ends_at(window: BenefitWindow, day: date, zone: str) -> datetime | None:
    """The exclusive end of the window that a local day lies in, in UTC; None for a lifetime."""
    following = next_window(window, day)
    return None if following is None else day_start(following, zone)


def left_of(quota: int | None, used: int) -> int | None:
    """How often a benefit can still be used in its window; None is without limit.

    After a step down more may have been used than the lower tier gives: then nothing is left, and
    nothing is taken back.

    >>> left_of(4, 1), left_of(1, 3), left_of(None, 9)
    (3, 0, None)
    """
    return None if quota is None else max(quota - used, 0)


def words_to_reach(missing: int, tier_name: str, *, chinese: bool) -> str:
    """What the next tier still needs; a missing point of growth is a yuan of settled spend.

    >>> words_to_reach(120, "Gold", chinese=False), words_to_reach(120, "黄金", chinese=True)
    ('Spend ¥120 more to reach Gold', '再消费 ¥120 升级黄金')
    """
    if missing <= 0:
        return f"即将升级{tier_name}" if chinese else f"{tier_name} is reached"
    if chinese:
        return f"再消费 ¥{missing:,} 升级{tier_name}"
    return f"Spend ¥{missing:,} more to reach {tier_name}"


def words_to_keep(missing: int, tier_name: str, before: date, *, chinese: bool) -> str:
    """What the present tier needs so that the run on the day `before` leaves it alone.

    >>> words_to_keep(300, "Gold", date(2026, 5, 1), chinese=False)
    'Spend ¥300 more before 2026-05-01 to keep Gold'
    >>> words_to_keep(0, "黄金", date(2026, 5, 1), chinese=True)
    '黄金已保级'
    """
    if missing <= 0:
        return f"{tier_name}已保级" if chinese else f"{tier_name} is safe"
    if chinese:
        return f"{before.month}月{before.day}日前再消费 ¥{missing:,} 保住{tier_name}"
    return f"Spend ¥{missing:,} more before {before} to keep {tier_name}"


def parse_month(text: str) -> date:
    """The first day of a month written YYYY-MM. Raises ValueError.

    >>> parse_month("2026-11")
    datetime.date(2026, 11, 1)
    """
    year, dash, month = text.partition("-")
    if dash != "-" or len(year) != 4 or len(month) != 2 or not (year + month).isdecimal():
        raise ValueError(f"{text!r} is not a month like 2026-11")
    return date(int(year), int(month), 1)


@dataclass(frozen=True, slots=True)
class Why:
    """The figures of a move."""

    kind: MoveKind
    from_name: str
    to_name: str
    growth: int
    threshold: int


_REASONS: Mapping[MoveKind, tuple[str, str]] = {
    MoveKind.UPGRADE: (
        "近一年成长值{growth}，达到{to}的{threshold}",
        "growth of {growth} reaches the {threshold} of {to}",
    ),
    MoveKind.RECOVER: (
        "成长值回升至{growth}，保住{to}（需{threshold}）",
        "growth of {growth} is back above the {threshold} that keeps {to}",
    ),
    MoveKind.AT_RISK: (
        "成长值{growth}低于{from_}的保级线{threshold}，进入预警",
        "growth of {growth} is under the {threshold} that keeps {from_}: at risk",
    ),
    MoveKind.GRACE: (
        "成长值{growth}仍低于{from_}的保级线{threshold}，进入30天保护期",
        "growth of {growth} is still under the {threshold} that keeps {from_}: 30 days of grace",
    ),
    MoveKind.DOWNGRADE: (
        "保护期满，成长值{growth}低于{from_}的保级线{threshold}，降至{to}",
        "grace is over and growth of {growth} is under the {threshold} that keeps {from_}: "
        "down to {to}",
    ),
}


def reason_of(why: Why, *, chinese: bool) -> str:
    """A move's reason in plain words.

    >>> reason_of(Why(MoveKind.UPGRADE, "Normal", "Gold", 2100, 2000), chinese=False)
    'growth of 2100 reaches the 2000 of Gold'
    """
    text = _REASONS[why.kind][0 if chinese else 1]
    return text.format(
        growth=why.growth, threshold=why.threshold, to=why.to_name, from_=why.from_name
    )
