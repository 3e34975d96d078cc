"""Prices, reservations, codes and batches over GraphQL."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from app import coupons, points
from app.kernel.auth import MemberCaller, Role, StaffCaller
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.make import coupons as make
from tests.make import points as make_points
from tests.make.members import member

LINES = [{"sku": "apple", "category": "fruit", "quantity": 3, "unitFen": 333}]
PRICE = """query($basket: BasketInput!, $ids: [ID!], $points: Points! = 0) {
  priceBasket(basket: $basket, couponIds: $ids, points: $points) {
    subtotalFen savedFen pointsFen payableShippingFen payableFen isBest explanation
    lines { sku payableFen }
    steps { stage discountFen shares shippingFen points couponId }
    leftOut { code message couponId } } }"""
ERROR = "... on UserError { code message }"
RESERVE = f"""mutation($input: ReserveCouponInput!) {{ reserveCoupon(input: $input) {{
  ... on ReserveCouponSuccess {{ discountFen reservedUntil
    coupon {{ status reservedFor reservedUntil }} }} {ERROR} }} }}"""
RELEASE = f"""mutation($input: ReleaseCouponInput!) {{ releaseCoupon(input: $input) {{
  ... on ReleaseCouponSuccess {{ coupon {{ status reservedFor }} }} {ERROR} }} }}"""
CODE = f"""mutation($input: RedeemCodeInput!) {{ redeemCode(input: $input) {{
  ... on RedeemCodeSuccess {{ coupon {{ id status template {{ name }} }} }} {ERROR} }} }}"""
CREATE = f"""mutation($input: CreateCouponBatchInput!) {{ createCouponBatch(input: $input) {{
  ... on CreateCouponBatchSuccess {{ batch {{ id status codeMode quantity budgetFen }} }}
  {ERROR} }} }}"""
APPROVE = f"""mutation($input: ApproveCouponBatchInput!) {{ approveCouponBatch(input: $input) {{
  ... on ApproveCouponBatchSuccess {{ codes batch {{ status }} }} {ERROR} }} }}"""
MOVE = f"""mutation($input: MoveCouponBatchInput!) {{ moveCouponBatch(input: $input) {{
  ... on MoveCouponBatchSuccess {{ batch {{ status }} }} {ERROR} }} }}"""


async def holder(api: Api, *templates: dict[str, Any]) -> tuple[MemberCaller, list[str]]:
    async with api.resources.database.begin() as tx:
        who = (await member(tx)).id
        ids: list[str] = []
        for template in templates:
            made = await make.template(tx, **template)
            batch = await make.batch(tx, template_id=made.id)
            coupon = await make.coupon(tx, member_id=who, batch_id=batch.id)
            ids.append(global_id("Coupon", coupon.id))
    return MemberCaller(who, uuid4()), ids


async def act(api: Api, caller: Any, document: str, **given: Any) -> dict[str, Any]:
    answer = await api(document, {"input": given}, caller=caller)
    [found] = answer["data"].values()
    return found


async def test_a_basket_is_priced_with_the_best_and_says_why_not_the_others(api: Api) -> None:
    caller, ids = await holder(
        api,
        {"value": 300, "stacking_group": "shop"},
        {"value": 500, "stacking_group": "shop"},
        {"value": 900, "threshold_fen": 5_000},
        {"kind": coupons.Kind.SHIPPING, "value": 400},
    )
    async with api.resources.database.begin() as tx:
        await make_points.lot(tx, member_id=caller.id, amount=1_000)
    asked = {"basket": {"lines": LINES, "shippingFen": 600}, "points": 100}
    price = (await api(PRICE, asked, caller=caller))["data"]["priceBasket"]
    assert price["subtotalFen"] == 999
    assert [step["stage"] for step in price["steps"]] == ["ORDER", "SHIPPING", "POINTS"]
    assert (price["savedFen"], price["pointsFen"], price["payableShippingFen"]) == (900, 100, 200)
    assert price["payableFen"] == 999 + 600 - 900 - 100
    assert price["lines"] == [{"sku": "apple", "payableFen": 399}]
    assert price["isBest"]
    assert [step["couponId"] for step in price["steps"]] == [ids[1], ids[3], None]
    why = {item["couponId"]: item["code"] for item in price["leftOut"]}
    assert why == {ids[0]: "CANNOT_COMBINE", ids[2]: "BELOW_THRESHOLD"}
    assert coupons.explain(coupons.replay(price["explanation"])) == price["explanation"]
    one = {"basket": {"lines": LINES}, "ids": [ids[0]]}
    assert (await api(PRICE, one, caller=caller))["data"]["priceBasket"]["savedFen"] == 300
    none = {"basket": {"lines": LINES}, "ids": []}
    assert (await api(PRICE, none, caller=caller))["data"]["priceBasket"]["steps"] == []


async def test_points_in_debt_or_beyond_the_rule_pay_for_nothing_more(api: Api) -> None:
    caller, _ = await holder(api)
    asked = {"basket": {"lines": LINES}, "points": 5_000}
    price = (await api(PRICE, asked, caller=caller))["data"]["priceBasket"]
    assert price["pointsFen"] == 0
    async with api.resources.database.begin() as tx:
        await make_points.lot(tx, member_id=caller.id, amount=5_000)
    price = (await api(PRICE, asked, caller=caller))["data"]["priceBasket"]
    assert (price["pointsFen"], price["steps"][0]["points"]) == (499, 499), "half of the goods"
    async with api.resources.database.read() as read:
        held = (await points.balances_by_member(read, [caller.id]))[caller.id].points
    assert held.balance == 5_000, "nothing was taken"


async def test_another_s_coupon_and_negative_points_are_refused(api: Api) -> None:
    caller, _ = await holder(api)
    _, others = await holder(api, {})
    asked = {"basket": {"lines": LINES}, "ids": others}
    answer = await api(PRICE, asked, caller=caller)
    assert answer["errors"][0]["extensions"]["code"] == "COUPON_NOT_FOUND"
    answer = await api(PRICE, {"basket": {"lines": LINES}, "points": -1}, caller=caller)
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def test_a_coupon_is_held_and_let_go(api: Api, clock: TestClock) -> None:
    caller, [coupon] = await holder(api, {})
    given = {"couponId": coupon, "orderRef": "A-1", "lines": LINES, "idempotencyKey": "1"}
    held = await act(api, caller, RESERVE, **given)
    until = (clock.now + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
    assert held == {
        "discountFen": 500,
        "reservedUntil": until,
        "coupon": {"status": "RESERVED", "reservedFor": "A-1", "reservedUntil": until},
    }
    clock.advance(minutes=10)
    assert await act(api, caller, RESERVE, **given) == held
    other = given | {"orderRef": "A-2", "idempotencyKey": "2"}
    assert (await act(api, caller, RESERVE, **other))["code"] == "COUPON_NOT_USABLE"
    free = {"couponId": coupon, "orderRef": "A-1", "idempotencyKey": "3"}
    let_go = {"coupon": {"status": "ACTIVE", "reservedFor": None}}
    assert await act(api, caller, RELEASE, **free) == let_go
    assert await act(api, caller, RELEASE, **free) == let_go
    again = free | {"idempotencyKey": "4"}
    assert (await act(api, caller, RELEASE, **again))["code"] == "COUPON_NOT_RESERVED"
    many = given | {"holdMinutes": 2**31 - 1, "idempotencyKey": "5"}
    assert (await act(api, caller, RESERVE, **many))["code"] == "INVALID_INPUT"


async def test_staff_make_approve_and_move_a_batch_whose_codes_members_enter(
    api: Api, owner: StaffCaller
) -> None:
    async with api.resources.database.begin() as tx:
        template = global_id("CouponTemplate", (await make.template(tx)).id)
    given = {
        "templateId": template,
        "quantity": 4,
        "codeMode": "BULK",
        "idempotencyKey": "make",
    }
    made = (await act(api, owner, CREATE, **given))["batch"]
    assert made | {"id": ""} == {
        "id": "",
        "status": "DRAFT",
        "codeMode": "BULK",
        "quantity": 4,
        "budgetFen": 2_000,
    }
    assert (await act(api, owner, CREATE, **given))["batch"] == made
    approve = {"batchId": made["id"], "idempotencyKey": "yes"}
    for _ in range(2):
        answer = await act(api, owner, APPROVE, **approve)
        assert answer == {"codes": 4, "batch": {"status": "APPROVED"}}
    move = {"batchId": made["id"], "to": "ACTIVE", "reason": "开抢", "idempotencyKey": "go"}
    assert (await act(api, owner, MOVE, **move)) == {"batch": {"status": "ACTIVE"}}
    bad = move | {"idempotencyKey": "again"}
    assert (await act(api, owner, MOVE, **bad))["code"] == "BATCH_MOVE_NOT_ALLOWED"
    long = move | {"idempotencyKey": "long", "reason": "x" * 201}
    assert (await act(api, owner, MOVE, **long))["code"] == "INVALID_INPUT"
    async with api.resources.database.read() as read:
        batch = (await coupons.newest_batches(read, after=None, first=1))[0]
        codes = [code async for page in coupons.codes_of(read, batch.id) for code, _ in page]
    caller, _ = await holder(api)
    enter = {"code": codes[0].lower(), "idempotencyKey": "tap"}
    got = await act(api, caller, CODE, **enter)
    assert got["coupon"]["status"] == "ACTIVE"
    assert await act(api, caller, CODE, **enter) == got
    other = {"code": codes[1], "idempotencyKey": "tap"}
    assert (await act(api, caller, CODE, **other))["code"] == "IDEMPOTENCY_KEY_REUSED"
    late = {"code": codes[0], "idempotencyKey": "tap 2"}
    assert (await act(api, caller, CODE, **late))["code"] == "CODE_TAKEN"


async def test_moves_are_audited_with_before_and_after(api: Api, owner: StaffCaller) -> None:
    async with api.resources.database.begin() as tx:
        batch = global_id("CouponBatch", (await make.batch(tx)).id)
    await act(api, owner, MOVE, batchId=batch, to="PAUSED", reason="台风", idempotencyKey="p")
    log = "{ auditLog(first: 1) { nodes { action before after given } } }"
    [entry] = (await api(log, caller=owner))["data"]["auditLog"]["nodes"]
    assert entry["action"] == "moveCouponBatch"
    assert (entry["before"], entry["after"]) == ({"state": "ACTIVE"}, {"state": "PAUSED"})
    assert entry["given"]["reason"] == "台风"


async def test_only_campaign_managers_touch_batches(api: Api) -> None:
    analyst = StaffCaller(uuid4(), uuid4(), Role.ANALYST)
    given = {"batchId": global_id("CouponBatch", uuid4()), "idempotencyKey": "1"}
    assert (await act(api, analyst, APPROVE, **given))["code"] == "NOT_ALLOWED"
    manager = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)
    assert (await act(api, manager, APPROVE, **given))["code"] == "BATCH_NOT_FOUND"


async def test_the_office_pages_through_templates_and_batches(api: Api, owner: StaffCaller) -> None:
    keys: list[UUID] = []
    async with api.resources.database.begin() as tx:
        await coupons.ensure_offers(tx)
        keys = [(await make.batch(tx)).id for _ in range(3)]
    document = """query($a: String, $b: String) {
      couponTemplates(first: 2, after: $a) { nodes { readyKey } pageInfo { endCursor } }
      couponBatches(first: 2, after: $b, status: ACTIVE) { nodes { id }
        pageInfo { endCursor hasNextPage } } }"""
    first = (await api(document, caller=owner))["data"]
    after = first["couponBatches"]["pageInfo"]["endCursor"]
    rest = (await api(document, {"b": after}, caller=owner))["data"]
    ids = [node["id"] for part in (first, rest) for node in part["couponBatches"]["nodes"]]
    assert ids == [global_id("CouponBatch", key) for key in sorted(keys, reverse=True)]
