from datetime import UTC, date, datetime

import numpy as np
import pytest
from lunar_python import Lunar

from simulation import CATEGORIES, GOODS, seasons
from simulation.goods import shelf
from simulation.names import nicknames
from simulation.places import make
from simulation.tables import NEVER, Table, codes, instants, joined, numbers


@pytest.mark.parametrize("year", range(2018, 2041))
def test_festivals_agree_with_a_lunar_calendar(year: int) -> None:
    def solar(month: int, day: int) -> date:
        found = Lunar.fromYmd(year, month, day).getSolar()
        return date(found.getYear(), found.getMonth(), found.getDay())

    assert seasons.demand(solar(1, 1)) < 0.3
    eve = solar(8, 15).toordinal() - 1
    assert seasons.demand(date.fromordinal(eve)) == 1.25


def test_years_beyond_the_table_are_ordinary() -> None:
    assert seasons.demand(date(2050, 2, 10)) == 1.0


@pytest.mark.parametrize(
    ("instant", "monday"),
    [
        (datetime(2026, 3, 1, 15, 59, tzinfo=UTC), datetime(2026, 2, 22, 16, tzinfo=UTC)),
        (datetime(2026, 3, 1, 16, 0, tzinfo=UTC), datetime(2026, 3, 1, 16, tzinfo=UTC)),
    ],
)
def test_weeks_begin_on_the_local_monday(instant: datetime, monday: datetime) -> None:
    assert seasons.first_monday(int(instant.timestamp())) == int(monday.timestamp())


def test_the_catalogue_is_whole() -> None:
    assert 115 <= len(GOODS) <= 140
    assert len({goods.sku for goods in GOODS}) == len({goods.name for goods in GOODS}) == len(GOODS)
    assert {goods.category_name for goods in GOODS} == set(CATEGORIES)
    by_name = {goods.name: goods for goods in GOODS}
    assert by_name["仙居杨梅1kg"].months == {6}
    assert by_name["大闸蟹公母6只"].months == {9, 10, 11}
    assert by_name["丹东草莓500g"].months == {12, 1, 2, 3, 4}


@pytest.mark.parametrize("month", range(1, 13))
def test_every_category_can_be_bought_in_every_month(month: int) -> None:
    offer = shelf(1, 7, month)
    draws = np.repeat([0.0, 0.5, 0.999999], len(CATEGORIES))
    asked = np.tile(np.arange(len(CATEGORIES)), 3)
    sku = offer.draw(asked, draws)

    assert [GOODS[number].category for number in sku] == asked.tolist()
    assert offer.sold[sku].all()
    assert all(month in GOODS[number].months for number in sku)


def test_estates_have_names_of_their_own() -> None:
    places = make(4, 1_000_000, 0, 10_000_000)

    assert len(set(places.names)) == len(places.names) == 40
    assert (np.diff(places.opened) >= 0).all()


def test_who_reads_english_has_a_latin_nickname() -> None:
    english = np.array([True, False] * 50)

    assert all(name[0].isascii() for name in nicknames(1, 0, english)[::2])


def test_rows_are_plain_values() -> None:
    table = Table(
        {
            "id": codes("x", np.array([1, 16])),
            "at": instants(np.array([0, NEVER])),
            "size": numbers(np.array([3, 4]), np.array([False, True])),
        }
    )

    assert list(table.rows()) == [
        ("x0000000000001", datetime(1970, 1, 1, tzinfo=UTC), None),
        ("x0000000000010", None, 4),
    ]
    assert len(joined([table, table.where(np.array([True, False]))])) == 3
    assert len(joined([])) == 0
