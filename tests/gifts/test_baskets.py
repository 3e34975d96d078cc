"""A basket with one-yuan gifts: they are priced beside it, and everything adds up."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import coupons, gifts
from app.coupons import Basket, Line
from app.gifts import GIFT_PRICE_FEN, set_apart
from app.kernel.auth import MemberCaller
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import coupons as make_coupons
from tests.make import gifts as make
from tests.make import points as make_points
from tests.make.members import member

ERROR = "... on UserError { code message }"
PRICE = """query($basket: BasketInput!, $points: Points! = 0) {
  priceBasket(basket: $basket, points: $points) {
    subtotalFen savedFen pointsFen giftsFen payableShippingFen payableFen explanation
    lines { sku quantity payableFen } gifts { holdId sku unitFen payableFen }
    steps { stage baseFen discountFen points } leftOut { code } } }"""
REDEEM = f"""mutation($input: RedeemCouponInput!) {{ redeemCoupon(input: $input) {{
  ... on RedeemCouponSuccess {{ discountFen coupon {{ redemption {{ explanation }} }} }}
  {ERROR} }} }}"""
RESERVE = f"""mutation($input: ReserveCouponInput!) {{ reserveCoupon(input: $input) {{
  ... on ReserveCouponSuccess {{ discountFen }} {ERROR} }} }}"""
EGGS = {"sku": "EGGS", "category": "fresh", "quantity": 1, "unitFen": 1_290}
RICE = {"sku": "RICE", "category": "staple", "quantity": 1, "unitFen": 3_990}


async def shopper(api: Api, threshold: int = 5_000) -> tuple[MemberCaller, str, str]:
    """A member with a held gift of eggs, 5 yuan off from a threshold, and 10,000 points."""
    async with api.resources.database.begin() as tx:
        who = (await member(tx)).id
        offer = await make.offer(tx)
        hold = await gifts.hold_gift(tx, offer_id=offer.id, member_id=who)
        template = await make_coupons.template(tx, threshold_fen=threshold)
        batch = await make_coupons.batch(tx, template_id=template.id)
        coupon = await make_coupons.coupon(tx, member_id=who, batch_id=batch.id)
        await make_points.lot(tx, member_id=who, amount=10_000)
    return (
        MemberCaller(who, uuid4()),
        global_id("GiftHold", hold.id),
        global_id("Coupon", coupon.id),
    )


async def price(api: Api, caller: MemberCaller, *lines: Any, points: int = 0, **basket: Any) -> Any:
    asked = {"basket": {"lines": list(lines), **basket}, "points": points}
    return (await api(PRICE, asked, caller=caller))["data"]["priceBasket"]


async def test_a_held_gift_is_out_of_thresholds_and_points_and_in_what_is_paid(api: Api) -> None:
    caller, hold, _ = await shopper(api)
    found = await price(api, caller, EGGS, RICE, points=10_000, shippingFen=600)
    assert found["lines"] == [{"sku": "RICE", "quantity": 1, "payableFen": 1_995}]
    assert found["gifts"] == [{"holdId": hold, "sku": "EGGS", "unitFen": 1_290, "payableFen": 100}]
    # Without the eggs the rice is under the coupon's threshold, and points pay for half of it.
    assert [item["code"] for item in found["leftOut"]] == ["BELOW_THRESHOLD"]
    assert found["steps"] == [
        {"stage": "POINTS", "baseFen": 3_990, "discountFen": 1_995, "points": 1_995}
    ]
    assert (found["subtotalFen"], found["giftsFen"]) == (3_990, 100)
    assert found["payableFen"] == 1_995 + 600 + 100
    told = found["explanation"]
    assert told["payable_fen"] == found["payableFen"]
    assert coupons.explain(coupons.replay(told)) == told


async def test_who_wants_no_gift_pays_for_a_usual_unit(api: Api) -> None:
    caller, hold, _ = await shopper(api)
    found = await price(api, caller, EGGS, RICE, giftHoldIds=[])
    assert (found["giftsFen"], found["savedFen"]) == (0, 500)
    assert found["payableFen"] == 1_290 + 3_990 - 500
    named = await price(api, caller, {**EGGS, "quantity": 2}, RICE, giftHoldIds=[hold])
    assert (named["giftsFen"], named["savedFen"]) == (100, 500)
    assert named["payableFen"] == 1_290 + 3_990 - 500 + 100


async def test_a_unit_at_the_gift_s_own_price_is_the_gift(api: Api) -> None:
    caller, _, _ = await shopper(api)
    found = await price(api, caller, EGGS, {**EGGS, "unitFen": GIFT_PRICE_FEN})
    assert found["lines"] == [{"sku": "EGGS", "quantity": 1, "payableFen": 1_290}]
    assert found["payableFen"] == 1_290 + 100


async def test_a_gift_alone_is_a_basket(api: Api) -> None:
    caller, _, _ = await shopper(api)
    found = await price(api, caller, EGGS, points=500)
    assert (found["lines"], found["steps"], found["payableFen"]) == ([], [], 100)


@pytest.mark.parametrize(
    ("lines", "ended", "code"),
    [([RICE], False, "INVALID_INPUT"), ([EGGS], True, "HOLD_NOT_USABLE")],
)
async def test_a_gift_that_cannot_be_is_refused_where_it_is_named(
    api: Api, clock: TestClock, lines: list[Any], ended: bool, code: str
) -> None:
    caller, hold, _ = await shopper(api)
    if ended:
        clock.advance(hours=24)
    asked = {"basket": {"lines": lines, "giftHoldIds": [hold]}}
    answer = await api(PRICE, asked, caller=caller)
    assert answer["errors"][0]["extensions"]["code"] == code
    assert (await price(api, caller, *lines))["giftsFen"] == 0, "left alone where it is not"


async def test_another_s_gift_is_not_found(api: Api) -> None:
    caller, _, _ = await shopper(api)
    _, hold, _ = await shopper(api)
    asked = {"basket": {"lines": [EGGS], "giftHoldIds": [hold]}}
    answer = await api(PRICE, asked, caller=caller)
    assert answer["errors"][0]["extensions"]["code"] == "HOLD_NOT_FOUND"


async def test_coupons_are_held_and_used_on_the_rest_also_once_the_gift_is_taken(api: Api) -> None:
    caller, hold, coupon = await shopper(api)
    given = {"couponId": coupon, "orderRef": "A-1", "lines": [EGGS, RICE]}
    for document, key in ((RESERVE, "1"), (REDEEM, "2")):
        [found] = (await api(document, {"input": {**given, "idempotencyKey": key}}, caller=caller))[
            "data"
        ].values()
        assert found["code"] == "BELOW_THRESHOLD"
    async with api.resources.database.begin() as tx:
        held = (await gifts.hold_pages(tx, [gifts.MemberPage(caller.id, 1)])).popitem()[1][0]
        await gifts.take_gift(tx, hold_id=held.id, member_id=caller.id, order_ref="A-1")
    more = {**given, "lines": [EGGS, {**RICE, "quantity": 2}], "idempotencyKey": "3"}
    [used] = (await api(REDEEM, {"input": more}, caller=caller))["data"].values()
    assert used["discountFen"] == 500
    told = used["coupon"]["redemption"]["explanation"]["pricing"]
    assert told["apart"] == [
        {"ref": str(held.id), "sku": "EGGS", "unit_fen": 1_290, "price_fen": 100}
    ]
    assert told["payable_fen"] == 2 * 3_990 - 500 + 100
    assert global_id("GiftHold", held.id) == hold


LINES = st.lists(
    st.builds(
        Line,
        sku=st.sampled_from(("a", "b")),
        category=st.just("c"),
        quantity=st.integers(1, 3),
        unit_fen=st.integers(0, 300),
    ),
    max_size=4,
)


@given(LINES, st.lists(st.sampled_from(("a", "b", "z")), max_size=5), st.integers(0, 500))
def test_units_apart_and_the_rest_are_the_whole_basket(
    lines: list[Line], skus: list[str], shipping: int
) -> None:
    basket = Basket(lines, shipping)
    for number, sku in enumerate(skus):
        basket = set_apart(basket, sku, ref=str(UUID(int=number)))
    usual = sum(unit.unit_fen for unit in basket.apart)
    assert sum(line.total_fen for line in lines) == usual + sum(
        line.total_fen for line in basket.lines
    )
    found = coupons.price(basket, [], points=coupons.PointsUse(asked=200, balance=150))
    taken = sum(step.fen for step in found.steps)
    gifts_fen = len(basket.apart) * GIFT_PRICE_FEN
    assert found.payable_fen == found.subtotal_fen + shipping - taken + gifts_fen
    assert coupons.explain(coupons.replay(coupons.explain(found))) == coupons.explain(found)
