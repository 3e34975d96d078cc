import math

import numpy as np
import pytest

from ml.explain import group_of
from ml.features import build
from ml.phrases import PHRASES, READ, Raw, fallen, is_past_rhythm
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import shop


def quiet() -> Raw:
    """A member of whom nothing can be said: every number unknown or zero."""
    matrix = build(shop(members=60), AS_OF)
    assert set(READ) <= set(matrix.names)
    # No phrase reads what is not in there.
    raw = dict.fromkeys(READ, 0.0)
    raw["interval_sd"] = raw["basket_sd"] = raw["discount_share"] = math.nan
    return raw | {"days_since_session_90": 90.0, "days_since_browse_90": 90.0}


def said(group: str, **numbers: float) -> tuple[str, str, str] | None:
    raw = quiet() | numbers
    return next((answer for phrase in PHRASES[group] if (answer := phrase(raw))), None)


def test_nothing_is_said_of_a_member_without_numbers():
    assert all(phrase(quiet()) is None for group in PHRASES.values() for phrase in group)


@pytest.mark.parametrize(
    ("group", "numbers", "zh", "en"),
    [
        (
            "trend",
            {"orders_30": 2, "orders_31_60": 5},
            "近30天下单减少60%",
            "Orders in the last 30 days fell by 60%",
        ),
        ("silence", {"recency": 41}, "已41天没有下单", "No order for 41 days"),
        (
            "rhythm",
            {"recency": 30, "interval_median": 10, "interval_sd": 2},
            "通常约10天下一单，这次已隔30天",
            "Usually orders about every 10 days; it has now been 30 days",
        ),
        (
            "rhythm",
            {"recency": 9, "interval_median": 1, "interval_sd": 0},
            "通常每天下一单，这次已隔9天",
            "Usually orders about every day; it has now been 9 days",
        ),
        (
            "browsing",
            {"browses_28": 3, "browses_29_56": 10},
            "近28天浏览减少70%",
            "Browsing in the last 28 days fell by 70%",
        ),
        (
            "logins",
            {"sessions_28": 5, "sessions_29_56": 8},
            "近28天登录减少37%",
            "Log-ins in the last 28 days fell by 37%",
        ),
        ("logins", {"days_since_session_90": 20}, "已20天没有登录", "No log-in for 20 days"),
        (
            "community",
            {"group_leaves_90": 1},
            "近90天退出过社群",
            "Left a group in the last 90 days",
        ),
        (
            "discount",
            {"discount_share": 0.459},
            "近一年订单金额的45%由优惠抵扣",
            "Discounts covered 45% of the last year's order value",
        ),
        (
            "spend",
            {"spend_30": 50, "spend_31_60": 100, "orders_30": 1},
            "近30天消费减少50%",
            "Spending in the last 30 days fell by 50%",
        ),
        ("delivery", {"complaints_90": 1}, "近期有1单被投诉", "1 order with a complaint lately"),
        (
            "delivery",
            {"spoiled_90": 1, "late_90": 3},
            "近90天有1单商品损坏",
            "1 order with spoiled goods in the last 90 days",
        ),
        (
            "delivery",
            {"late_90": 2},
            "近90天有2单配送迟到",
            "2 orders delivered late in the last 90 days",
        ),
        (
            "coupons",
            {"coupons_expired_90": 2},
            "近90天有2张优惠券过期未用",
            "2 coupons expired unused in the last 90 days",
        ),
        (
            "breadth",
            {"categories_90": 2, "categories_365": 5},
            "近90天只买过2个品类，近一年买过5个",
            "Bought from 2 of the 5 categories of the last year in the last 90 days",
        ),
    ],
)
def test_phrases_tell_the_members_own_numbers(
    group: str, numbers: dict[str, float], zh: str, en: str
):
    answer = said(group, **numbers)
    assert answer is not None
    assert answer[1:] == (zh, en)


@pytest.mark.parametrize(
    ("group", "numbers"),
    [
        ("trend", {"orders_30": 5, "orders_31_60": 5}),
        ("trend", {"orders_30": 1, "orders_31_60": 1}),
        ("silence", {"recency": 3}),
        ("rhythm", {"recency": 11, "interval_median": 10, "interval_sd": 2}),
        ("rhythm", {"recency": 90, "interval_median": 10}),  # one interval is no rhythm
        ("logins", {"sessions_28": 0, "sessions_29_56": 3}),  # too thin a baseline
        ("browsing", {"browses_28": 12, "browses_29_56": 10}),
        ("spend", {"spend_30": 0, "spend_31_60": 100}),  # no order at all is told by others
        ("basket", {"basket_last": 10, "basket_mean": 100}),  # a single basket has no average
        ("coupons", {"coupons_expired_90": 2, "coupons_used_90": 1}),
        ("breadth", {"categories_90": 3, "categories_365": 5}),
        ("breadth", {"categories_90": 0, "categories_365": 5}),  # no order is told by others
    ],
)
def test_phrases_keep_silent_where_the_numbers_do_not_bear_them_out(
    group: str, numbers: dict[str, float]
):
    assert said(group, **numbers) is None


def test_percentages_are_rounded_down_and_stay_within_a_hundred():
    assert fallen(1, 3) == 66
    assert fallen(-5, 10) == 100
    assert fallen(3, 0) == fallen(3, math.nan) == 0


def test_every_group_of_columns_has_phrases():
    names = build(shop(members=60), AS_OF).names
    groups = {group_of(name) for name in names}
    assert groups - {"untold"} == set(PHRASES)
    assert {name for name in names if group_of(name) == "untold"} == {
        "weekend_share",
        "weekday_share",
        "hour_mean",
        "hour_sd",
    }


def test_who_is_past_their_rhythm_is_who_is_told_so():
    random = np.random.default_rng(0)
    recency = random.integers(0, 60, 2_000).astype(np.float64)
    usual = random.integers(0, 40, 2_000).astype(np.float64) / 2
    spread = np.where(random.uniform(size=2_000) < 0.3, np.nan, 1.0)
    spread[random.uniform(size=2_000) < 0.1] = np.nan
    usual[np.isnan(spread)] = np.nan
    late = is_past_rhythm(recency, usual, spread).tolist()
    (phrase,) = PHRASES["rhythm"]
    told = [
        phrase({"recency": a, "interval_median": b, "interval_sd": c}) is not None
        for a, b, c in zip(recency, usual, spread, strict=True)
    ]
    assert told == late
    assert 300 < sum(late) < 1_500
