"""The calendars against published dates, and each way of asking against the other."""

from datetime import date, timedelta

import pytest

from app.gifts import (
    FESTIVALS,
    Birthday,
    Calendar,
    Feb29,
    birthday_in,
    celebrated_on,
    check_birthday,
    cycle_of,
    festival_in,
    festival_on,
    leap_month,
    lunar_of,
    new_year,
    next_birthday,
)
from app.kernel.errors import InvalidInput

SPRING_FESTIVALS = {
    2024: date(2024, 2, 10),
    2025: date(2025, 1, 29),
    2026: date(2026, 2, 17),
    2027: date(2027, 2, 6),
    2028: date(2028, 1, 26),
    2029: date(2029, 2, 13),
    2030: date(2030, 2, 3),
    2031: date(2031, 1, 23),
}
# The doubled months of the published calendar; 2033 is where careless reckonings go wrong.
LEAP_MONTHS = {
    2020: 4,
    2023: 2,
    2025: 6,
    2028: 5,
    2031: 3,
    2033: 11,
    2036: 6,
    2039: 5,
    2042: 2,
    2044: 7,
    2047: 5,
    2050: 3,
    2052: 8,
    2055: 6,
    2058: 4,
    2061: 3,
    2063: 7,
    2066: 5,
    2069: 4,
    2071: 8,
    2074: 6,
    2077: 4,
    2080: 3,
    2082: 7,
    2085: 5,
    2088: 4,
    2090: 8,
    2093: 6,
    2096: 4,
    2099: 2,
}
# Public holidays as they were announced or are published in almanacs.
PUBLISHED = {
    "DRAGON_BOAT": {2024: (6, 10), 2025: (5, 31), 2026: (6, 19), 2027: (6, 9), 2028: (5, 28)},
    "MID_AUTUMN": {2024: (9, 17), 2025: (10, 6), 2026: (9, 25), 2027: (9, 15), 2028: (10, 3)},
    "QIXI": {2024: (8, 10), 2025: (8, 29), 2026: (8, 19), 2027: (8, 8), 2028: (8, 26)},
    "LANTERN_FESTIVAL": {2024: (2, 24), 2025: (2, 12), 2026: (3, 3), 2027: (2, 20)},
    "NATIONAL_DAY": {2026: (10, 1)},
    "NEW_YEAR": {2026: (1, 1)},
}
FIRST, LAST = date(2024, 2, 10), date(2032, 2, 10)


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(n) for n in range((last - first).days + 1)]


def every_birthday() -> list[Birthday]:
    solar = [
        Birthday(Calendar.SOLAR, day.month, day.day)
        for day in days(date(2026, 1, 1), date(2026, 12, 31))
    ]
    leap = [Birthday(Calendar.SOLAR, 2, 29, feb29=choice) for choice in Feb29]
    lunar = [
        Birthday(Calendar.LUNAR, month, day, leap_month=doubled)
        for month in range(1, 13)
        for day in range(1, 31)
        for doubled in ((False, True) if 2 <= month <= 11 else (False,))
    ]
    return [*solar, *leap, *lunar]


def test_lunar_years_begin_and_double_as_published() -> None:
    assert {year: new_year(year) for year in SPRING_FESTIVALS} == SPRING_FESTIVALS
    found = {year: leap_month(year) for year in range(2020, 2101)}
    assert {year: month for year, month in found.items() if month} == LEAP_MONTHS


def test_every_lunar_year_to_2100_is_whole() -> None:
    for year in range(2019, 2101):
        length = (new_year(year + 1) - new_year(year)).days
        assert length in ((383, 384, 385) if leap_month(year) else (353, 354, 355)), year


def test_each_lunar_day_follows_the_one_before() -> None:
    before = lunar_of(FIRST)
    assert (before.year, before.month, before.day, before.leap) == (2024, 1, 1, False)
    for day in days(FIRST, LAST)[1:]:
        at = lunar_of(day)
        if at.day != 1:
            assert (at.year, at.month, at.leap) == (before.year, before.month, before.leap)
            assert at.day == before.day + 1
        else:
            assert before.day in (29, 30)
            if at.leap:
                assert (at.month, leap_month(at.year)) == (before.month, at.month)
            else:
                assert at.month == before.month % 12 + 1
                assert at.year == before.year + (at.month == 1)
        before = at


def test_festivals_fall_where_they_are_published() -> None:
    by_code = {festival.code: festival for festival in FESTIVALS}
    for code, published in PUBLISHED.items():
        for year, (month, day) in published.items():
            assert festival_in(by_code[code], year) == date(year, month, day), (code, year)
    for year, day in SPRING_FESTIVALS.items():
        assert festival_in(by_code["SPRING_FESTIVAL"], year) == day


