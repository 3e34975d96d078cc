"""Validity to the last microsecond, in each community's own days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import coupons
from app.coupons import CouponState, Source, Template, Validity, standing, validity_window
from app.kernel.db import Database
from tests.conftest import TestClock
from tests.make import coupons as make
from tests.make.members import community, member

BASKET = coupons.Basket([coupons.Line("apple", "fruit", 3, 333)])
LAST = timedelta(microseconds=1)


def relative(wait: int, days: int) -> Template:
    return Template(validity=Validity.RELATIVE, wait_days=wait, valid_days=days)


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("claimed", "zone", "wait", "days", "begins", "ends"),
    [
        # A leap day counts as a day, and one that is not there does not.
        ("2028-02-27T14:00", "Asia/Shanghai", 0, 7, None, "2028-03-05T00:00"),
        ("2027-02-27T14:00", "Asia/Shanghai", 0, 7, None, "2027-03-06T00:00"),
        ("2028-02-29T23:59", "Asia/Shanghai", 1, 7, "2028-03-01T00:00", "2028-03-08T00:00"),
        # The year turns.
        ("2026-12-31T23:59:59.999999", "Asia/Shanghai", 0, 7, None, "2027-01-07T00:00"),
        # Other zones have other midnights, also where clocks are put forward and back.
        ("2026-03-01T14:00", "Asia/Urumqi", 0, 7, None, "2026-03-08T00:00"),
        ("2026-03-28T12:00", "Europe/Berlin", 0, 7, None, "2026-04-04T00:00"),
        ("2026-10-24T12:00", "Europe/Berlin", 1, 7, "2026-10-25T00:00", "2026-11-01T00:00"),
    ],
)
def test_days_are_those_of_the_calendar(
    claimed: str, zone: str, wait: int, days: int, begins: str | None, ends: str
) -> None:
    at = local(claimed, zone)
    window = validity_window(relative(wait, days), at=at, zone=zone)
    assert window == (at if begins is None else local(begins, zone), local(ends, zone))


@given(
    day=st.dates(date(2024, 1, 1), date(2032, 12, 31)),
    second=st.integers(0, 86_399),
    wait=st.integers(0, 30),
    days=st.integers(1, 60),
    zone=st.sampled_from(["Asia/Shanghai", "Asia/Urumqi", "UTC"]),
)
def test_it_ends_at_the_midnight_after_so_many_days(
    day: date, second: int, wait: int, days: int, zone: str
) -> None:
    at = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) + timedelta(seconds=second)
    begins, ends = validity_window(relative(wait, days), at=at.astimezone(UTC), zone=zone)
    last = (ends - LAST).astimezone(ZoneInfo(zone)).date()
    assert last == day + timedelta(days=wait + days - 1)
    assert begins.astimezone(ZoneInfo(zone)).date() == day + timedelta(days=wait)


async def test_the_last_microsecond_is_in_time_and_the_next_is_not(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        west = await community(tx, "乌鲁木齐路", "Asia/Urumqi")
        made = [
            await make.coupon(tx, member_id=(await member(tx, community_id=home)).id)
            for home in (west.id, west.id, None)
        ]
    in_time, late, in_the_east = made
    assert in_time.expires_at == in_the_east.expires_at + timedelta(hours=2)
    clock.now = in_time.expires_at - LAST

    async def redeem(coupon: coupons.Coupon) -> coupons.Redemption:
        async with database.begin() as tx:
            return await coupons.redeem(
                tx,
                coupon_id=coupon.id,
                member_id=coupon.member_id,
                order_ref="A-1",
                basket=BASKET,
            )

    assert (await redeem(in_time)).discount_fen == 500
    with pytest.raises(coupons.CouponNotUsable):
        await redeem(in_the_east)
    clock.now = late.expires_at
    with pytest.raises(coupons.CouponNotUsable):
        await redeem(late)


async def test_readers_see_a_state_at_its_instant_without_any_job(
    database: Database, clock: TestClock
) -> None:
    async with database.begin() as tx:
        template = await make.template(tx, wait_days=1)
        batch = await make.batch(tx, template_id=template.id)
        who = (await member(tx)).id
        grants = await coupons.grant(tx, batch_id=batch.id, member_ids=[who], source=Source.STAFF)
        coupon = await tx.session.get_one(coupons.Coupon, (who, grants.granted[who]))
    moments = [
        (coupon.usable_from - LAST, CouponState.WAITING),
        (coupon.usable_from, CouponState.ACTIVE),
        (coupon.expires_at - LAST, CouponState.ACTIVE),
        (coupon.expires_at, CouponState.EXPIRED),
    ]
    key = (who, coupon.id)
    for at, state in moments:
        clock.now = at
        assert standing(coupon, at=at) is state
        async with database.read() as read:
            assert (await coupons.by_member_and_id(read, [key]))[key].state is state
            pages = [coupons.CouponPage(who, 5, state=one) for one in CouponState]
            shown = {page.state for page in pages if (await coupons.pages(read, [page]))[page]}
        assert shown == {state}
