"""Prices: against a plain reckoning that tries every allowed combination, and what always holds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from app.coupons import (
    Basket,
    BelowThreshold,
    CannotCombine,
    Kind,
    Line,
    NothingInScope,
    Offer,
    PointsUse,
    Pricing,
    Stage,
    Terms,
    best_price,
    explain,
    may_meet,
    price,
    replay,
)
from tests.coupons import oracle

DAY = datetime(2026, 3, 18, tzinfo=UTC)
SKUS, CATEGORIES = ("a", "b", "c"), ("fruit", "milk")

LINES = st.lists(
    st.builds(
        Line,
        sku=st.sampled_from(SKUS),
        category=st.sampled_from(CATEGORIES),
        quantity=st.integers(1, 4),
        unit_fen=st.integers(0, 5_000),
    ),
    min_size=1,
    max_size=4,
)
BASKETS = st.builds(Basket, LINES, st.integers(0, 1_500))


@st.composite
def offers(draw: st.DrawFn, most: int = 5) -> list[Offer]:
    made: list[Offer] = []
    for number in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(Kind))
        value = draw(st.integers(1, 100 if kind is Kind.PERCENT else 4_000))
        skus = draw(st.sets(st.sampled_from(SKUS), max_size=2))
        categories = draw(st.sets(st.sampled_from(CATEGORIES), max_size=1))
        if kind is Kind.EXCHANGE_PRICE:
            skus, categories = {draw(st.sampled_from(SKUS))}, set()
        if kind is Kind.CATEGORY:
            categories = categories or {"fruit"}
        made.append(
            Offer(
                coupon_id=UUID(int=number + 1),
                terms=Terms(
                    kind=kind,
                    value=value,
                    threshold_fen=draw(st.sampled_from([0, 0, 1_000, 5_000, 9_900])),
                    max_discount_fen=draw(st.integers(1, 4_000)),
                    skus=frozenset(skus),
                    categories=frozenset(categories),
                ),
                expires_at=DAY + timedelta(days=draw(st.integers(1, 3))),
                group=draw(st.sampled_from([None, None, "shop", "brand"])),
                exclusive=draw(st.integers(0, 4)) == 0,
                priority=draw(st.integers(0, 2)),
            )
        )
    return made


@settings(max_examples=400, deadline=None)
@given(basket=BASKETS, candidates=offers())
def test_the_best_is_what_trying_everything_finds(basket: Basket, candidates: list[Offer]) -> None:
    found = best_price(basket, candidates)
    saved, ids = oracle.best(basket, candidates)
    assert found.complete
    assert (found.saved_fen, {offer.coupon_id for offer in found.offers}) == (saved, ids)
    assert may_meet(found.offers)
    told = {offer.coupon_id for offer, _ in found.left_out}
    assert told == {offer.coupon_id for offer in candidates} - ids


POINTS = st.none() | st.builds(
    PointsUse,
    asked=st.integers(0, 20_000),
    balance=st.integers(0, 20_000),
    per_yuan=st.sampled_from([10, 100, 130]),
    most_percent=st.integers(0, 100),
)


def check(found: Pricing) -> None:
    """What holds of every price."""
    basket = found.basket
    for step in found.steps:
        assert step.fen > 0
        assert step.fen == sum(step.shares) + step.shipping_fen
        assert all(share >= 0 for share in step.shares)
    for offer in found.offers:
        step = found.step_of(offer.coupon_id)
        if step is not None:
            assert step.fen <= offer.terms.max_discount_fen
            assert step.base_fen >= offer.terms.threshold_fen
            for line, share in zip(basket.lines, step.shares, strict=True):
                assert share == 0 or offer.terms.covers(line)
    assert all(
        0 <= left <= line.total_fen
        for left, line in zip(found.payable_lines, basket.lines, strict=True)
    )
    assert 0 <= found.payable_shipping_fen <= basket.shipping_fen
    off = sum(step.fen for step in found.steps)
    assert found.payable_fen == found.subtotal_fen + basket.shipping_fen - off


@settings(max_examples=300, deadline=None)
@given(basket=BASKETS, candidates=offers(), points=POINTS)
def test_sums_are_exact_nothing_is_negative_and_the_explanation_reproduces_the_price(
    basket: Basket, candidates: list[Offer], points: PointsUse | None
) -> None:
    found = best_price(basket, candidates, points=points)
    check(found)
    told = explain(found)
    again = replay(told)
    assert explain(again) == told
    check(price(basket, candidates, points=points))
    if points is not None:
        used = sum(step.points for step in found.steps)
        assert used <= min(points.asked, points.balance)
        paid = sum(step.fen for step in found.steps if step.stage is Stage.POINTS)
        assert paid <= sum(line.total_fen for line in basket.lines) * points.most_percent // 100


@settings(max_examples=200, deadline=None)
@given(basket=BASKETS, candidates=offers(4), more=offers(1))
def test_one_more_coupon_never_makes_it_dearer(
    basket: Basket, candidates: list[Offer], more: list[Offer]
) -> None:
    before = best_price(basket, candidates).saved_fen
    extra = [replace(offer, coupon_id=UUID(int=99)) for offer in more]
    assert best_price(basket, [*candidates, *extra]).saved_fen >= before


@settings(max_examples=200, deadline=None)
@given(basket=BASKETS, candidates=offers(1), cap=st.integers(1, 2_000))
def test_a_single_coupon_grows_with_its_cap_and_its_basket(
    basket: Basket, candidates: list[Offer], cap: int
) -> None:
    for offer in candidates:
        saved = price(basket, [offer]).saved_fen
        wider = replace(offer.terms, max_discount_fen=offer.terms.max_discount_fen + cap)
        assert price(basket, [replace(offer, terms=wider)]).saved_fen >= saved
        fuller = replace(basket, lines=[*basket.lines, Line("a", "fruit", 1, cap)])
        assert price(fuller, [offer]).saved_fen >= saved


def offer(number: int, kind: Kind, value: int, **more: object) -> Offer:
    known = {"threshold_fen": 0, "max_discount_fen": 10**6, "skus": (), "categories": ()}
    terms = {name: more.pop(name, default) for name, default in known.items()}
    days = more.pop("days", 7)
    assert isinstance(days, int)
    return Offer(
        coupon_id=UUID(int=number),
        terms=Terms(
            kind=kind,
            value=value,
            threshold_fen=terms["threshold_fen"],
            max_discount_fen=terms["max_discount_fen"],
            skus=frozenset(terms["skus"]),
            categories=frozenset(terms["categories"]),
        ),
        expires_at=DAY + timedelta(days=days),
        **more,
    )


CART = Basket([Line("apple", "fruit", 2, 3_000), Line("milk", "milk", 1, 4_000)], 600)


def test_the_stages_work_on_what_the_ones_before_have_left() -> None:
    found = price(
        CART,
        [
            offer(1, Kind.FIXED, 1_000, threshold_fen=9_000),
            offer(2, Kind.CATEGORY, 600, categories=["fruit"]),
            offer(3, Kind.PERCENT, 10, skus=["milk"]),
            offer(4, Kind.SHIPPING, 500),
        ],
        points=PointsUse(asked=500, balance=300),
    )
    told = [(step.stage.value, step.base_fen, step.fen, step.shares) for step in found.steps]
    assert told == [
        ("ITEM", 4_000, 400, (0, 400)),
        ("CATEGORY", 6_000, 600, (600, 0)),
        ("ORDER", 9_000, 1_000, (600, 400)),
        ("SHIPPING", 8_000, 500, (0, 0)),
        ("POINTS", 8_000, 300, (180, 120)),
    ]
    assert (found.payable_lines, found.payable_shipping_fen) == ((4_620, 3_080), 100)
    assert found.payable_fen == 7_800


def test_the_order_s_threshold_is_asked_of_what_earlier_discounts_left() -> None:
    found = price(
        CART,
        [
            offer(1, Kind.FIXED, 1_000, threshold_fen=9_900),
            offer(2, Kind.CATEGORY, 200, categories=["fruit"]),
        ],
    )
    assert [step.coupon_id for step in found.steps] == [UUID(int=2)]
    refusal = found.refusal_of(UUID(int=1))
    assert isinstance(refusal, BelowThreshold)
    assert refusal.facts == {"missing": "1.00"}
    assert best_price(CART, found.offers).saved_fen == 1_000, "better without the other"


def test_an_exchanged_unit_is_out_of_thresholds_and_points() -> None:
    one_yuan = offer(1, Kind.EXCHANGE_PRICE, 100, skus=["milk"], max_discount_fen=5_000)
    found = price(
        CART,
        [one_yuan, offer(2, Kind.FIXED, 500, threshold_fen=6_001)],
        points=PointsUse(asked=10_000, balance=10_000),
    )
    assert isinstance(found.refusal_of(UUID(int=2)), BelowThreshold)
    assert found.payable_lines == (3_000, 100)
    assert found.steps[-1].points == 3_000


def test_of_exclusives_the_best_wins_and_ties_go_to_the_soonest_expiry() -> None:
    small = offer(1, Kind.FIXED, 500, exclusive=True, days=1)
    late = offer(2, Kind.FIXED, 900, exclusive=True, days=9)
    soon = offer(3, Kind.FIXED, 900, exclusive=True, days=3)
    found = best_price(CART, [small, late, soon])
    assert [one.coupon_id for one in found.offers] == [UUID(int=3)]
    assert {type(why) for _, why in found.left_out} == {CannotCombine}


def test_fen_that_cannot_be_split_go_to_the_largest_remainders() -> None:
    cart = Basket([Line(sku, "x", 1, fen) for sku, fen in (("a", 1), ("b", 1), ("c", 1))])
    assert price(cart, [offer(1, Kind.FIXED, 2)]).payable_lines == (0, 0, 1)


def test_a_coupon_for_something_else_says_so() -> None:
    found = best_price(CART, [offer(1, Kind.FIXED, 500, skus=["bread"])])
    assert found.offers == ()
    assert isinstance(found.refusal_of(UUID(int=1)), NothingInScope)


def test_many_coupons_are_chosen_from_in_bounded_work() -> None:
    many = [offer(number, Kind.PERCENT, 10 + number % 7, days=number) for number in range(1, 40)]
    found = best_price(CART, many)
    assert found.saved_fen >= price(CART, many[:5]).saved_fen
    check(found)


def test_many_coupons_on_a_full_basket_cost_no_more_than_some_hundred_prices() -> None:
    lines = [Line(f"sku-{number}", "", 1, 1_000) for number in range(250)]
    basket = Basket(lines)
    # Each asks for nearly everything, so that they are in each other's way.
    many = [
        offer(number, Kind.FIXED, 500 + number, threshold_fen=250_000 - number % 7 * 500)
        for number in range(1, 31)
    ]
    begun = process_time()
    price(basket, many)
    once = process_time()
    found = best_price(basket, many)
    took = process_time() - once
    assert found.saved_fen > 0
    assert not found.complete
    assert took < 500 * (once - begun)
