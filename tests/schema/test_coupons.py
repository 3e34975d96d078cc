"""Coupons over GraphQL, with the documents that clients send."""

from typing import Any
from uuid import uuid4

from app import coupons
from app.kernel.auth import MemberCaller, Role, StaffCaller
from tests.conftest import Api
from tests.make import coupons as make
from tests.make.examples import operation
from tests.make.members import member

CREATE = operation("create-drop.graphql", "CreateCouponTemplate")
MINE = operation("redeem-coupon.graphql", "MyCoupons")
REDEEM = operation("redeem-coupon.graphql", "RedeemCoupon")

FIVE_OFF = {"name": "五元券", "kind": "FIXED", "value": 500, "validDays": 7}
LINES = [{"sku": "apple", "category": "fruit", "quantity": 3, "unitFen": 333}]


async def holder(api: Api, count: int = 1) -> tuple[MemberCaller, list[coupons.Coupon]]:
    async with api.resources.database.begin() as tx:
        who = (await member(tx)).id
        rows = [await make.coupon(tx, member_id=who) for _ in range(count)]
    return MemberCaller(who, uuid4()), rows


async def redeem(api: Api, caller: MemberCaller, given: dict[str, Any]) -> dict[str, Any]:
    answer = await api(REDEEM, {"input": given}, caller=caller)
    return answer["data"]["redeemCoupon"]


async def test_staff_make_a_template_with_an_active_batch_once_a_key(
    api: Api, owner: StaffCaller
) -> None:
    given = FIVE_OFF | {"batch": {"quantity": 30}, "idempotencyKey": "one"}
    first = (await api(CREATE, {"input": given}, caller=owner))["data"]["createCouponTemplate"]
    assert first["template"]["name"] == "五元券"
    assert first["batch"] | {"id": None} == {
        "id": None,
        "quantity": 30,
        "budgetFen": 15_000,
        "status": "ACTIVE",
    }
    again = (await api(CREATE, {"input": given}, caller=owner))["data"]["createCouponTemplate"]
    assert again == first
    other = given | {"value": 600}
    reused = (await api(CREATE, {"input": other}, caller=owner))["data"]["createCouponTemplate"]
    assert reused["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_bad_template_says_which_field_and_why(api: Api, owner: StaffCaller) -> None:
    given = FIVE_OFF | {"validDays": 30}
    answer = await api(CREATE, {"input": given}, caller=owner, locale="zh-CN")
    assert answer["data"]["createCouponTemplate"] == {
        "code": "INVALID_INPUT",
        "message": "“validityReason”不符合要求：有效期不在7至14天之内时须说明理由",
    }


async def test_only_campaign_managers_make_templates(api: Api) -> None:
    caller, _ = await holder(api)
    analyst = StaffCaller(uuid4(), uuid4(), Role.ANALYST)
    for who in (caller, analyst):
        answer = await api(CREATE, {"input": FIVE_OFF}, caller=who)
        assert answer["data"]["createCouponTemplate"]["code"] == "NOT_ALLOWED"


async def test_members_page_through_their_coupons(api: Api) -> None:
    caller, rows = await holder(api, 3)
    document = """query($after: String) { me { coupons(first: 2, after: $after) {
      nodes { code } pageInfo { hasNextPage endCursor } } } }"""
    first = (await api(document, caller=caller))["data"]["me"]["coupons"]
    assert first["pageInfo"]["hasNextPage"]
    after = {"after": first["pageInfo"]["endCursor"]}
    rest = (await api(document, after, caller=caller))["data"]["me"]["coupons"]
    assert not rest["pageInfo"]["hasNextPage"]
    codes = [node["code"] for node in first["nodes"] + rest["nodes"]]
    assert sorted(codes) == sorted(str(row.code) for row in rows)
    wrong = await api(document, {"after": "nonsense"}, caller=caller)
    assert wrong["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def test_a_coupon_is_redeemed_and_explained_once_a_key(api: Api) -> None:
    caller, _ = await holder(api)
    mine = (await api(MINE, caller=caller))["data"]["me"]["coupons"]["nodes"]
    given = {
        "couponId": mine[0]["id"],
        "orderRef": "A-1",
        "lines": LINES,
        "idempotencyKey": "tap",
    }
    first = await redeem(api, caller, given)
    assert first["discountFen"] == 500
    assert first["coupon"]["status"] == "REDEEMED"
    assert first["coupon"]["redemption"]["explanation"]["lines"][0]["discount_fen"] == 500
    assert await redeem(api, caller, given) == first
    again = await redeem(api, caller, given | {"idempotencyKey": "another tap"})
    assert again == {
        "code": "COUPON_NOT_USABLE",
        "message": "The coupon cannot be used now: it is REDEEMED.",
    }
    assert (await api(MINE, caller=caller))["data"]["me"]["coupons"]["nodes"] == []


async def test_nobody_redeems_or_fetches_another_s_coupon(api: Api, owner: StaffCaller) -> None:
    caller, rows = await holder(api)
    stranger, _ = await holder(api)
    mine = (await api(MINE, caller=caller))["data"]["me"]["coupons"]["nodes"]
    given = {
        "couponId": mine[0]["id"],
        "orderRef": "A-1",
        "lines": LINES,
        "idempotencyKey": "tap",
    }
    assert (await redeem(api, stranger, given))["code"] == "COUPON_NOT_FOUND"
    fetch = "query($id: ID!) { node(id: $id) { ... on Coupon { code } } }"
    own = await api(fetch, {"id": mine[0]["id"]}, caller=caller)
    assert own["data"]["node"] == {"code": rows[0].code}
    for who in (stranger, owner):
        other = await api(fetch, {"id": mine[0]["id"]}, caller=who)
        assert other["data"]["node"] is None
