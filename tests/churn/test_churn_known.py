"""Rows of the tables come to the same facts in whatever order they were read."""

import numpy as np
import pytest

from app.churn.copying import NEVER, Columns
from app.churn.known import Known, Raw, joined

MEMBERS, ORDERS, REFUNDS = 6, 60, 40
NOON = 1_773_806_400


def tables(seed: int) -> Raw:
    """Orders of few members at few instants, so that many are of one second."""
    roll = np.random.default_rng(seed)

    def some(below: int, count: int, kind: type[np.generic] = np.int32) -> np.ndarray:
        return roll.integers(0, below, count).astype(kind)

    def events(kinds: list[int], count: int) -> Columns:
        return {
            "member": some(MEMBERS, count),
            "at": NOON + some(5, count, np.int64),
            "kind": roll.choice(kinds, count).astype(np.int16),
            "seconds": some(3, count),
        }

    paid = roll.random(ORDERS) < 0.9
    gone = np.where(roll.random(ORDERS) < 0.1, NOON + 2, NEVER)
    orders: Columns = {
        "member": some(MEMBERS, ORDERS),
        "at": np.where(paid, NOON + some(4, ORDERS, np.int64), NEVER),
        "gone_at": gone,
        "fen": some(9000, ORDERS, np.int64),
        "discount_fen": some(300, ORDERS, np.int64),
        "tie": roll.permutation(ORDERS).astype(np.uint64),
    }
    owner = np.sort(some(ORDERS, 150))
    lines: Columns = {
        "order": owner,
        "quantity": 1 + some(4, 150),
        "product": some(5, 150),
        "category": some(3, 150),
    }
    named = np.where(roll.random(REFUNDS) < 0.5, some(ORDERS, REFUNDS), -1).astype(np.int32)
    refunds: Columns = {
        "member": np.where(named >= 0, orders["member"][named], some(MEMBERS, REFUNDS)),
        "order": named,
        "at": NOON + some(6, REFUNDS, np.int64),
        "fen": some(50, REFUNDS, np.int64),
        "loose": named < 0,
    }
    return Raw(orders, lines, refunds, events([1, 2], 30), events([11, 14], 30))


def shuffled(raw: Raw, seed: int) -> Raw:
    """The same rows as if they lay otherwise; an order's lines stay together."""
    roll = np.random.default_rng(seed)

    def turn(columns: Columns) -> Columns:
        turned = roll.permutation(len(columns["member"]))
        return {name: column[turned] for name, column in columns.items()}

    turned = roll.permutation(ORDERS)
    place = np.argsort(turned).astype(np.int32)
    orders = {name: column[turned] for name, column in raw.orders.items()}
    lines, refunds = dict(raw.lines), turn(raw.refunds)
    lines["order"] = place[lines["order"]]
    named = refunds["order"] >= 0
    refunds["order"] = np.where(named, place[refunds["order"]], -1).astype(np.int32)
    by_order = np.argsort(lines["order"], kind="stable")
    lines = {name: column[by_order] for name, column in lines.items()}
    return Raw(orders, lines, refunds, turn(raw.told), turn(raw.ours))


def copied(raw: Raw) -> Raw:
    return Raw(*({n: c.copy() for n, c in vars(raw)[part].items()} for part in vars(raw)))


def told(known: Known) -> tuple[object, ...]:
    """All of it: orders as they lie, lines and events without an order of their own."""
    return (
        {name: column.tolist() for name, column in known.orders.items()},
        sorted(zip(*(column.tolist() for column in known.lines.values()), strict=True)),
        sorted(zip(*(column.tolist() for column in known.events.values()), strict=True)),
    )


@pytest.mark.parametrize("seed", range(8))
def test_rows_that_lie_otherwise_are_told_the_same_way(seed: int) -> None:
    raw, rows = tables(seed), np.zeros(MEMBERS, dtype=np.int32)
    first = told(joined(copied(raw), rows, 0))
    for again in range(4):
        assert told(joined(shuffled(raw, again), rows, 0)) == first
