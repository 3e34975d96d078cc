"""The city's year: local days, festivals, weather and how vans keep their promises."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

import numpy as np

from simulation.places import Places
from simulation.streams import Floats, Ints, Stream, generator

HOUR = 3600
DAY = 24 * HOUR
WEEK = 7 * DAY
ZONE = 8 * HOUR  # Asia/Shanghai has known no summer time since 1991

# Month and day by year from 2018 on (checked against a lunar calendar in the tests).
_FIRST_YEAR = 2018
_SPRING = (
    *(216, 205, 125, 212, 201, 122, 210, 129, 217, 206, 126, 213),
    *(203, 123, 211, 131, 219, 208, 128, 215, 204, 124, 212),
)
_MID_AUTUMN = (
    *(924, 913, 1001, 921, 910, 929, 917, 1006, 925, 915, 1003, 922),
    *(912, 1001, 919, 908, 927, 916, 1004, 924, 913, 1002, 920),
)

# Relative day: demand. Families stock up before Spring Festival, travel in it, come back slowly.
_SPRING_CURVE = (
    *((-14, 1.15), (-9, 1.35), (-5, 1.75), (-2, 1.2), (-1, 0.6)),
    *((0, 0.22), (5, 0.45), (9, 0.75), (15, 1.0)),
)
_WEEKDAY = np.array([0.95, 0.92, 0.95, 0.98, 1.1, 1.12, 0.98])

FINE, RAIN, STORM, HEAT, COLD = range(5)
_WEATHER_DEMAND = np.array([1.0, 1.12, 0.45, 1.04, 1.06])
_WEATHER_LATE = np.array([0.025, 0.07, 0.45, 0.03, 0.05])
# By month: chance of rain, storm (typhoon or snow), heat, cold.
_RAIN = np.array([0.2, 0.22, 0.28, 0.28, 0.28, 0.42, 0.3, 0.28, 0.24, 0.16, 0.16, 0.16])
_STORM = np.array([0.03, 0.02, 0, 0, 0, 0.01, 0.04, 0.05, 0.03, 0, 0, 0.02])
_HEAT = np.array([0, 0, 0, 0, 0.05, 0.15, 0.42, 0.4, 0.12, 0, 0, 0])
_COLD = np.array([0.35, 0.25, 0.05, 0, 0, 0, 0, 0, 0, 0, 0.05, 0.25])


@dataclass(frozen=True)
class Days:
    """The nine days from a week's Monday on: demand, heat, and late chance by community.

    Two days more than the week, because what is ordered on Sunday night arrives on Tuesday.
    """

    demand: Floats
    hot: Floats
    late: Floats


def first_monday(start: int) -> int:
    """Local midnight, in epoch seconds, of the Monday on or before an instant."""
    day = (start + ZONE) // DAY
    return (day - (day + 3) % 7) * DAY - ZONE


def day_of(seconds: int) -> date:
    """The local day of an instant."""
    return datetime.fromtimestamp(seconds + ZONE, UTC).date()


def hours_of(seconds: Ints) -> Floats:
    """Local hour of the day, 0 up to 24."""
    return (seconds + ZONE) % DAY / HOUR


@cache
def demand(day: date) -> float:
    """How much is ordered on a day, by festivals and sales; 1 is an ordinary day."""
    return _spring(day) * _sales(day) * _holidays(day)


def _festival(days: tuple[int, ...], year: int) -> date | None:
    place = year - _FIRST_YEAR
    if not 0 <= place < len(days):
        return None
    return date(year, *divmod(days[place], 100))


def _spring(day: date) -> float:
    festival = _festival(_SPRING, day.year)
    if festival is None:
        return 1.0
    apart = (day - festival).days
    if not -14 <= apart < 15:
        return 1.0
    return next(level for begin, level in reversed(_SPRING_CURVE) if begin <= apart)


def _sales(day: date) -> float:
    if (day.month, day.day) in ((6, 16), (6, 17), (6, 18), (11, 10), (11, 11)):
        return 1.45
    if (day.month == 6 and 19 <= day.day <= 24) or (day.month == 11 and 12 <= day.day <= 17):
        return 0.86
    return 1.15 if day.month == 11 and 7 <= day.day <= 9 else 1.0


def _holidays(day: date) -> float:
    autumn = _festival(_MID_AUTUMN, day.year)
    before = (autumn - day).days if autumn else 99
    if 1 <= before <= 6:
        return 1.25
    if day.month == 10 and day.day <= 6:
        return 0.72
    return 0.75 if day.month == 5 and day.day <= 3 else 1.0


@cache
def weather(seed: int, monday: int, week: int) -> Ints:
    """The kind of weather on the seven days of a week."""
    draws = generator(seed, Stream.WEATHER, week).random(7)
    months = np.array([day_of(monday + step * DAY).month - 1 for step in range(7)])
    edges = np.cumsum([_STORM[months], _RAIN[months], _HEAT[months], _COLD[months]], axis=0)
    kinds = np.array([STORM, RAIN, HEAT, COLD, FINE])
    return kinds[(draws >= edges).sum(axis=0)]


@cache
def _incidents(seed: int, week: int, count: int) -> Floats:
    """By community and day, what a broken van or a missing driver adds to the chance of delay."""
    draws = generator(seed, Stream.WEATHER, week, 1).random((count, 7))
    return np.where(draws < 0.012, 0.6, 0.0)


def days(seed: int, monday: int, week: int, places: Places) -> Days:
    """Demand, heat and delays of a week; `monday` is its first instant."""
    following = weather(seed, monday + WEEK, week + 1)
    kinds = np.concatenate((weather(seed, monday, week), following[:2]))
    pull = np.array([demand(day_of(monday + step * DAY)) for step in range(9)])
    weekday = np.concatenate((_WEEKDAY, _WEEKDAY[:2]))
    count = len(places.names)
    broken = np.hstack((_incidents(seed, week, count), _incidents(seed, week + 1, count)[:, :2]))
    crowded = np.where(pull > 1.3, 2.0, 1.0)
    late = np.minimum(_WEATHER_LATE[kinds] * crowded + broken, 0.9)
    return Days(pull * weekday * _WEATHER_DEMAND[kinds], (kinds == HEAT).astype(np.float64), late)
