"""Facts of a world as lists of rows, and what a shorter run would have shown of them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from simulation import Block, Table, World

Row = dict[str, Any]
Facts = dict[str, list[Row]]

START = datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
INSTANT = {
    "communities": "opened_at",
    "members": "registered_at",
    "leaders": "since",
    "orders": "placed_at",
    "refunds": "at",
    "coupon_uses": "at",
    "events": "at",
}


def rows_of(table: Table) -> Iterator[Row]:
    names = list(table.columns)
    return (dict(zip(names, row, strict=True)) for row in table.rows())


def facts_of(blocks: Iterator[Block]) -> Facts:
    found: Facts = {name: [] for name in (*INSTANT, "order_lines", "order_updates")}
    for block in blocks:
        for name, table in block.tables():
            found[name].extend(rows_of(table))
    return found


def run(world: World, until: datetime, since: datetime | None = None) -> Facts:
    return facts_of(world.blocks(until, since))


def unordered(facts: Facts) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in facts.items()}


def cut(facts: Facts, until: datetime) -> Facts:
    """What was known at `until`, worked out row by row from later facts."""
    shown = {name: [row for row in facts[name] if row[at] < until] for name, at in INSTANT.items()}
    back: dict[str, int] = {}
    for row in shown["refunds"]:
        back[row["order_no"]] = back.get(row["order_no"], 0) + row["amount_fen"]
    shown["orders"] = [_known(row, until, back) for row in shown["orders"]]
    placed = {row["order_no"] for row in shown["orders"]}
    shown["order_lines"] = [row for row in facts["order_lines"] if row["order_no"] in placed]
    shown["order_updates"] = []
    return shown


def merged(older: Facts, newer: Facts) -> Facts:
    """A continued run: new rows are added, changed orders replaced."""
    changed = {row["order_no"]: row for row in newer["order_updates"]}
    whole = {name: older[name] + newer[name] for name in older if name != "order_updates"}
    whole["orders"] = [changed.get(row["order_no"], row) for row in whole["orders"]]
    whole["order_updates"] = []
    return whole


def _known(order: Row, until: datetime, back: dict[str, int]) -> Row:
    row = dict(order)
    late = order["is_late"] and order["promised_at"] < until
    spoiled = order["is_spoiled"] and order["settled_at"] < until
    for name in ("paid_at", "cancelled_at", "delivered_at", "settled_at", "complained_at"):
        if row[name] is not None and row[name] >= until:
            row[name] = None
    row.update(is_late=late, is_spoiled=spoiled, has_complaint=row["complained_at"] is not None)
    row["status"] = _status(row, back.get(row["order_no"], 0))
    return row


def _status(row: Row, refunded: int) -> str:
    if row["cancelled_at"]:
        return "CANCELLED"
    if refunded:
        return "REFUNDED" if refunded == row["paid_fen"] else "PARTLY_REFUNDED"
    if row["settled_at"]:
        return "SETTLED"
    return "PAID" if row["paid_at"] else "PLACED"