def test_festivals_come_once_a_cycle_on_every_day_of_eight_years() -> None:
    for festival in FESTIVALS:
        found = {
            cycle: day
            for day in days(FIRST, LAST)
            if (cycle := festival_on(festival, day)) is not None
        }
        assert all(festival_in(festival, cycle) == day for cycle, day in found.items())
        assert set(range(2025, 2032)) <= set(found), festival.code


def test_both_ways_of_asking_for_birthdays_agree_on_every_day() -> None:
    """Which birthdays a day has, and on which day a birthday falls, are reckoned apart."""
    by_day = {day: celebrated_on(day) for day in days(FIRST, LAST)}
    for found in by_day.values():
        assert len(set(found)) == len(found)
    told = {(born, cycle): day for day, found in by_day.items() for born, cycle in found}
    assert len(told) == sum(len(found) for found in by_day.values()), "never twice in a cycle"
    for born in every_birthday():
        for cycle in range(2025, 2032):
            day = birthday_in(born, cycle)
            assert told[born, cycle] == day
            assert cycle_of(born.calendar, day) == cycle


def test_a_lunar_birthday_may_come_never_or_twice_in_a_solar_year() -> None:
    born = Birthday(Calendar.LUNAR, 11, 20)
    fell = [birthday_in(born, cycle) for cycle in range(2023, 2028)]
    assert [sum(day.year == year for day in fell) for year in (2024, 2025, 2026)] == [2, 0, 2]


def test_a_missing_thirtieth_is_the_twenty_ninth() -> None:
    eve = Birthday(Calendar.LUNAR, 12, 30)
    assert birthday_in(eve, 2025) == date(2026, 2, 16), "the last day of a year without 30 December"
    assert birthday_in(eve, 2023) == date(2024, 2, 9), "a year that has it"
    assert all(birthday_in(eve, y) == new_year(y + 1) - timedelta(1) for y in range(2020, 2100))


def test_a_leap_month_counts_for_those_born_in_it_alone() -> None:
    plain = Birthday(Calendar.LUNAR, 6, 10)
    doubled = Birthday(Calendar.LUNAR, 6, 10, leap_month=True)
    assert birthday_in(plain, 2025) == date(2025, 7, 4)
    assert birthday_in(doubled, 2025) == date(2025, 8, 3)
    assert birthday_in(plain, 2026) == birthday_in(doubled, 2026)


@pytest.mark.parametrize("choice", Feb29)
def test_29_february_by_choice(choice: Feb29) -> None:
    born = Birthday(Calendar.SOLAR, 2, 29, feb29=choice)
    plain = date(2026, 2, 28) if choice is Feb29.FEB28 else date(2026, 3, 1)
    assert birthday_in(born, 2026) == plain
    assert birthday_in(born, 2028) == date(2028, 2, 29)
    assert birthday_in(born, 2100).year == 2100, "a century without a leap day"
    assert next_birthday(born, date(2027, 3, 2)) == date(2028, 2, 29)
    assert next_birthday(born, date(2028, 2, 29)) == date(2028, 2, 29)


@pytest.mark.parametrize(
    ("born", "field"),
    [
        (Birthday(Calendar.SOLAR, 2, 30), "day"),
        (Birthday(Calendar.SOLAR, 4, 31), "day"),
        (Birthday(Calendar.SOLAR, 13, 1), "month"),
        (Birthday(Calendar.SOLAR, 0, 1), "month"),
        (Birthday(Calendar.LUNAR, 1, 31), "day"),
        (Birthday(Calendar.LUNAR, 5, 0), "day"),
        (Birthday(Calendar.LUNAR, 12, 1, leap_month=True), "leapMonth"),
        (Birthday(Calendar.SOLAR, 6, 1, leap_month=True), "leapMonth"),
        (Birthday(Calendar.LUNAR, 2, 29, feb29=Feb29.MAR1), "feb29"),
        (Birthday(Calendar.SOLAR, 3, 1, feb29=Feb29.MAR1), "feb29"),
    ],
)
def test_days_that_no_year_has_are_refused(born: Birthday, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_birthday(born)
    assert refused.value.facts["field"] == field


def test_29_february_without_a_choice_is_the_last_of_february() -> None:
    assert check_birthday(Birthday(Calendar.SOLAR, 2, 29)).feb29 is Feb29.FEB28
