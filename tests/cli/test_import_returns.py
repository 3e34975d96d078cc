"""Returns find the order they came from: against a slow reading of the rule, and by example."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from app.kernel.crypto import Vault
from app.kernel.db import Database
from tests.cli.test_import_resume import history
from tests.make.importing import RETAIL, csv, load, rows, state


def line(invoice: str, sku: str, quantity: int, at: str, price: float = 2.0, who: int = 1) -> str:
    return f"{invoice},{sku},thing,{quantity},2011-05-{at},{price},{who},Norway"


async def test_the_latest_earlier_line_with_enough_left_takes_a_return(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = csv(
        tmp_path / "a.csv",
        line("1", "A", 5, "01 10:00"),
        line("2", "A", 2, "02 10:00"),
        line("2", "B", 1, "02 10:00"),
        line("C3", "A", -2, "03 10:00"),  # the second order's line, whole
        line("C4", "A", -1, "04 10:00"),  # nothing left there: the first order's
        line("C5", "A", -9, "05 10:00"),  # more than anyone bought
        line("C6", "A", -1, "01 09:00"),  # before anything was bought
        line("C7", "B", -1, "06 10:00", price=2.5),  # dearer than it was sold
        line("8", "A", 3, "07 10:00"),
        line("9", "A", 2, "02 10:00", who=2),
        header=RETAIL,
    )
    summary = await load(database, vault, path, preset="online-retail")
    assert (summary.refunds, summary.refunds_matched) == (5, 2)
    assert await rows(
        database,
        "SELECT split_part(refund_no, ':', 1), o.order_no, r.line_no, r.matched FROM refund r"
        " LEFT JOIN member_order o ON o.id = r.order_id ORDER BY 1",
    ) == [
        ("C3", "2", 1, True),
        ("C4", "1", 1, True),
        ("C5", None, None, False),
        ("C6", None, None, False),
        ("C7", None, None, False),
    ]
    assert await rows(
        database, "SELECT order_no, status, refunded_fen FROM member_order ORDER BY 1"
    ) == [
        ("1", "PARTLY_REFUNDED", 200),
        ("2", "PARTLY_REFUNDED", 400),
        ("8", "SETTLED", 0),
        ("9", "SETTLED", 0),
    ]


async def test_an_order_that_came_back_whole_no_longer_counts(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    path = csv(
        tmp_path / "a.csv",
        line("1", "A", 5, "01 10:00"),
        line("C2", "A", -2, "02 10:00"),
        line("C3", "A", -3, "03 10:00"),
        header=RETAIL,
    )
    await load(database, vault, path, preset="online-retail")
    assert await rows(
        database, "SELECT status, refunded_at = '2011-05-03T09:00Z' FROM member_order"
    ) == [("REFUNDED", True)]


@pytest.mark.parametrize("seed", range(3))
async def test_matching_agrees_with_a_slow_reading_of_the_rule(
    database: Database, vault: Vault, tmp_path: Path, seed: int
) -> None:
    await load(database, vault, history(tmp_path / "a.csv", 1500, seed), preset="online-retail")
    left = {
        (member, sku, placed, order, -quantity, -fen, -number): [quantity, fen]
        for member, sku, placed, order, number, quantity, fen in await rows(
            database,
            "SELECT l.member_id, sku, placed_at, order_no, line_no, quantity, paid_fen"
            " FROM order_line l JOIN member_order o ON o.id = l.order_id",
        )
    }
    wrong: list[object] = []
    back: dict[object, list[int]] = defaultdict(lambda: [0, 0])
    returns = await rows(
        database,
        "SELECT r.member_id, sku, at, refund_no, quantity, amount_fen, o.order_no, r.line_no"
        " FROM refund r LEFT JOIN member_order o ON o.id = r.order_id ORDER BY at, refund_no",
    )
    for member, sku, at, number, quantity, fen, *found in returns:
        fitting = [
            key
            for key, (units, money) in left.items()
            if key[:2] == (member, sku) and key[2] < at and units >= quantity and money >= fen
        ]
        best = max(fitting, key=lambda key: key[2:], default=None)
        if found != ([None, None] if best is None else [best[3], -best[6]]):
            wrong.append((number, found, best))
        if best is not None:
            left[best][0] -= quantity
            left[best][1] -= fen
            back[best[3]][1] += fen
    assert wrong == []
    assert len(back) > 50
    stored = await rows(database, "SELECT order_no, refunded_fen FROM member_order")
    assert {order: fen for order, fen in stored if fen} == {
        order: fen for order, (_, fen) in back.items()
    }


async def test_the_order_of_files_does_not_matter(
    database: Database, vault: Vault, tmp_path: Path
) -> None:
    whole = history(tmp_path / "whole.csv", 1200)
    header, *lines = whole.read_text().splitlines()
    # Whole orders, but returns apart from them: equal lines of one order in two files would be
    # taken for the same line told twice.
    parts: list[list[str]] = [[], [], []]
    for text in lines:
        order = text.partition(",")[0]
        parts[(int(order.strip("C")) + order.startswith("C")) % 3].append(text)
    files = [csv(tmp_path / f"{n}.csv", *part, header=header) for n, part in enumerate(parts)]
    for part in random.Random(3).sample(files, 3):
        await load(database, vault, part, preset="online-retail")
    before = _without_line_numbers(await state(database))
    await load(database, vault, whole, preset="online-retail")
    assert _without_line_numbers(await state(database)) == before


def _without_line_numbers(tables: list[list[tuple[object, ...]]]) -> list[list[tuple[object, ...]]]:
    """The state but for the order in which lines of an order came, which is what numbers tell."""
    people, orders, lines, refunds, _ = tables
    lines = sorted(((*line[:2], *line[3:]) for line in lines), key=repr)
    refunds = sorted(((*item[:7], *item[8:]) for item in refunds), key=repr)
    return [people, orders, lines, refunds]
