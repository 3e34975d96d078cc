import re
from collections import Counter
from datetime import timedelta

import pytest

from simulation import GOODS, World
from tests.simulation.reading import START, Facts, run


@pytest.fixture(scope="module")
def facts() -> Facts:
    return run(World(11, 900, START, 4), START + timedelta(days=121, hours=7))


def test_ids_are_unique(facts: Facts) -> None:
    for table, key in (
        ("communities", "key"),
        ("members", "key"),
        ("members", "openid"),
        ("members", "phone"),
        ("leaders", "member"),
        ("orders", "order_no"),
        ("refunds", "refund_no"),
        ("coupon_uses", "order_no"),
        ("events", "event_id"),
    ):
        keys = [row[key] for row in facts[table]]
        assert len(keys) == len(set(keys)) > 0
    lines = Counter((row["order_no"], row["sku"]) for row in facts["order_lines"])
    assert max(lines.values()) == 1


def test_everything_refers_to_what_is_there(facts: Facts) -> None:
    communities = {row["key"] for row in facts["communities"]}
    members = {row["key"]: row for row in facts["members"]}
    leaders = {row["member"]: row["community"] for row in facts["leaders"]}
    orders = {row["order_no"]: row for row in facts["orders"]}

    assert {row["community"] for row in facts["members"]} <= communities
    assert set(leaders) <= set(members)
    for row in orders.values():
        assert leaders[row["leader"]] == row["community"] == members[row["member"]]["community"]
        assert row["placed_at"] > members[row["member"]]["registered_at"]
    assert {row["order_no"] for row in facts["order_lines"]} == set(orders)
    assert all(row["at"] >= members[row["member"]]["registered_at"] for row in facts["events"])
    assert all(
        orders[row["order_no"]]["used_coupon"]
        and orders[row["order_no"]]["discount_fen"] == row["discount_fen"]
        for row in facts["coupon_uses"]
    )


def test_leaders_were_there_before_those_they_lead(facts: Facts) -> None:
    since = {row["member"]: row["since"] for row in facts["leaders"]}
    registered = {row["key"]: row["registered_at"] for row in facts["members"]}

    assert all(since[row["leader"]] <= registered[row["member"]] for row in facts["orders"])


def test_references_hold_block_by_block() -> None:
    known: set[int] = set()
    for block in World(11, 9_000, START, 1).blocks(START + timedelta(days=31)):
        known.update(block.members["key"].tolist() if len(block.members) else ())
        for table, names in ((block.orders, ("member", "leader")), (block.events, ("member",))):
            for name in names if len(table) else ():
                assert set(table[name].tolist()) <= known


def test_money_adds_up_to_the_fen(facts: Facts) -> None:
    paid: Counter[str] = Counter()
    line_paid: dict[tuple[str, str], tuple[int, int]] = {}
    for row in facts["order_lines"]:
        assert row["paid_fen"] > 0
        assert row["quantity"] > 0
        paid[row["order_no"]] += row["paid_fen"]
        line_paid[row["order_no"], row["sku"]] = (row["quantity"], row["paid_fen"])
    for row in facts["orders"]:
        assert paid[row["order_no"]] == row["paid_fen"]
        assert (row["discount_fen"] > 0) == row["used_coupon"]
    for row in facts["refunds"]:
        quantity, amount = line_paid[row["order_no"], row["sku"]]
        assert 0 < row["amount_fen"] <= amount
        assert 0 < row["quantity"] <= quantity


def test_nothing_happens_before_what_it_follows(facts: Facts) -> None:
    orders = {row["order_no"]: row for row in facts["orders"]}
    for row in orders.values():
        steps = [row[name] for name in ("placed_at", "paid_at", "delivered_at", "settled_at")]
        seen = [at for at in steps if at is not None]
        assert seen == sorted(seen)
        if row["is_late"] and row["delivered_at"]:
            assert row["delivered_at"] > row["promised_at"]
        if row["cancelled_at"]:
            assert row["cancelled_at"] > row["placed_at"]
            assert row["settled_at"] is None
    for row in facts["refunds"]:
        order = orders[row["order_no"]]
        if order["status"] == "CANCELLED":
            assert row["at"] == order["cancelled_at"]
            assert order["paid_at"] is not None
        else:
            assert order["settled_at"] <= row["at"] < order["settled_at"] + timedelta(days=7)


def test_identities_belong_to_nobody(facts: Facts) -> None:
    for row in facts["members"]:
        assert row["openid"] == f"sim-11-{row['key']}"
        assert re.fullmatch(r"\+8610000\d{6}", row["phone"])
        assert 1 <= len(row["nickname"]) <= 12
        if row["birthday_calendar"] == "LUNAR":
            assert 1 <= row["birthday_day"] <= 30
        assert (row["birthday_calendar"] is None) == (row["birthday_month"] is None)


def test_goods_are_sold_in_their_season_only(facts: Facts) -> None:
    months = {goods.sku: goods.months for goods in GOODS}
    placed = {row["order_no"]: row["placed_at"] for row in facts["orders"]}
    for row in facts["order_lines"]:
        at = placed[row["order_no"]] + timedelta(hours=8)
        # The offer changes by the week, so a week may begin or end a season within three days.
        near = {(at + timedelta(days=days)).month for days in (-3, 0, 3)}
        assert near & months[row["sku"]]
