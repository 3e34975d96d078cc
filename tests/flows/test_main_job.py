"""The main job on real orders: import, stages, tiers, model, then home, alerts and a drop."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import ROOT, House
from tests.make.examples import operation

LINES = "online_retail_ii_lines.parquet"
AS_OF = "2011-09-01"
PASSWORD = "a long enough password"
PHONE = "+8610000654321"

STAFF = """mutation($login: String!, $password: String!) {
  staffLogin(input: {login: $login, password: $password}) {
    ... on StaffSession { session { accessToken } } ... on UserError { code message } } }"""
CODE = """mutation($phone: String!) { requestPhoneCode(input: {phone: $phone}) {
  ... on RequestPhoneCodeSuccess { developmentCode } ... on UserError { code message } } }"""
PHONE_LOGIN = """mutation($phone: String!, $code: String!) {
  loginWithPhone(input: {phone: $phone, code: $code}) {
    ... on MemberSession { session { accessToken } member { id } }
    ... on UserError { code message } } }"""
ALERTS = """{ churnAlerts(first: 20) { nodes {
  probability reasons member { id nickname tier { code } segment { stage } } } } }"""
LINK = """mutation($id: ID!, $phone: String!) {
  linkPhone(input: {memberId: $id, phone: $phone}) {
    ... on LinkPhoneSuccess { member { id } } ... on UserError { code message } } }"""
TEMPLATE = """mutation { createCouponTemplate(input: {
    name: "Welcome back", kind: FIXED, value: 500, thresholdFen: 2000, validDays: 7,
    batch: {quantity: 10}}) {
  ... on CreateCouponTemplateSuccess { batch { id } } ... on UserError { code message } } }"""
DROP = """mutation($batch: ID!, $opens: DateTime!, $closes: DateTime!) {
  createDrop(input: {batchId: $batch, title: "Evening drop", opensAt: $opens, closesAt: $closes,
    stock: 3}) {
  ... on CreateDropSuccess { drop { id state } } ... on UserError { code message } } }"""
OPEN = """mutation($id: ID!) { openDrop(input: {dropId: $id}) {
  ... on OpenDropSuccess { drop { state } } ... on UserError { code message } } }"""
CLAIM = """mutation($id: ID!, $key: String!) {
  claimDrop(input: {dropId: $id, idempotencyKey: $key}) {
    __typename ... on ClaimDropSuccess { drop { remaining } }
    ... on UserError { code message } } }"""
WATCH = """subscription($id: ID!, $after: String) {
  dropUpdated(dropId: $id, after: $after) { cursor drop { state remaining } } }"""
MINE = "subscription { myUpdates { kind cursor } }"


def real_lines() -> Path:
    """The real order lines, or a skip that says where they were looked for."""
    folder = Path(os.environ.get("LINLI_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / LINES).exists():
        pytest.skip(f"the real order lines are not at {folder / LINES}; set LINLI_REAL_DATA")
    return folder / LINES


def slice_of(lines: Path, target: Path) -> tuple[int, int]:
    """Every sixth customer's lines and a share of those without one; how many of each."""
    table = pq.read_table(lines)
    customers = table["customer_id"]
    nobody = pc.is_null(customers)
    sixth = pc.equal(pc.bit_wise_and(pc.cast(customers, pa.int64()), 7), 3)
    first = pa.array(range(table.num_rows))
    keep = pc.or_(pc.fill_null(sixth, False), pc.and_(nobody, pc.less(first, 20_000)))
    chosen = table.filter(keep)
    pq.write_table(chosen, target)
    return chosen.num_rows, int(pc.sum(pc.is_null(chosen["customer_id"])).as_py())


async def token_of(house: House, document: str, field: str, **variables: str) -> str:
    answer = (await house.graphql(document, dict(variables)))[field]
    assert "session" in answer, answer
    return answer["session"]["accessToken"]


async def until(queue: "asyncio.Queue[dict[str, Any]]", wanted: Any, field: str) -> dict[str, Any]:
    """The first arriving update of which `wanted` is true."""
    async with asyncio.timeout(60):
        while True:
            update = (await queue.get())[field]
            if wanted(update):
                return update


