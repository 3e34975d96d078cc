"""Days of the solar and the lunar calendar (农历): birthdays, festivals and their cycles.

Pure functions of dates. The lunar calendar itself is lunar-python's (寿星历): here its years are
cut into months once, and everything else is counting.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from lunar_python import LunarYear

from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.table import Json

# Where the ordinals of Python begin on the scale of julian day numbers.
_JULIAN = 1_721_425
_LAST_DAY = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# Neither the first nor the twelfth month is doubled in the years of anybody alive.
_LEAP_MONTHS = range(2, 12)


class Calendar(StrEnum):
    """By which calendar a day of the year is told."""

    SOLAR = "SOLAR"
    LUNAR = "LUNAR"


class Feb29(StrEnum):
    """When those born on 29 February celebrate in other years."""

    FEB28 = "FEB28"
    MAR1 = "MAR1"


@dataclass(frozen=True, slots=True)
class LunarDay:
    """A day of the lunar calendar; `leap` says that its month is the doubled one (闰月)."""

    year: int
    month: int
    day: int
    leap: bool = False


@dataclass(frozen=True, slots=True)
class Birthday:
    """A birthday without its year; `feb29` is told for 29 February alone."""

    calendar: Calendar
    month: int
    day: int
    leap_month: bool = False
    feb29: Feb29 | None = None


@dataclass(frozen=True, slots=True)
class Festival:
    """A day that comes back each year."""

    code: str
    name_zh: str
    name_en: str
    calendar: Calendar
    month: int
    day: int


# What needs no row of its own; staff add others.
FESTIVALS = (
    Festival("NEW_YEAR", "元旦", "New Year's Day", Calendar.SOLAR, 1, 1),
    Festival("SPRING_FESTIVAL", "春节", "Spring Festival", Calendar.LUNAR, 1, 1),
    Festival("LANTERN_FESTIVAL", "元宵", "Lantern Festival", Calendar.LUNAR, 1, 15),
    Festival("DRAGON_BOAT", "端午", "Dragon Boat Festival", Calendar.LUNAR, 5, 5),
    Festival("QIXI", "七夕", "Qixi", Calendar.LUNAR, 7, 7),
    Festival("MID_AUTUMN", "中秋", "Mid-Autumn Festival", Calendar.LUNAR, 8, 15),
    Festival("NATIONAL_DAY", "国庆", "National Day", Calendar.SOLAR, 10, 1),
)


@dataclass(frozen=True, slots=True)
class _Month:
    month: int
    leap: bool
    first: date
    days: int


@lru_cache(maxsize=512)
def _months(year: int) -> tuple[_Month, ...]:
    """The months of a lunar year in their order."""
    return tuple(
        _Month(
            month=abs(int(item.getMonth())),
            leap=bool(item.isLeap()),
            first=date.fromordinal(round(item.getFirstJulianDay()) - _JULIAN),
            days=int(item.getDayCount()),
        )
        for item in LunarYear.fromYear(year).getMonthsInYear()
    )


def new_year(year: int) -> date:
    """The first day of a lunar year (春节).

    >>> new_year(2026), new_year(2027)
    (datetime.date(2026, 2, 17), datetime.date(2027, 2, 6))
    """
    return _months(year)[0].first


def leap_month(year: int) -> int | None:
    """Which month of a lunar year is doubled, if any.

    >>> leap_month(2025), leap_month(2026)
    (6, None)
    """
    return next((item.month for item in _months(year) if item.leap), None)


def lunar_of(day: date) -> LunarDay:
    """The lunar day that a calendar day is.

    >>> lunar_of(date(2026, 2, 16))
    LunarDay(year=2025, month=12, day=29, leap=False)
    """
    year = day.year if day >= new_year(day.year) else day.year - 1
    found = [item for item in _months(year) if item.first <= day][-1]
    return LunarDay(year, found.month, (day - found.first).days + 1, found.leap)


def cycle_of(calendar: Calendar, day: date) -> int:
    """The cycle that a day lies in: the year of that calendar.

    >>> cycle_of(Calendar.SOLAR, date(2026, 1, 8)), cycle_of(Calendar.LUNAR, date(2026, 1, 8))
    (2026, 2025)
    """
    return day.year if calendar is Calendar.SOLAR else lunar_of(day).year


def birthday_in(birthday: Birthday, cycle: int) -> date:
    """The day on which a birthday is celebrated in a cycle: exactly one.

    The 30th of a lunar month that has 29 days is its 29th; whoever was born in a leap month
    celebrates in it where there is one, and else in the month of that number. 29 February is
    28 February or 1 March in other years, as the member chose.

    >>> eleventh = Birthday(Calendar.LUNAR, 11, 20)
    >>> [birthday_in(eleventh, cycle).isoformat() for cycle in (2024, 2025, 2026)]
    ['2024-12-20', '2026-01-08', '2026-12-28']
    """
    if birthday.calendar is Calendar.LUNAR:
        return _lunar_in(birthday, cycle)
    if (birthday.month, birthday.day) == (2, 29) and not _is_leap(cycle):
        return date(cycle, 3, 1) if birthday.feb29 is Feb29.MAR1 else date(cycle, 2, 28)
    return date(cycle, birthday.month, birthday.day)


def _lunar_in(birthday: Birthday, cycle: int) -> date:
    alike = [item for item in _months(cycle) if item.month == birthday.month]
    # Of a doubled month the leap one is the second.
    month = alike[-1] if birthday.leap_month else alike[0]
    return month.first + timedelta(min(birthday.day, month.days) - 1)


def celebrated_on(day: date) -> list[tuple[Birthday, int]]:
    """Every birthday that is celebrated on a day, with the cycle it belongs to.

    The inverse of `birthday_in`. Of 29 February both choices are answered where both apply.

    >>> [(born.month, born.day) for born, _ in celebrated_on(date(2026, 2, 16))]
    [(2, 16), (12, 29), (12, 30)]
    """
    return [(born, day.year) for born in _solar_on(day)] + list(_lunar_on(day))


def _solar_on(day: date) -> Iterator[Birthday]:
    if (day.month, day.day) == (2, 29):
        yield from (Birthday(Calendar.SOLAR, 2, 29, feb29=choice) for choice in Feb29)
        return
    yield Birthday(Calendar.SOLAR, day.month, day.day)
    if not _is_leap(day.year):
        for choice, month, number in ((Feb29.FEB28, 2, 28), (Feb29.MAR1, 3, 1)):
            if (day.month, day.day) == (month, number):
                yield Birthday(Calendar.SOLAR, 2, 29, feb29=choice)


def _lunar_on(day: date) -> Iterator[tuple[Birthday, int]]:
    at = lunar_of(day)
    alike = [item for item in _months(at.year) if item.month == at.month]
    month = alike[-1] if at.leap else alike[0]
    born_in = [at.leap] if len(alike) > 1 else [False, True]
    days = [at.day, 30] if at.day == month.days == 29 else [at.day]
    for leap in born_in:
        if leap and at.month not in _LEAP_MONTHS:
            continue
        for number in days:
            yield Birthday(Calendar.LUNAR, at.month, number, leap_month=leap), at.year


def next_birthday(birthday: Birthday, day: date) -> date:
    """The first day, from `day` on, on which a birthday is celebrated."""
    cycle = cycle_of(birthday.calendar, day)
    found = birthday_in(birthday, cycle)
    return found if found >= day else birthday_in(birthday, cycle + 1)


def festival_in(festival: Festival, cycle: int) -> date:
    """The day on which a festival falls in a cycle.

    >>> festival_in(FESTIVALS[5], 2025)
    datetime.date(2025, 10, 6)
    """
    return birthday_in(Birthday(festival.calendar, festival.month, festival.day), cycle)


def festival_on(festival: Festival, day: date) -> int | None:
    """The cycle in which a festival falls on this day; None if it does not."""
    cycle = cycle_of(festival.calendar, day)
    return cycle if festival_in(festival, cycle) == day else None


def next_in_force(told: Birthday, before: Birthday | None, from_cycle: int, day: date) -> date:
    """The same of a birthday that was changed: `before` counts in the cycles under `from_cycle`.

    >>> spring, summer = Birthday(Calendar.SOLAR, 3, 20), Birthday(Calendar.SOLAR, 7, 1)
    >>> [next_in_force(summer, spring, 2027, date(2026, month, 18)).isoformat() for month in (3, 4)]
    ['2026-03-20', '2027-07-01']
    """
    if before is None:
        return next_birthday(told, day)
    old = next_birthday(before, day)
    if cycle_of(before.calendar, old) < from_cycle:
        return old
    new = next_birthday(told, day)
    return max(new, birthday_in(told, from_cycle))


def check_birthday(birthday: Birthday) -> Birthday:
    """The birthday as it is stored: 29 February without a choice is celebrated on 28 February.

    Raises InvalidInput for a day that no year has.
    """
    check_day(birthday.calendar, birthday.month, birthday.day)
    if birthday.leap_month and (
        birthday.calendar is Calendar.SOLAR or birthday.month not in _LEAP_MONTHS
    ):
        raise InvalidInput(
            field="leapMonth", reason="this month is never doubled", reason_zh="该月没有闰月"
        )
    on_feb29 = birthday.calendar is Calendar.SOLAR and (birthday.month, birthday.day) == (2, 29)
    if birthday.feb29 is not None and not on_feb29:
        raise InvalidInput(
            field="feb29", reason="is for 29 February alone", reason_zh="仅用于2月29日"
        )
    choice = (birthday.feb29 or Feb29.FEB28) if on_feb29 else None
    return Birthday(birthday.calendar, birthday.month, birthday.day, birthday.leap_month, choice)


def check_day(calendar: Calendar, month: int, day: int) -> None:
    """Raise InvalidInput unless some year of the calendar has the day."""
    check_within(month, 1, 12, field="month")
    longest = 30 if calendar is Calendar.LUNAR else _LAST_DAY[month - 1]
    check_within(day, 1, longest, field="day")


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def as_json(birthday: Birthday) -> Json:
    """A birthday as it is stored with the member."""
    return {
        "calendar": birthday.calendar.value,
        "month": birthday.month,
        "day": birthday.day,
        "leap_month": birthday.leap_month,
        "feb29": None if birthday.feb29 is None else birthday.feb29.value,
    }


def birthday_of(stored: Json | None) -> Birthday | None:
    """The birthday that is stored with a member, if they told one."""
    if stored is None:
        return None
    calendar, month, day = Calendar(stored["calendar"]), stored["month"], stored["day"]
    # Records from elsewhere hold a choice for everybody; it means something on one day alone.
    on_feb29 = (calendar, month, day) == (Calendar.SOLAR, 2, 29)
    choice = stored.get("feb29") if on_feb29 else None
    return check_birthday(
        Birthday(
            calendar=calendar,
            month=month,
            day=day,
            leap_month=bool(stored.get("leap_month")),
            feb29=None if choice is None else Feb29(choice),
        )
    )
