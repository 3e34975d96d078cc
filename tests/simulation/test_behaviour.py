"""The world looks like a neighbourhood: wide bounds, but each would fail if its cause were lost."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from simulation import MONTH, World
from simulation.streams import Floats, Ints
from simulation.tables import Table, joined

START = datetime(2025, 9, 1, tzinfo=UTC)
UNTIL = START + 12 * MONTH
WEEK = 7 * 86400
MEMBERS = 5_000


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, MEMBERS, START, 12)


@pytest.fixture(scope="module")
def tables(world: World) -> dict[str, Table]:
    found: dict[str, list[Table]] = {}
    for block in world.blocks(UNTIL):
        for name, table in block.tables():
            if len(table):
                found.setdefault(name, []).append(table)
    return {name: joined(parts) for name, parts in found.items()}


def seconds(column: Ints) -> Ints:
    return column.astype("datetime64[s]").astype(np.int64)


def local_hours(column: Ints) -> Floats:
    return np.bincount((seconds(column) + 8 * 3600) % 86400 // 3600, minlength=24) / len(column)


def by_day(column: Ints) -> Ints:
    return np.bincount((seconds(column) - int(START.timestamp())) // 86400, minlength=365)


def day(month: int, number: int) -> int:
    year = 2025 if month >= 9 else 2026
    return (datetime(year, month, number, tzinfo=UTC) - START).days


def test_evenings_are_busiest_with_smaller_peaks_in_the_morning_and_at_noon(
    tables: dict[str, Table],
) -> None:
    hours = local_hours(tables["orders"]["placed_at"])

    assert hours[19:23].sum() > 0.4
    assert min(hours[7], hours[12]) > 2 * hours[15]
    assert hours[0:5].sum() < 0.005


def test_spring_festival_is_stocked_up_for_and_quiet(tables: dict[str, Table]) -> None:
    orders = by_day(tables["orders"]["placed_at"])
    ordinary = orders[day(3, 9) : day(3, 30)].mean()

    assert orders[day(2, 12) : day(2, 15)].mean() > 1.2 * ordinary
    assert orders[day(2, 17) : day(2, 22)].mean() < 0.5 * ordinary


def test_sales_days_stand_out(tables: dict[str, Table]) -> None:
    orders = by_day(tables["orders"]["placed_at"])
    same_weekdays = orders[[day(10, 27), day(10, 28), day(11, 24), day(11, 25)]].mean()

    assert orders[[day(11, 10), day(11, 11)]].mean() > 1.15 * same_weekdays


def test_many_newcomers_are_lost_after_their_first_tries(tables: dict[str, Table]) -> None:
    registered = seconds(tables["members"]["registered_at"])
    old = registered < UNTIL.timestamp() - 120 * 86400
    orders = np.bincount(tables["orders"]["member"], minlength=MEMBERS)
    last = np.zeros(MEMBERS, dtype=np.int64)
    np.maximum.at(last, tables["orders"]["member"], seconds(tables["orders"]["placed_at"]))
    lost = (orders <= 3) & (last < UNTIL.timestamp() - 60 * 86400)

    assert 0.4 < lost[old].mean() < 0.65
    assert 0.05 < (orders[old] == 0).mean() < 0.3


def test_a_few_bring_half_of_the_sales(tables: dict[str, Table]) -> None:
    orders = tables["orders"]
    recent = seconds(orders["placed_at"]) > UNTIL.timestamp() - 90 * 86400
    spent = np.bincount(orders["member"][recent], orders["paid_fen"][recent])
    spent = np.sort(spent[spent > 0])[::-1]

    assert 0.4 < spent[: int(0.12 * len(spent))].sum() / spent.sum() < 0.65


def test_looks_fall_weeks_before_orders_do(world: World, tables: dict[str, Table]) -> None:
    """Aligned on the week in which a drift of at least five weeks ends in silence."""
    sessions = weekly(world, tables["events"].where(tables["events"]["kind"] == "session"), "at")
    orders = weekly(world, tables["orders"], "placed_at")
    looked, ordered = np.zeros(14), np.zeros(14)
    drifts = 0
    for latent in world.truths(UNTIL):
        if latent.phase != "SILENT" or latent.drift_from is None or latent.silent_from is None:
            continue
        weeks = week_of(world, latent.silent_from) - week_of(world, latent.drift_from)
        end = week_of(world, latent.silent_from)
        if weeks >= 5 and end >= 14:
            looked += sessions[latent.member, end - 14 : end]
            ordered += orders[latent.member, end - 14 : end]
            drifts += 1
    looked, ordered = looked / looked[:4].mean(), ordered / ordered[:4].mean()

    assert drifts > 150
    assert looked[7:11].mean() < ordered[7:11].mean() - 0.2
    assert ordered[7:9].mean() > 0.8
    assert looked[-1] < 0.3
    assert ordered[-1] < 0.4


def week_of(world: World, at: datetime) -> int:
    return (int(at.timestamp()) - world.monday(0)) // WEEK


def weekly(world: World, table: Table, at: str) -> Ints:
    counts = np.zeros((MEMBERS, 56), dtype=np.int64)
    np.add.at(counts, (table["member"], (seconds(table[at]) - world.monday(0)) // WEEK), 1)
    return counts


def test_trouble_drives_people_away(world: World, tables: dict[str, Table]) -> None:
    """Who fell silent after drifting had more trouble an order shortly before than the others."""
    orders = tables["orders"]
    trouble = orders["is_late"] | orders["is_spoiled"]
    placed = seconds(orders["placed_at"])
    before, others = [], []
    for latent in world.truths(UNTIL):
        if latent.drift_from is None:
            continue
        own = orders["member"] == latent.member
        at = latent.drift_from.timestamp()
        near = own & (placed >= at - 3 * WEEK) & (placed < at)
        before.append((int(trouble[near].sum()), int(near.sum())))
        others.append((int(trouble[own & ~near].sum()), int((own & ~near).sum())))
    hurt, usual = np.sum(before, axis=0), np.sum(others, axis=0)

    assert hurt[0] / hurt[1] > 1.3 * usual[0] / usual[1]


def test_some_come_back_after_silence(tables: dict[str, Table]) -> None:
    orders = tables["orders"]
    order = np.lexsort((orders["placed_at"], orders["member"]))
    member, at = orders["member"][order], seconds(orders["placed_at"])[order]
    gaps = np.diff(at)[np.diff(member) == 0]

    assert np.count_nonzero(gaps > 45 * 86400) > 100


def test_rain_and_breakdowns_make_days_late_and_late_orders_bring_complaints(
    tables: dict[str, Table],
) -> None:
    orders = tables["orders"].where(tables["orders"]["status"] == "SETTLED")
    late = orders["is_late"]
    days = (seconds(orders["promised_at"]) - int(START.timestamp())) // 86400
    delivered = orders["channel"] != "STORE"
    shares = np.bincount(days[delivered], late[delivered]) / np.maximum(
        np.bincount(days[delivered]), 1
    )

    assert 0.02 < late.mean() < 0.1
    assert shares.max() > 0.25
    assert orders["has_complaint"][late].mean() > 5 * orders["has_complaint"][~late].mean()


def test_refunds_are_few_and_mostly_for_spoiled_goods(tables: dict[str, Table]) -> None:
    orders, refunds = tables["orders"], tables["refunds"]
    reasons = Counter(refunds.where(refunds["reason"] != "cancelled before delivery")["reason"])

    assert reasons.most_common(1)[0][0] == "spoiled"
    assert 0.005 < np.mean(orders["status"] == "PARTLY_REFUNDED") < 0.05
    assert 0.001 < np.mean(orders["status"] == "REFUNDED") < 0.03
    assert 0.02 < np.mean(orders["status"] == "CANCELLED") < 0.06


def test_leaders_order_and_post_more(tables: dict[str, Table]) -> None:
    leaders = tables["leaders"]["member"]
    events = tables["events"]
    posts = np.bincount(events["member"][events["kind"] == "group-post"], minlength=MEMBERS)
    orders = np.bincount(tables["orders"]["member"], minlength=MEMBERS)

    assert posts[leaders].mean() > 10 * posts.mean()
    assert orders[leaders].mean() > 3 * orders.mean()


def test_check_ins_come_in_streaks_and_once_a_day(tables: dict[str, Table]) -> None:
    events = tables["events"].where(tables["events"]["kind"] == "check-in")
    days = (seconds(events["at"]) + 8 * 3600) // 86400
    keys = np.sort(events["member"] * 100_000 + days)

    assert np.all(np.diff(keys) > 0)
    assert np.mean(np.diff(keys) == 1) > 0.6


def test_members_order_on_days_of_their_own(tables: dict[str, Table]) -> None:
    orders = tables["orders"]
    weekday = ((seconds(orders["placed_at"]) + 8 * 3600) // 86400 + 3) % 7
    counts = np.zeros((MEMBERS, 7))
    np.add.at(counts, (orders["member"], weekday), 1)
    often = counts[counts.sum(axis=1) >= 30]

    assert (often.max(axis=1) / often.sum(axis=1)).mean() > 0.25


def test_goods_are_looked_at_before_they_are_bought(tables: dict[str, Table]) -> None:
    orders, lines, events = tables["orders"], tables["order_lines"], tables["events"]
    looks = events.where(events["kind"] == "browse")
    seen = set(zip(looks["member"].tolist(), looks["sku"].tolist(), strict=True))
    buyer = dict(zip(orders["order_no"].tolist(), orders["member"].tolist(), strict=True))
    bought = zip(lines["order_no"].tolist(), lines["sku"].tolist(), strict=True)
    looked = [(buyer[number], sku) in seen for number, sku in bought]

    assert np.mean(looked) > 0.5


def test_releases_of_the_app_follow_each_other(tables: dict[str, Table]) -> None:
    events = tables["events"].where(tables["events"]["channel"] == "APP")
    half = events["at"] < np.datetime64("2026-03-01")
    early, late = (set(events["app_version"][part].tolist()) for part in (half, ~half))

    assert len(early | late) >= 10
    assert late - early
    assert early - late
