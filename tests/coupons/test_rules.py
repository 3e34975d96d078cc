"""Discounts add up to the fen, and validity runs in business days."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.coupons import (
    Basket,
    BelowThreshold,
    Kind,
    Line,
    NothingInScope,
    ReturnPolicy,
    Template,
    Terms,
    Validity,
    ValidityOver,
    discount,
)
from app.coupons.rules import apportion, validity_window, yuan
from app.kernel.errors import InvalidInput

KINDS = st.sampled_from(Kind)
LINES = st.lists(
    st.builds(
        Line,
        sku=st.sampled_from(["a", "b", "c"]),
        category=st.sampled_from(["fruit", "milk"]),
        quantity=st.integers(1, 50),
        unit_fen=st.integers(0, 100_000),
    ),
    min_size=1,
    max_size=8,
)


def terms(kind: Kind, value: int, **more: object) -> Terms:
    known = {"threshold_fen": 0, "max_discount_fen": 10**9, "skus": (), "categories": ()} | more
    return Terms(
        kind=kind,
        value=value,
        threshold_fen=known["threshold_fen"],
        max_discount_fen=known["max_discount_fen"],
        skus=frozenset(known["skus"]),
        categories=frozenset(known["categories"]),
    )


APPLE = Line("apple", "fruit", 3, 333)
MILK = Line("milk", "milk", 1, 1000)


@given(
    kind=KINDS,
    value=st.integers(1, 100),
    most=st.integers(1, 5_000),
    lines=LINES,
    shipping=st.integers(0, 2_000),
    skus=st.sets(st.sampled_from(["a", "b"])),
)
def test_a_discount_is_the_sum_of_its_shares_and_never_more_than_what_it_is_for(
    kind: Kind, value: int, most: int, lines: list[Line], shipping: int, skus: set[str]
) -> None:
    rule = terms(kind, value, max_discount_fen=most, skus=skus)
    basket = Basket(lines, shipping)
    try:
        result = discount(rule, basket)
    except NothingInScope:
        return
    assert result.fen == sum(result.shares) + result.shipping_fen
    assert 0 < result.fen <= most
    assert result.shipping_fen <= shipping
    for line, share in zip(lines, result.shares, strict=True):
        assert 0 <= share <= line.total_fen
        assert share == 0 or rule.covers(line)


@given(amount=st.integers(0, 10**12), weights=st.lists(st.integers(0, 10**9), min_size=1))
def test_apportioning_is_exact_and_fair_to_one_fen(amount: int, weights: list[int]) -> None:
    total = sum(weights)
    if total == 0:
        weights, total = [*weights, 1], 1
    shares = apportion(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * total - amount * weight) < total


def test_each_kind_takes_off_what_it_says() -> None:
    basket = Basket([APPLE, MILK], shipping_fen=600)
    assert discount(terms(Kind.FIXED, 500), basket).shares == (250, 250)
    assert discount(terms(Kind.PERCENT, 15), basket).fen == 299, "1999 x 15% rounds down"
    fruit = discount(terms(Kind.CATEGORY, 5_000, categories=["fruit"]), basket)
    assert fruit.shares == (999, 0), "never more than its category costs"
    gift = discount(terms(Kind.EXCHANGE_PRICE, 100, skus=["apple"]), basket)
    assert gift.shares == (233, 0), "one unit for one yuan"
    free = discount(terms(Kind.SHIPPING, 1_000), basket)
    assert (free.fen, free.shares, free.shipping_fen) == (600, (0, 0), 600)


def test_the_threshold_is_asked_of_the_lines_in_scope() -> None:
    rule = terms(Kind.FIXED, 500, threshold_fen=1_000, categories=["fruit"])
    with pytest.raises(BelowThreshold) as refused:
        discount(rule, Basket([APPLE, MILK]))
    assert refused.value.message("zh-CN") == "还差0.01元才满足用券门槛"
    more = Line("apple", "fruit", 4, 333)
    assert discount(rule, Basket([more, MILK])).shares == (500, 0)


def test_a_coupon_without_anything_to_take_off_is_refused() -> None:
    with pytest.raises(NothingInScope):
        discount(terms(Kind.FIXED, 500, skus=["bread"]), Basket([APPLE]))
    with pytest.raises(NothingInScope):
        discount(terms(Kind.EXCHANGE_PRICE, 400, skus=["apple"]), Basket([APPLE]))
    with pytest.raises(NothingInScope):
        discount(terms(Kind.SHIPPING, 400), Basket([APPLE], shipping_fen=0))


@pytest.mark.parametrize(
    "basket",
    [
        Basket([Line("a", "fruit", 0, 100)]),
        Basket([Line("a", "fruit", 1, -1)]),
        Basket([Line("a\0", "fruit", 1, 100)]),
        Basket([Line("a", "f" * 65, 1, 100)]),
        Basket([APPLE] * 251),
        Basket([APPLE], shipping_fen=-1),
        Basket([Line("a", "fruit", 10**6, 2**50)]),
    ],
)
def test_a_basket_that_cannot_be_is_refused(basket: Basket) -> None:
    with pytest.raises(InvalidInput):
        discount(terms(Kind.FIXED, 500), basket)


def relative(wait: int, days: int) -> Template:
    return Template(
        validity=Validity.RELATIVE,
        wait_days=wait,
        valid_days=days,
        return_policy=ReturnPolicy.NEVER,
    )


def test_the_day_of_the_claim_is_day_one() -> None:
    claimed = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)  # 14:00 in Shanghai
    assert validity_window(relative(0, 7), at=claimed, zone="Asia/Shanghai") == (
        claimed,
        datetime(2026, 3, 7, 16, 0, tzinfo=UTC),
    )
    late = datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC)  # one second before midnight there
    assert validity_window(relative(0, 1), at=late, zone="Asia/Shanghai")[1] == datetime(
        2026, 3, 1, 16, 0, tzinfo=UTC
    )


def test_waiting_days_begin_at_local_midnight() -> None:
    claimed = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
    assert validity_window(relative(1, 7), at=claimed, zone="Asia/Shanghai") == (
        datetime(2026, 3, 1, 16, 0, tzinfo=UTC),
        datetime(2026, 3, 8, 16, 0, tzinfo=UTC),
    )


def test_an_absolute_validity_is_the_same_for_all_until_it_is_over() -> None:
    start, end = datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    fixed = Template(validity=Validity.ABSOLUTE, valid_from=start, valid_until=end)
    before, within = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 6, tzinfo=UTC)
    assert validity_window(fixed, at=before, zone="Asia/Shanghai") == (start, end)
    assert validity_window(fixed, at=within, zone="Asia/Shanghai") == (within, end)
    with pytest.raises(ValidityOver):
        validity_window(fixed, at=end, zone="Asia/Shanghai")


def test_amounts_read_as_yuan() -> None:
    assert [yuan(0), yuan(5), yuan(100), yuan(123456)] == ["0.00", "0.05", "1.00", "1234.56"]