@pytest.mark.real
async def test_from_real_orders_to_live_drops_and_churn_alerts(
    house: House, tmp_path: Path
) -> None:
    source = tmp_path / "lines.parquet"
    rows, nobodies = slice_of(real_lines(), source)
    imported = json.loads(
        house.linli(
            "import",
            "orders",
            str(source),
            "--preset",
            "online-retail",
            "--json",
            "--rejects",
            str(tmp_path / "rejects.csv"),
        )
    )
    assert imported["rows"] == rows
    assert imported["rejected"] >= nobodies > 0
    again = json.loads(
        house.linli(
            "import",
            "orders",
            str(source),
            "--preset",
            "online-retail",
            "--json",
            "--rejects",
            str(tmp_path / "rejects.csv"),
        )
    )
    assert again["rows"] == rows
    assert imported["orders"] > 0 < imported["refunds_matched"]
    assert (again["members"], again["orders"], again["lines"], again["refunds"]) == (0, 0, 0, 0)

    stages = json.loads(house.linli("segments", "run", "--as-of", AS_OF, "--json"))
    assert stages["applied"]
    assert stages["members"] == stages["changed"] == imported["members"]
    assert sum(stages["stages"].values()) == imported["members"]
    assert stages["stages"]["CHURNED"] > stages["stages"]["VIP"] > 0
    moves = json.loads(house.linli("tiers", "run", "--month", "2011-09", "--json"))
    assert moves["members"] == imported["members"]
    assert {move["kind"] for move in moves["moves"]} == {"UPGRADE"}
    assert moves["standings"]["GOLD"] > 0
    trained = json.loads(house.linli("train", "--as-of", AS_OF, "--json"))
    assert trained["role"] == "CHAMPION"
    scored = json.loads(house.linli("score", "--as-of", AS_OF, "--json"))
    assert scored["model"] == trained["version"]
    assert 0 < scored["raised"] <= scored["stored"] <= imported["members"]

    house.linli("staff", "create", "owner", "--role", "OWNER", "--password", PASSWORD)
    boss = await token_of(house, STAFF, "staffLogin", login="owner", password=PASSWORD)
    alerts = (await house.graphql(ALERTS, token=boss))["churnAlerts"]["nodes"]
    assert len(alerts) == min(20, scored["raised"])
    assert alerts == sorted(alerts, key=lambda alert: -alert["probability"])
    assert all(0 < alert["probability"] <= 1 and alert["reasons"] for alert in alerts)

    member = alerts[0]["member"]
    linked = await house.graphql(LINK, {"id": member["id"], "phone": PHONE}, boss)
    assert linked["linkPhone"] == {"member": {"id": member["id"]}}
    code = (await house.graphql(CODE, {"phone": PHONE}))["requestPhoneCode"]["developmentCode"]
    me = await token_of(house, PHONE_LOGIN, "loginWithPhone", phone=PHONE, code=code)
    home = await house.graphql(operation("home.graphql", "Home"), token=me)
    assert home["me"]["nickname"] == member["nickname"]
    assert home["me"]["tier"]["code"] == member["tier"]["code"]

    await live_drop(house, boss, me)


async def live_drop(house: House, boss: str, me: str) -> None:
    """A drop is created, opened and claimed while two sockets watch it."""
    batch = (await house.graphql(TEMPLATE, token=boss))["createCouponTemplate"]["batch"]["id"]
    now = datetime.now(UTC)
    when = {
        "opens": (now + timedelta(hours=1)).isoformat(),
        "closes": (now + timedelta(hours=2)).isoformat(),
    }
    made = (await house.graphql(DROP, {"batch": batch, **when}, boss))["createDrop"]["drop"]
    watching = house.subscribe(WATCH, {"id": made["id"]}, me)
    mine = house.subscribe(MINE, {}, me)
    async with watching as drop, mine as updates:
        first = await until(drop, lambda u: True, "dropUpdated")
        assert first["drop"] == {"state": "SCHEDULED", "remaining": 3}
        opened = await house.graphql(OPEN, {"id": made["id"]}, boss)
        assert opened["openDrop"] == {"drop": {"state": "OPEN"}}
        seen = await until(drop, lambda u: u["drop"]["state"] == "OPEN", "dropUpdated")
        key = uuid4().hex
        for _ in range(2):  # the same tap twice
            claimed = await house.graphql(CLAIM, {"id": made["id"], "key": key}, me)
            assert claimed["claimDrop"]["__typename"] == "ClaimDropSuccess", claimed
        other = await house.graphql(CLAIM, {"id": made["id"], "key": uuid4().hex}, me)
        assert other["claimDrop"]["code"] == "ALREADY_CLAIMED"
        after = await until(drop, lambda u: u["drop"]["remaining"] == 2, "dropUpdated")
        await until(updates, lambda u: u["kind"] == "coupon.granted", "myUpdates")
    resumed = house.subscribe(WATCH, {"id": made["id"], "after": seen["cursor"]}, me)
    async with resumed as drop:
        missed = await until(drop, lambda u: u["drop"]["remaining"] == 2, "dropUpdated")
        assert missed["cursor"] == after["cursor"]
