"""What a pack may hold, and the edges of business days."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from app.coupons import Basket, Line
from app.gifts import GiftCycle, ItemDraft, Unlock, check_items, cycle_key, set_apart, unlocks_at
from app.gifts.calendars import Birthday, Calendar, Feb29, birthday_of
from app.kernel.clock import day_start
from app.kernel.errors import InvalidInput

ZONES = ("Asia/Shanghai", "Asia/Urumqi", "America/New_York", "Pacific/Kiritimati", "UTC")


@pytest.mark.parametrize("zone", ZONES)
def test_day_n_begins_at_midnight_of_the_members_neighbourhood(zone: str) -> None:
    begins = day_start(date(2026, 2, 27), zone)
    ends = day_start(date(2026, 2, 28), zone)
    for claimed in (begins, begins + timedelta(hours=9), ends - timedelta(microseconds=1)):
        at = unlocks_at(Unlock.DAY_N, 3, claimed_at=claimed, zone=zone)
        assert at == day_start(date(2026, 3, 1), zone), "February has 28 days"
    later = unlocks_at(Unlock.DAY_N, 3, claimed_at=ends, zone=zone)
    assert later == day_start(date(2026, 3, 2), zone)


def test_a_day_of_23_hours_is_a_day() -> None:
    zone = "America/New_York"  # clocks go forward on 8 March 2026
    claimed = day_start(date(2026, 3, 7), zone)
    assert unlocks_at(Unlock.DAY_N, 3, claimed_at=claimed, zone=zone) == datetime(
        2026, 3, 9, 4, tzinfo=UTC
    )


@pytest.mark.parametrize("zone", ZONES)
def test_cycles_change_with_the_local_month_and_year(zone: str) -> None:
    new_year = day_start(date(2027, 1, 1), zone)
    last = new_year - timedelta(milliseconds=1)
    assert cycle_key(GiftCycle.MONTH, at=last, zone=zone) == "2026-12"
    assert cycle_key(GiftCycle.MONTH, at=new_year, zone=zone) == "2027-01"
    assert cycle_key(GiftCycle.YEAR, at=last, zone=zone) == "2026"
    assert cycle_key(GiftCycle.YEAR, at=new_year, zone=zone) == "2027"
    assert cycle_key(GiftCycle.EVER, at=last, zone=zone) == ""


COUPON = ItemDraft(batch_id=uuid4())


@pytest.mark.parametrize(
    "items",
    [
        [],
        [COUPON] * 21,
        [ItemDraft()],
        [ItemDraft(batch_id=uuid4(), points=5)],
        [ItemDraft(points=0)],
        [ItemDraft(Unlock.DAY_N, points=5)],
        [ItemDraft(Unlock.DAY_N, 1, points=5)],
        [ItemDraft(Unlock.AT_ONCE, 3, points=5)],
        [ItemDraft(Unlock.WHEN_PREVIOUS_REDEEMED, points=5)],
        [ItemDraft(points=5), ItemDraft(Unlock.WHEN_PREVIOUS_REDEEMED, points=5)],
    ],
)
def test_packs_that_make_no_sense_are_refused(items: list[ItemDraft]) -> None:
    with pytest.raises(InvalidInput):
        check_items(items)


def test_a_gift_leaves_the_basket_before_thresholds_are_asked() -> None:
    eggs, rice = Line("EGGS", "fresh", 1, 1_290), Line("RICE", "staple", 1, 3_990)
    basket = Basket([eggs, rice, eggs], shipping_fen=500)
    apart = set_apart(basket, "EGGS")
    assert list(apart.lines) == [rice, eggs]
    assert apart.shipping_fen == 500
    assert set_apart(basket, "MILK") == basket


def test_a_stored_choice_for_29_february_means_nothing_on_other_days() -> None:
    stored = {"calendar": "LUNAR", "month": 11, "day": 20, "leap_month": False, "feb29": "FEB28"}
    assert birthday_of(stored) == Birthday(Calendar.LUNAR, 11, 20)
    leap = {**stored, "calendar": "SOLAR", "month": 2, "day": 29, "feb29": "MAR1"}
    assert birthday_of(leap) == Birthday(Calendar.SOLAR, 2, 29, feb29=Feb29.MAR1)
